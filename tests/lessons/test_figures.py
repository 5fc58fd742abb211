import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lessons import comparing, crops
from lessons.curves import training_curves
from lessons.figures import show_slices, slice_rows
from lessons.style import LABEL_COLOURS, PALETTE, colours
from vqlib.data import LABEL_NAMES


def drawn(axis):
    """What an axis shows, row 0 at the bottom of the screen."""
    image = axis.images[0]
    assert image.origin == "lower"
    return np.asarray(image.get_array())


def test_slices_are_upright_with_the_right_proportions():
    image = torch.zeros(1, 1, 64, 32)
    image[0, 0, 10, 30] = 1  # near the left-most tenth, near the top
    figure = show_slices(image)
    axis = figure.axes[0]
    assert np.argwhere(drawn(axis) == 1).tolist() == [[30, 10]]
    left, right, bottom, top = axis.images[0].get_extent()
    assert (right - left) / 64 == pytest.approx(4 * 1.68)  # mm per pixel
    assert (top - bottom) / 32 == pytest.approx(4 * 1.56)
    assert axis.get_aspect() == 1


def test_one_window_for_all_panels_whatever_they_hold():
    images = torch.stack([torch.full((1, 64, 32), v) for v in (0.1, 0.9, 5.0)])
    figure = show_slices(images, ["a", "b", "c"], columns=2, window=(0, 0.5))
    assert [a.images[0].get_clim() for a in figure.axes[:3]] == [(0, 0.5)] * 3
    assert [a.get_title() for a in figure.axes] == ["a", "b", "c", ""]
    assert not figure.axes[3].images
    with pytest.raises(ValueError, match=r"\(2, 3, 64, 32\)"):
        show_slices(torch.ones(2, 3, 64, 32))


def test_labels_have_their_colours_and_names():
    labels = torch.zeros(1, 64, 32, dtype=torch.uint8)
    labels[0, 10:50, 5:25] = 1
    labels[0, 20, 10] = LABEL_NAMES.index("rectum")
    figure = show_slices(torch.rand(1, 1, 64, 32), labels=labels)
    rgba = np.asarray(figure.axes[0].images[1].get_array())
    assert rgba.shape == (32, 64, 4)
    assert np.argwhere(rgba[..., 3] > 0).tolist() == [[10, 20]]  # the body is outlined
    assert rgba[10, 20, 3] == pytest.approx(0.5)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["body", "rectum"]
    assert len(set(LABEL_COLOURS.values())) == len(LABEL_NAMES)


def test_rows_are_upright_and_named_and_may_be_of_unlike_length():
    image = torch.zeros(1, 1, 16, 8)
    image[..., 3, 7] = 1  # x = 3, at the top
    figure = slice_rows({"ours": image.repeat(3, 1, 1, 1), "real": image}, ["a"])
    assert len(figure.axes) == 6
    assert drawn(figure.axes[0])[7, 3] == 1
    names = {text.get_text() for axis in figure.axes for text in axis.texts}
    assert names == {"ours", "real"}
    assert figure.axes[0].get_title() == "a"
    assert not figure.axes[5].images


def test_a_row_of_label_maps_has_a_colour_for_each_label():
    labels = torch.arange(6, dtype=torch.uint8).repeat(2, 16, 1)
    figure = slice_rows({"slice": torch.rand(2, 1, 16, 6), "map": labels})
    assert [drawn(axis).shape for axis in figure.axes[1:3]] == [(6, 16), (6, 16, 3)]
    assert len({tuple(colour) for colour in drawn(figure.axes[2])[:, 0]}) == 6


def test_training_and_validation_share_a_panel():
    history = {"epoch": [3, 4, 5], "loss": [3.0, 2.0, 1.0]}
    history |= {"val_loss": [4.0, math.nan, 2.0], "val_ssim": [0.1, 0.2, 0.3]}
    figure = training_curves(history)
    assert [axis.get_ylabel() for axis in figure.axes] == ["loss", "SSIM"]
    train, validate = figure.axes[0].lines
    assert train.get_label() == "train"
    assert train.get_xydata().tolist() == [[3, 3], [4, 2], [5, 1]]
    assert validate.get_xydata().tolist() == [[3, 4], [5, 2]]
    assert [line.get_label() for line in figure.axes[1].lines] == ["validate"]


def test_a_model_has_one_colour_and_others_take_the_palettes():
    assert colours(["x", "vqvae", "y"]) == [PALETTE[0], "#D55E00", PALETTE[1]]


