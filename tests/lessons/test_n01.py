import numpy as np
import pandas as pd
import pytest
import torch

from lessons import n01


def test_the_calendar_has_a_dot_for_each_scan():
    weeks = {"train": {4: [0, 1, 3], 5: [0]}, "validate": {36: [0]}, "test": {40: [2]}}
    figure = n01.scan_calendar(weeks)
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
    bladder, prostate = n01.organ_weeks(volumes).axes
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
    axes = n01.orientations(image).axes
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
    shares, sizes = n01.organ_curves(positions, areas, bins=2).axes
    assert shares.lines[0].get_xydata().tolist() == [[0.25, 50.0], [0.75, 100.0]]
    assert sizes.lines[0].get_xydata().tolist() == [[0.25, 2.0], [0.75, 7.0]]
    assert [t.get_text() for t in sizes.get_legend().get_texts()] == ["bone"]


def test_intensity_curves_have_one_line_for_each_scan():
    scans = {case: np.linspace(0, 1, 50) for case in range(3)}
    left, right = n01.intensity_curves({"raw": scans, "scaled": scans}, [2, 1]).axes
    assert (len(left.lines), len(right.lines)) == (3, 3)
    assert (left.get_xlim(), right.get_xlim()) == ((0, 2), (0, 1))
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["0", "1", "2"]
    area = np.trapezoid(*right.lines[0].get_data()[::-1])
    assert area == pytest.approx(1, abs=0.05)


def test_value_maps_are_upright_each_to_its_limit():
    maps = {"mean": np.eye(8, 4), "spread": 3 * np.eye(8, 4)}
    axes = n01.value_maps(maps, [1, 3]).axes[:2]
    assert [axis.images[0].get_clim() for axis in axes] == [(0, 1), (0, 3)]
    assert axes[0].images[0].origin == "lower"
    assert axes[0].images[0].get_array().shape == (4, 8)


def test_ladder_writes_the_mean_of_every_row():
    axis = n01.ladder({"near": [0.8, 0.9], "far": [0.1, 0.3, 0.2]}, "SSIM").axes[0]
    assert [t.get_text() for t in axis.texts] == ["mean 0.850", "mean 0.200"]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["near", "far"]
    assert axis.yaxis_inverted()  # the first row on top


def test_dots_put_each_value_into_its_row():
    table = pd.DataFrame({"A": [0.5, 0.9], "B": [0.4, 0.95]}, index=["ours", "other"])
    axis = n01.dots(table, "SSIM").axes[0]
    a, b = axis.lines[:2]
    assert a.get_xydata().tolist() == [[0.5, 0], [0.9, 1]]
    assert b.get_xydata().tolist() == [[0.4, 0], [0.95, 1]]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["ours", "other"]
