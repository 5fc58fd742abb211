import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lessons.samples import grid_maps, sample_rows, score_curve, surprisal_maps
from lessons.style import SLICE_MM


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def pictures(n):
    return torch.rand(n, 1, 32, 16, generator=torch.Generator().manual_seed(0))


def shown(axis):
    return axis.images[0].get_array()


def test_rows_are_upright_named_and_share_one_window():
    rows = {"real": pictures(3), "sampled": pictures(2) + 1}
    figure = sample_rows(rows, ["a", "b", "c"], window=(0, 2))
    axes = np.reshape(figure.axes, (2, 3))
    assert [axis.get_title() for axis in axes[0]] == ["a", "b", "c"]
    assert [row[0].texts[0].get_text() for row in axes] == ["real", "sampled"]
    np.testing.assert_allclose(shown(axes[1, 1]), rows["sampled"][1, 0].T)
    assert not axes[1, 2].images  # the shorter row ends
    for axis in axes.ravel()[:5]:
        assert axis.images[0].origin == "lower"
        assert axis.images[0].get_clim() == (0, 2)


def test_maps_lie_on_the_slice_with_one_scale_and_a_frame():
    maps = torch.arange(16.0).view(2, 4, 2)
    maps[1, 3, 1] = torch.nan
    figure = grid_maps(maps, ["first", "second"], "number", marks=[(0, 0), (2, 1)])
    first, second = figure.axes[:2]
    for axis in (first, second):
        assert axis.images[0].get_clim() == (0, 14)
        assert tuple(axis.images[0].get_extent())[1::2] == SLICE_MM
    assert shown(first)[1, 0] == maps[0, 0, 1]  # the second index points upwards
    frame = second.patches[0]
    assert frame.get_xy() == pytest.approx((2 * SLICE_MM[0] / 4, SLICE_MM[1] / 2))
    assert figure.axes[2].get_xlabel() == "number"


def test_more_maps_than_columns_make_rows():
    figure = grid_maps(torch.rand(5, 4, 2), list("abcde"), columns=3)
    titles = [axis.get_title() for axis in figure.axes[:6]]
    assert titles == [*"abcde", ""]


def test_surprisal_lies_under_its_slice_from_zero():
    nats = torch.full((2, 8, 4), 3.0)
    nats[1, 0, 0] = 5.0
    figure = surprisal_maps(pictures(2), nats, ["12 bits", "13 bits"])
    axes = np.reshape(figure.axes[:4], (2, 2))
    assert axes[0, 1].get_title() == "13 bits"
    assert shown(axes[0, 0]).shape == (16, 32)
    assert shown(axes[1, 1])[0, 0] == 5
    assert axes[1, 0].images[0].get_clim() == (0, 5)


def test_curve_is_in_order_and_marks_its_lowest_point():
    figure = score_curve({1.0: 20.0, 0.7: 50.0, 1.2: 30.0}, "T", "score", {"floor": 9})
    line, best, floor = figure.axes[0].lines
    assert line.get_xdata().tolist() == [0.7, 1.0, 1.2]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (1.0, 20.0)
    assert set(floor.get_ydata()) == {9}
