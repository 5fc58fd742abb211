import math

from lessons.curves import training_curves
from lessons.style import PALETTE, colours


def test_training_and_validation_share_a_panel():
    history = {
        "epoch": [3, 4, 5],
        "loss": [3.0, 2.0, 1.0],
        "val_loss": [4.0, math.nan, 2.0],
        "val_ssim": [0.1, 0.2, 0.3],
    }
    figure = training_curves(history)
    assert [axis.get_ylabel() for axis in figure.axes] == ["loss", "SSIM"]
    train, validate = figure.axes[0].lines
    assert train.get_label() == "train"
    assert train.get_xydata().tolist() == [[3, 3], [4, 2], [5, 1]]
    assert validate.get_xydata().tolist() == [[3, 4], [5, 2]]
    assert [line.get_label() for line in figure.axes[1].lines] == ["validate"]


def test_a_model_has_one_colour_and_others_take_the_palettes():
    assert colours(["x", "vqvae", "y"]) == [PALETTE[0], "#D55E00", PALETTE[1]]
