import numpy as np
import pytest
import torch

from lessons.figures import show_slices, slice_rows
from lessons.style import LABEL_COLOURS
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


def test_a_shape_that_is_no_slice():
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
    assert {text.get_text() for axis in figure.axes for text in axis.texts} == {
        "ours",
        "real",
    }
    assert figure.axes[0].get_title() == "a"
    assert not figure.axes[5].images


def test_a_row_of_label_maps_has_a_colour_for_each_label():
    labels = torch.arange(6, dtype=torch.uint8).repeat(2, 16, 1)
    figure = slice_rows({"slice": torch.rand(2, 1, 16, 6), "map": labels})
    assert [drawn(axis).shape for axis in figure.axes[1:3]] == [(6, 16), (6, 16, 3)]
    assert len({tuple(colour) for colour in drawn(figure.axes[2])[:, 0]}) == 6
