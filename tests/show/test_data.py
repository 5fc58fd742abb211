import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vqlib.show import data as figures


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_only_the_last_orientation_is_upright():
    image = torch.zeros(8, 4)
    image[:, 3] = 1.0  # the head end
    axes = figures.orientations(image).axes
    heads = []
    for axis in axes:
        shown = np.asarray(axis.images[0].get_array())
        top = shown[-1] if axis.images[0].origin == "lower" else shown[0]
        heads.append(shown.shape[1] > shown.shape[0] and bool(top.all()))
    assert heads == [False, False, True]
    assert axes[0].get_ylabel() == axes[2].get_xlabel() == "first index"


def test_organ_curves_show_prevalence_and_area_by_position():
    positions = torch.tensor([0.0, 0.1, 0.9, 1.0])
    areas = {"bone": torch.tensor([0.0, 4.0, 6.0, 8.0])}
    shares, sizes = figures.organ_curves(positions, areas, bins=2).axes
    assert shares.lines[0].get_xydata().tolist() == [[0.25, 50.0], [0.75, 100.0]]
    assert sizes.lines[0].get_xydata().tolist() == [[0.25, 2.0], [0.75, 7.0]]
    assert [t.get_text() for t in sizes.get_legend().get_texts()] == ["bone"]


def test_intensity_curves_have_one_line_for_each_scan():
    scans = {case: np.linspace(0, 1, 50) for case in range(3)}
    many = {case: np.linspace(0, 1, 50) for case in range(12)}
    limits = [(0, 2), (0, 1)]
    left, right = figures.intensity_curves({"raw": scans, "scaled": scans}, limits).axes
    assert (len(left.lines), len(right.lines)) == (3, 3)
    assert (left.get_xlim(), right.get_xlim()) == ((0, 2), (0, 1))
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["0", "1", "2"]
    axis = figures.intensity_curves({"raw": many}, limits[:1]).axes[0]
    assert len(axis.lines) == 12
    assert axis.get_legend() is None  # twelve names would hide the curves


def test_value_maps_are_upright_each_with_its_own_scale():
    maps = {"mean": np.eye(8, 4), "spread": 3 * np.eye(8, 4)}
    axes = figures.value_maps(maps).axes[:2]
    assert [axis.images[0].get_clim() for axis in axes] == [(0, 1), (0, 3)]
    assert axes[0].images[0].origin == "lower"
    assert axes[0].images[0].get_array().shape == (4, 8)


def test_ladder_writes_the_mean_of_every_row():
    axis = figures.ladder({"near": [0.8, 0.9], "far": [0.1, 0.3, 0.2]}).axes[0]
    assert [t.get_text() for t in axis.texts] == ["mean 0.850", "mean 0.200"]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["near", "far"]


def test_dots_put_each_value_into_its_row():
    table = {"ours": {"A": 0.5, "B": 0.4}, "other": {"A": 0.9, "B": 0.95}}
    axis = figures.dots(table, "SSIM", "ours").axes[0]
    a, b = axis.lines[:2]
    assert a.get_xydata().tolist() == [[0.5, 0], [0.9, 1]]
    assert b.get_xydata().tolist() == [[0.4, 0], [0.95, 1]]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["ours", "other"]


def test_a_row_shows_every_slice_upright_under_its_title():
    axes = figures.slice_row(torch.rand(2, 1, 8, 4), ["one\nline", "two"]).axes
    assert [axis.get_title() for axis in axes] == ["one\nline", "two"]
    shown = axes[1].images[0]
    assert (shown.origin, shown.get_array().shape) == ("lower", (4, 8))
    with pytest.raises(ValueError, match="shorter"):
        figures.slice_row(torch.rand(2, 1, 8, 4), ["one"])