@pytest.fixture
def labelled():
    """Three slices: all organs in the second alone, in known places."""
    labels = torch.ones(3, 128, 64, dtype=torch.uint8)
    labels[:2, 28:33, 30:35] = LABEL_NAMES.index("bone")
    labels[1, 60:70, 40:44] = LABEL_NAMES.index("bladder")
    labels[1, 62:66, 20:24] = LABEL_NAMES.index("prostate")
    images = torch.rand(3, 1, 128, 64, generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([0.1, 0.5, 0.9])
    return SimpleNamespace(images=images, labels=labels, positions=positions)


def test_boxes_lie_around_the_organs_of_a_slice_that_has_all(labelled):
    assert crops.telling_slice(labelled) == 1
    boxes = crops.crop_boxes(labelled, 1)
    assert list(boxes) == ["hip", "bladder", "prostate"]
    for name, middle in {"hip": (30, 32), "bladder": (64.5, 41.5)}.items():
        for side, at in zip(boxes[name], middle, strict=True):
            assert abs((side.start + side.stop) / 2 - at) <= 1.5
    labelled.labels = None
    assert crops.telling_slice(labelled) == 1  # the middle one
    for box in crops.crop_boxes(labelled, 1).values():
        assert [side.stop - side.start for side in box] == [25, 27]
        for side, most in zip(box, (128, 64), strict=True):
            assert 0 <= side.start < side.stop <= most


def test_differences_share_one_scale_and_stand_upright(labelled):
    boxes = crops.crop_boxes(labelled, 1)
    truth = labelled.images[1, 0]
    figure = crops.draw_crops({"slice": truth, "a": 0.5 * truth, "b": truth}, boxes)
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 3 * 5
    difference = panels[3].images[0]
    assert difference.origin == "lower"
    assert np.allclose(difference.get_array(), -0.5 * truth[boxes["hip"]].T)
    assert difference.get_clim() == panels[4].images[0].get_clim()
    assert panels[3].get_title() == "a\n− slice"


def row(data, kind, bits, mean):
    score = {"grid": "32x16", "ssim": {"mean": mean}}
    return {"data": data, "kind": kind, "bits": bits} | score


ROWS = [
    row("real_slices", "vae", 1024.0, 0.70),
    row("real_slices", "vae", 1024.0, 0.74),
    row("real_slices", "vae", 4608.0, 0.80),
    row("real_slices", "vqvae", 1024.0, 0.71),
    row("real_slices", "autoencoder", None, 0.95),
    row("phantom", "vae", 1024.0, 0.60),
]
CODECS = [
    {"data": "real_slices", "codec": "WebP", "mean_bytes": n, "ssim": {"mean": m}}
    for n, m in ((500.0, 0.9), (100.0, 0.6))
]


def test_rate_panels_have_a_dot_for_each_training_and_a_line_through_the_means():
    figure = comparing.rate_panels(ROWS, CODECS)
    assert [axis.get_title() for axis in figure.axes] == ["real slices", "phantom"]
    axis = figure.axes[0]
    dots = [line for line in axis.lines if len(line.get_xdata()) == 3]
    assert sorted(dots[0].get_ydata()) == [0.70, 0.74, 0.80]
    means = next(line for line in axis.lines if line.get_label() == "VAE")
    assert np.allclose(means.get_xydata(), [[1024, 0.72], [4608, 0.80]])
    codec = next(line for line in axis.lines if line.get_label() == "WebP")
    assert np.allclose(codec.get_xydata(), [[800, 0.6], [4000, 0.9]])
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named == {"VAE", "VQ-VAE", "WebP", "autoencoder"}
    level = next(line for line in axis.lines if line.get_label() == "autoencoder")
    assert set(level.get_ydata()) == {0.95}  # it has no rate


def test_ablation_compares_seed_by_seed():
    def rows(name, *values):
        common = {"quantizer": name, "codes_used": 9, "perplexity": 5.4}
        return [common | {"seed": n, "ssim": value} for n, value in enumerate(values)]

    found = rows("ours", 0.80, 0.90, 0.85) + rows("worse", 0.75, 0.86, 0.80)
    found += rows("alike", 0.81, 0.90, 0.84)
    found += rows("lucky", 0.95, 0.91, 0.85)  # ahead on average, by its first seed
    table = comparing.ablation_table(found)
    assert list(table.index) == ["ours", "worse", "alike", "lucky"]
    assert list(table["clear"]) == [False, True, False, False]
    worse = table.loc["worse", ["ssim", "difference", "spread"]]
    assert np.allclose(worse.astype(float), [0.8033, -0.0467, 0.0058], atol=1e-4)
    assert table.loc["ours", "codes_used"] == 9
