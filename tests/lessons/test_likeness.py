from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lessons import likeness
from vqlib.metrics.realism import Portrait


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_ladder_writes_the_mean_of_every_row():
    axis = likeness.ladder({"near": [0.8, 0.9], "far": [0.1, 0.3, 0.2]}).axes[0]
    assert [t.get_text() for t in axis.texts] == ["mean 0.850", "mean 0.200"]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["near", "far"]


def test_dots_put_each_value_into_its_row():
    table = {"ours": {"A": 0.5, "B": 0.4}, "other": {"A": 0.9, "B": 0.95}}
    axis = likeness.dots(table, "SSIM", "ours").axes[0]
    a, b = axis.lines[:2]
    assert a.get_xydata().tolist() == [[0.5, 0], [0.9, 1]]
    assert b.get_xydata().tolist() == [[0.4, 0], [0.95, 1]]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["ours", "other"]


def test_portraits_share_panels_and_keep_their_tissues_apart():
    tissue = {"share": 0.5, "median": 0.3, "spread": 0.1}
    ours = Portrait(
        slices=3,
        spacing=(3.36, 3.12),
        intensity=np.linspace(0, 1, 100).tolist(),
        tissues={"dark": tissue, "bright": tissue},
        frequency=[0.01, 0.1],
        power=[100.0, 1.0],
        slope=-2.0,
        gradient=np.linspace(0, 0.1, 100).tolist(),
        edge_density=0.1,
        gradient_kurtosis=3.0,
        noise_tissue=0.02,
        noise_air=None,
    )
    theirs = replace(ours, power=[50.0, 2.0], tissues={"dark": tissue})
    figure = likeness.portraits({"ours": ours, "theirs": theirs})
    grey, tissues, power, steep = figure.axes
    assert grey.lines[0].get_xdata()[-1] == 1
    assert grey.lines[0].get_ydata()[0] == pytest.approx(0.5)  # per cent are darker
    assert power.lines[1].get_xydata().tolist() == [[0.01, 50], [0.1, 2]]
    assert steep.lines[0].get_ydata()[0] == pytest.approx(99.5)
    bar, dot = tissues.lines[:2]
    assert bar.get_xdata() == pytest.approx([0.25, 0.35])
    assert dot.get_xdata() == pytest.approx([0.3])
    assert len({float(line.get_ydata()[0]) for line in tissues.lines}) == 3
    assert [t.get_text() for t in tissues.get_yticklabels()] == ["dark", "bright"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["ours", "theirs"]


def test_effects_are_upright_over_what_they_changed():
    slice_ = np.zeros((8, 4), np.float32)
    slice_[2, 3] = 0.25
    versions = {f"effect {n}": slice_[None] + n / 10 for n in range(1, 5)}
    figure = likeness.effects(slice_, versions, limit=0.4)
    grid = [axis for axis in figure.axes if axis.get_subplotspec() is not None][:16]
    assert [axis.get_title() for axis in grid[:4] + grid[8:10]] == [
        "as it was",
        "effect 1",
        "effect 2",
        "effect 3",
        "effect 4",
        "",
    ]
    shown, below = grid[8].images[0], grid[12].images[0]
    assert shown.origin == below.origin == "lower"
    assert shown.get_array()[3, 2] == pytest.approx(0.65)
    assert np.asarray(below.get_array()) == pytest.approx(0.4)
    assert below.get_clim() == (-0.4, 0.4)
