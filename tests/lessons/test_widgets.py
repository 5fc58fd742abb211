import inspect
import sys

import ipywidgets
import matplotlib.pyplot as plt
import nbformat
import pytest
from ipywidgets.widgets import interaction
from nbclient import NotebookClient

import lessons as show
from lessons import widgets


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """A reader is there; collects what is displayed to him."""
    displayed = []
    monkeypatch.setattr(widgets, "is_headless", lambda: False)
    monkeypatch.setattr(interaction, "display", displayed.append)
    return displayed


CONTROLS = {
    "whole": (0, 9),
    "step": (1, 20, 4),
    "real": (0.0, 1.0),
    "tenths": (0.0, 1.0, 0.3),
    "menu": ["first", "second"],
    "pairs": [("one", 1), ("two", 2)],
    "named": {"a": 10, "b": 20},
    "tick": True,
    "text": "word",
    "number": 5,
    "fixed": ipywidgets.fixed((1, 2)),
    "begins": (0, 9),
    "chosen": ["first", "second"],
}


def test_a_still_picture_has_the_values_that_the_live_one_begins_with(shown):
    seen = []

    def draw(begins=7, chosen="second", **values):
        seen.append({"begins": begins, "chosen": chosen, **values})

    show.explore(draw, **CONTROLS)
    assert len(shown) == 1
    live = seen[-1]
    assert live["begins"] == 7
    assert widgets.first_values(draw, CONTROLS) == live


def test_headless_draws_once_and_makes_no_widget(monkeypatch):
    monkeypatch.setenv("VQLIB_HEADLESS", "1")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # importing it would fail
    seen = []
    assert (
        show.explore(lambda n, word: seen.append((n, word)), n=(0, 4), word="a") is None
    )
    assert seen == [(2, "a")]


def test_live_redraws_when_a_control_moves(shown):
    seen = []

    def draw(n):
        seen.append(n)
        return "a figure"  # must not be shown a second time

    show.explore(draw, n=(0, 4))
    slider = shown[0].kwargs_widgets[0]
    assert not slider.continuous_update
    slider.value = 3
    assert seen == [2, 3]
    assert len(shown) == 1


def test_no_kernel_means_no_reader(monkeypatch):
    monkeypatch.delenv("VQLIB_HEADLESS", raising=False)
    assert widgets.is_headless()
    monkeypatch.setenv("VQLIB_HEADLESS", "1")
    assert widgets.is_headless()


@pytest.mark.notebooks
def test_a_kernel_knows_whether_a_reader_can_answer():
    """papermill, nbconvert and nbval execute through a client that takes no input;
    JupyterLab takes it."""
    source = "\n".join(
        [
            "import os, sys",
            "os.environ.pop('VQLIB_HEADLESS', None)",
            inspect.getsource(widgets.is_headless),  # without the imports of vqlib
            "print(is_headless())",
        ]
    )
    cells = [nbformat.v4.new_code_cell(source) for _ in range(2)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    with client.setup_kernel():
        client.execute_cell(cells[0], 0)
        client.kc.allow_stdin = True  # as JupyterLab asks
        client.execute_cell(cells[1], 1)
    assert [cell.outputs[0].text for cell in cells] == ["True\n", "False\n"]


def test_curves_grow_in_one_figure_while_a_training_runs(shown, monkeypatch):
    class Handle:
        def update(self, figure):
            updated.append(figure)

    def display(figure, display_id):
        first.append(figure)
        return Handle()

    first, updated = [], []
    monkeypatch.setattr("IPython.display.display", display)
    draw = show.live_curves(keys=["loss"])
    for epochs in (1, 2, 3):
        draw({"loss": [0.5] * epochs, "val_loss": [0.6] * epochs})
    assert len(first) == 1
    points = [len(figure.axes[0].lines[0].get_xdata()) for figure in first + updated]
    assert points == [1, 2, 3]
    assert plt.get_fignums() == []


def test_curves_are_not_drawn_where_nobody_looks(monkeypatch):
    monkeypatch.setattr(widgets, "training_curves", pytest.fail)
    show.live_curves()({"loss": [0.5]})
