import numpy as np
import pandas as pd
import torch

from lessons import n01


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
    areas = pd.DataFrame({"bone": [0.0, 4.0, 6.0, 8.0]})
    shares, sizes = n01.organ_curves(positions, areas, bins=2).axes
    assert shares.lines[0].get_xydata().tolist() == [[0.25, 50.0], [0.75, 100.0]]
    assert sizes.lines[0].get_xydata().tolist() == [[0.25, 2.0], [0.75, 7.0]]
    assert [t.get_text() for t in sizes.get_legend().get_texts()] == ["bone"]
