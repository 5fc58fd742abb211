import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

import lessons as show
from vqlib.metrics import Interval


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_training_and_validation_share_a_panel():
    history = {
        "epoch": [3, 4, 5],
        "loss": [3.0, 2.0, 1.0],
        "val_loss": [4.0, math.nan, 2.0],
        "val_ssim": [0.1, 0.2, 0.3],
    }
    figure = show.training_curves(history)
    assert [axis.get_ylabel() for axis in figure.axes] == ["loss", "SSIM"]
    train, validate = figure.axes[0].lines
    assert train.get_label() == "train"
    assert train.get_xydata().tolist() == [[3, 3], [4, 2], [5, 1]]
    assert validate.get_xydata().tolist() == [[3, 4], [5, 2]]
    assert [line.get_label() for line in figure.axes[1].lines] == ["validate"]


def test_chosen_curves_and_their_names():
    history = {"loss": [1.0, 0.5], "codes_used": [3, 5], "other": [1, 2]}
    figure = show.training_curves(
        history, keys=["codes_used"], labels={"codes_used": "codes in use"}
    )
    assert [axis.get_ylabel() for axis in figure.axes] == ["codes in use"]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 2]
    show.training_curves({})  # before the first epoch


def test_rate_distortion():
    figure = show.rate_distortion(
        {
            "VAE, spatial": [(4000, 0.7), (800, 0.55)],
            "VQ-VAE": (4608, Interval(0.72, 0.71, 0.74)),
        },
        marks={"mean image": 0.38},
    )
    axis = figure.axes[0]
    curve, point = (c.lines[0] for c in axis.containers)
    assert curve.get_xydata().tolist() == [[800, 0.55], [4000, 0.7]]
    assert point.get_xydata().tolist() == [[4608, 0.72]]
    low, high = axis.containers[1].lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.71, 0.74))
    assert [text.get_text() for text in axis.texts] == ["mean image"]
    assert "bits per slice" in axis.get_xlabel()


def test_bars_say_their_numbers():
    figure = show.score_bars(
        {"mean image": 0.384, "VQ-VAE": {"mean": 0.72, "low": 0.71, "high": 0.735}}
    )
    axis = figure.axes[0]
    assert [bar.get_width() for bar in axis.patches] == [0.384, 0.72]
    assert [text.get_text() for text in axis.texts] == ["0.384", "0.720"]
    assert axis.get_xlim()[0] == 0


def test_a_model_has_one_colour_in_all_figures():
    curve = show.rate_distortion({"vqvae": (1, 1.0), "x": (1, 1.0)}).axes[0]
    bars = show.score_bars({"y": 1, "vqvae": 1}).axes[0]
    line = curve.containers[0].lines[0].get_color()
    assert line == "#D55E00"
    assert plt.matplotlib.colors.to_hex(bars.patches[1].get_facecolor()) == "#d55e00"


def test_histograms_of_sets_of_unlike_size():
    figure = show.histogram(
        {"a": np.zeros((3, 4)), "b": np.ones(1000)}, "grey value", bins=10
    )
    axis = figure.axes[0]
    heights = [c.get_paths()[0].vertices[:, 1].max() for c in axis.collections]
    assert heights == pytest.approx([10, 10])  # all in one bin of width 0.1
    assert axis.get_xlabel() == "grey value"


def test_heatmap_names_rows_and_columns():
    figure = show.heatmap(
        [[0.1, 0.2, 0.3]], ["bone"], ["0", "½", "1"], "share", "position", form=".1f"
    )
    axis, bar = figure.axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0", "½", "1"]
    assert [text.get_text() for text in axis.texts] == ["0.1", "0.2", "0.3"]
    assert bar.get_ylabel() == "share"
