import inspect
import io
from types import SimpleNamespace

import ipywidgets
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from ipywidgets.widgets import interaction
from nbclient import NotebookClient
from PIL import Image

from lessons import widgets
from lessons.widgets import interact, painter, pixels
from vqlib.data import SliceDataset

GRID, SIZE = (8, 4), (32, 16)
GROUPS = {"dark": [0, 1, 2], "bright": [3, 4], "none": []}
TITLES = ["first", "second", "third"]
BOX = slice(1, 3), slice(0, 2)  # of the code grid


@pytest.fixture
def headless(monkeypatch):
    monkeypatch.setenv("VQLIB_HEADLESS", "1")
    monkeypatch.setattr(ipywidgets.Widget, "__init__", pytest.fail)  # none is made


@pytest.fixture
def shown(monkeypatch):
    """A reader is there; collects what is displayed."""
    displayed = []
    monkeypatch.setattr(interact, "is_headless", lambda: False)
    monkeypatch.setattr(interaction, "display", displayed.append)
    return displayed


def controls(widget):
    """Controls by their description, others by label or class."""
    if not isinstance(widget, ipywidgets.Box):
        name = getattr(widget, "description", "") or getattr(widget, "label", "")
        return {name or type(widget).__name__: widget}
    return {k: v for child in widget.children for k, v in controls(child).items()}


def pressed(touch, place, first=True):
    """As the browser tells it."""
    touch.cursor = pixels.to_cell(place, GRID)
    touch._handle_custom_msg({"press": touch.cursor, "first": first}, [])


def seen(png):
    """A picture turned back into a slice, in [0, 255]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))[::-1].T.astype(int)


@pytest.mark.notebooks
def test_a_kernel_knows_whether_a_reader_can_answer():
    """papermill, nbconvert and nbval execute through a client that takes no input;
    JupyterLab takes it."""
    source = "import os, sys\nos.environ.pop('VQLIB_HEADLESS', None)\n"
    source += inspect.getsource(widgets.is_headless)  # without the imports of vqlib
    source += "print(is_headless())"
    cells = [nbformat.v4.new_code_cell(source) for _ in range(2)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    with client.setup_kernel():
        client.execute_cell(cells[0], 0)
        client.kc.allow_stdin = True  # as JupyterLab asks
        client.execute_cell(cells[1], 1)
    assert [cell.outputs[0].text for cell in cells] == ["True\n", "False\n"]


def test_explore_begins_with_the_defaults_and_redraws_when_a_control_moves(shown):
    calls = []

    def draw(whole=7, menu="b", tick=False):
        calls.append((whole, menu, tick))
        return "a figure"  # must not be shown a second time

    widgets.explore(draw, whole=(0, 9), menu=["a", "b"], tick=False)
    slider = shown[0].kwargs_widgets[0]
    assert not slider.continuous_update
    slider.value = 3
    assert calls == [(7, "b", False), (3, "b", False)]
    assert len(shown) == 1


def test_explore_draws_once_where_no_kernel_means_no_reader(headless, monkeypatch):
    calls = []
    for name in ("1", ""):
        monkeypatch.setenv("VQLIB_HEADLESS", name)
        widgets.explore(lambda n=2: calls.append(n), n=(0, 4))
    assert calls == [2, 2]


def test_curves_grow_in_one_figure_while_a_training_runs(monkeypatch):
    def display(figure, display_id):
        first.append(figure)
        return SimpleNamespace(update=updated.append)

    first, updated = [], []
    draw = widgets.live_curves(keys=["loss"])
    draw({"loss": [0.5]})  # nobody looks
    monkeypatch.setattr(interact, "display", display)
    monkeypatch.setattr(interact, "is_headless", lambda: False)
    for epochs in (1, 2, 3):
        draw({"loss": [0.5] * epochs, "val_loss": [0.6] * epochs})
    assert len(first) == 1
    points = [len(figure.axes[0].lines[0].get_xdata()) for figure in first + updated]
    assert points == [1, 2, 3]
    assert plt.get_fignums() == []


def dataset(labels=True):
    """Patient 4 with weeks 0 (3 slices) and 2 (1 slice), patient 9 with week 1 (2)."""
    patients, weeks = torch.tensor([4, 4, 4, 4, 9, 9]), torch.tensor([0, 0, 0, 2, 1, 1])
    images = torch.rand(6, 1, 64, 32, generator=torch.Generator().manual_seed(0))
    maps = torch.ones(6, 64, 32, dtype=torch.uint8) if labels else None
    return SliceDataset(images, maps, torch.zeros(6), patients, weeks)


def test_browser_leafs_through_scans_of_different_length(shown):
    widgets.slice_browser(dataset())
    c = {control.description: control for control in shown[0].kwargs_widgets}
    c["scan"].value = "patient 009, week 1"
    c["slice"].value = 3
    c["white"].value = 0.4
    c["labels"].value = False
    axis = plt.figure(plt.get_fignums()[-1]).axes[0]
    assert axis.get_title() == "patient 009, week 1, slice 2 of 2"
    assert axis.images[0].get_clim() == (0.0, 0.4)
    assert len(axis.images) == 1
    widgets.slice_browser(dataset(labels=False))
    assert "labels" not in controls(shown[1])


def decode(codes):
    """A code is its brightness, in patches of 4 x 4 pixels."""
    return codes[:, None].repeat_interleave(4, 2).repeat_interleave(4, 3) / 4


def some_codes():
    codes = torch.zeros(3, *GRID, dtype=torch.int64)
    codes[1] = 2
    codes[2, :, :2] = 3
    return codes


def live_painter(codes, row, other):
    patches = torch.linspace(0, 1, 5)[:, None, None].expand(5, 4, 4)
    args = codes, decode, patches, GROUPS, TITLES, row, other, BOX
    return controls(painter.live_painter(*args))


def test_painter_paints_where_it_is_pressed_and_undoes_a_stroke():
    codes = some_codes()
    c = live_painter(codes, 0, 1)
    view = c["slice to paint on"]
    assert seen(view.picture).max() == 0
    assert pixels.to_cell(view.cursor, GRID) == [1, 0]  # amid the block
    c["palette of codes"].cursor = [2, 0]
    pressed(view, (6, 3))
    want = np.zeros(SIZE)
    want[24:28, 12:16] = 128  # code 2 of 0 … 4
    assert np.array_equal(seen(view.picture), want)
    assert view.status == "code 2 here; 1 of 32 codes painted"
    change = Image.open(io.BytesIO(c["Image"].value)).convert("RGB")
    change = np.asarray(change).astype(int)
    red, _, blue = change[0, 26]  # more signal
    assert red > blue + 50
    assert np.ptp(change[12, 5]) < 10
    view.cursor = [0, 0]  # moved by the keyboard
    assert view.status.startswith("code 0 here")
    pressed(view, (5, 3), first=False)  # the same stroke
    c["undo"].click()
    assert seen(view.picture).max() == 0
    assert torch.equal(codes, some_codes())  # the caller's codes stay as they were


def test_palette_lists_groups_by_rows():
    palette = painter.Palette(torch.rand(40, 4, 4), {"all": range(40), **GROUPS})
    assert palette.menu.options == ("all", "dark", "bright")  # none has no codes
    assert palette.sheet.shape == [16, 3]
    palette.sheet.cursor = [3, 1]
    assert palette.code == 19
    palette.menu.value = "bright"
    assert (palette.code, palette.sheet.cursor) == (3, [0, 0])
    palette.sheet.cursor = [0, 5]  # beyond the last one
    assert palette.code == 4
