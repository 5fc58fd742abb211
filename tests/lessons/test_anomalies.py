import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lessons.anomalies import auc_dots, outline
from lessons.samples import sample_rows


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_outline_lies_around_the_mask_in_its_row():
    images, masks = torch.rand(2, 1, 16, 8), torch.zeros(2, 16, 8, dtype=torch.bool)
    masks[:, 8:12, 4:6] = True
    figure = sample_rows({"a": images, "b": images})
    outline(figure, masks, row=1)
    panels = [axis for axis in figure.axes if axis.images]
    assert [len(axis.collections) for axis in panels] == [0, 0, 1, 1]
    extent = panels[2].images[0].get_extent()
    x, y = panels[2].collections[0].get_paths()[0].vertices.mean(0)
    assert x == pytest.approx(extent[1] * 10 / 16, rel=0.03)
    assert y == pytest.approx(extent[3] * 5 / 8, rel=0.03)


def test_a_mark_for_each_score_and_kind():
    figure = auc_dots({"a": [0.9, 0.2], "b": [0.5, np.nan]}, ["x", "y"], "area")
    (axis,) = figure.axes
    assert [t.get_text() for t in axis.get_yticklabels()] == ["x", "y"]
    assert axis.lines[0].get_xdata() == pytest.approx([0.9, 0.2])
    assert axis.get_xlim()[0] < 0.2
