import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lessons import data as figures


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_the_calendar_has_a_dot_for_each_scan():
    weeks = {"train": {4: [0, 1, 3], 5: [0]}, "validate": {36: [0]}, "test": {40: [2]}}
    figure = figures.scan_calendar(weeks)
    axis = figure.axes[0]
    train, validate, test = axis.lines
    assert train.get_xydata().tolist() == [[0, 0], [0, 1], [0, 3], [1, 0]]
    assert validate.get_xydata().tolist() == [[2, 0]]
    assert test.get_xydata().tolist() == [[3, 2]]
    shown = [t.get_text() for t in axis.get_xticklabels()]
    assert shown == ["004", "005", "036", "040"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == list(weeks)


def test_volumes_over_weeks_have_a_line_for_each_patient():
    volumes = {
        "bladder": {4: {0: 100.0, 1: 250.0}, 5: {0: 80.0}},
        "prostate": {4: {0: 40.0, 1: 41.0}},
    }
    bladder, prostate = figures.organ_weeks(volumes).axes
    assert [line.get_xydata().tolist() for line in bladder.lines] == [
        [[0, 100], [1, 250]],
        [[0, 80]],
    ]
    assert prostate.get_title() == "prostate"
    assert bladder.get_xticks().tolist() == [0, 1]
    assert bladder.get_ylim()[0] == 0
    assert bladder.get_ylim()[1] > 250
    assert bladder.get_ylabel() == "volume (ml)"


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


def test_a_row_shows_every_slice_upright_under_its_title():
    axes = figures.slice_row(torch.rand(2, 1, 8, 4), ["one\nline", "two"]).axes
    assert [axis.get_title() for axis in axes] == ["one\nline", "two"]
    shown = axes[1].images[0]
    assert (shown.origin, shown.get_array().shape) == ("lower", (4, 8))
    with pytest.raises(ValueError, match="shorter"):
        figures.slice_row(torch.rand(2, 1, 8, 4), ["one"])
