"""Notebooks 01 and 04 in JupyterLab, touched as a reader would touch them, then with
200 events in a row: nothing stalls, and the page complains of nothing."""

import re
import time
from functools import partial

import pytest

pytestmark = pytest.mark.browser


def until(true, seconds: float = 120.0) -> None:
    """Wait for what the kernel has to do first."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def slide(widget, name: str, key: str = "ArrowRight", times: int = 1) -> None:
    """Move a slider with the keyboard."""
    slider = widget.locator(
        ".widget-hslider", has=widget.page.get_by_text(name, exact=True)
    )
    for _ in range(times):
        slider.locator(".noUi-handle").first.press(key)


def choose(widget, name: str, option=None, **which) -> None:
    """An option of a menu, by its text or, as ``index=0``, by its place."""
    widget.get_by_label(name, exact=True).select_option(option, **which)


def many(notebook, widget, acts, events: int = 200) -> None:
    """Acts in turn, as quick as the page takes them, until all is done that follows."""

    def still() -> bool:
        before = widget.inner_html()
        time.sleep(2)
        return notebook.kernel() == "idle" and widget.inner_html() == before

    for number in range(events):
        acts[number % len(acts)]()
    until(still, 300)


def test_slice_browser(open_notebook):
    notebook = open_notebook("01_data_exploration")
    notebook.run_all()
    widget = notebook.widget(".widget-interact")
    picture = widget.locator("img")

    def shown() -> str:
        return picture.first.get_attribute("src") if picture.count() == 1 else ""

    for act in (
        lambda: slide(widget, "slice"),
        lambda: widget.get_by_label("labels").click(),
        lambda: choose(widget, "scan", index=1),
    ):
        until(shown)
        before = shown()
        act()
        until(lambda before=before: shown() not in ("", before))
    notebook.screenshot("browser", widget)
    keys = ("ArrowRight", "PageUp", "ArrowLeft", "PageDown")
    sliders = ("slice", "black", "white")
    acts = [partial(slide, widget, name, key) for key in keys for name in sliders]
    acts += [widget.get_by_label("labels").click]
    acts += [partial(choose, widget, "scan", index=number) for number in (0, 1)]
    many(notebook, widget, acts)
    until(shown)
    before = shown()
    widget.get_by_label("labels").click()
    until(lambda: shown() not in ("", before))
    assert notebook.errors() == []


def test_code_painter(open_notebook):
    """With the mouse, then with the keyboard."""
    notebook = open_notebook("04_latent_analysis")
    notebook.run_all()
    view = notebook.page.get_by_label("slice to paint on")
    widget = notebook.widget('[aria-label="slice to paint on"]')

    def painted() -> int:
        text = widget.inner_text()
        return int(re.search(r"(\d+) of \d+ codes painted", text)[1])

    def press(name: str) -> None:
        widget.get_by_role("button", name=name).click()
        until(lambda: painted() == 0)

    choose(widget, "codes", "all, by frequency")
    for _ in range(15):  # to a code that hardly stands anywhere already
        widget.get_by_label("palette of codes").press("ArrowRight")
    # a quick stroke leaves no holes, and one undo takes it back
    box, mouse = view.bounding_box(), notebook.page.mouse
    x, y = (box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 0.5 * box["width"], y)  # half of the 16 columns in one event
    mouse.up()
    until(lambda: painted() >= 7)
    notebook.screenshot("painter", widget)
    press("undo")
    # an organ, away and back: the cursor begins on it
    choose(widget, "other", index=0)  # hardly in the body: it has none
    choose(widget, "paint with", "the other slice")
    slide(widget, "brush size", times=4)
    view.focus()
    notebook.page.keyboard.press("Enter")
    until(lambda: painted() > 0)
    choose(widget, "paint with", "as it was")
    view.focus()
    notebook.page.keyboard.press("Enter")
    until(lambda: painted() == 0)
    # the keys did not reach the notebook: no cell was opened, no other one chosen
    assert view.evaluate("frame => document.activeElement === frame")
    places = [(x, y) for x in (0.2, 0.5, 0.8) for y in (0.3, 0.6, 0.9)]
    box = view.bounding_box()
    acts = [
        partial(view.click, position={"x": x * box["width"], "y": y * box["height"]})
        for x, y in places
    ]
    acts += [partial(view.press, key) for key in ("ArrowUp", "Enter", "ArrowLeft")]
    acts += [partial(choose, widget, "paint with", index=i) for i in (0, 1)]
    acts += [partial(slide, widget, "brush size", key) for key in ("Home", "End")]
    acts += [widget.get_by_role("button", name="undo").click]
    many(notebook, widget, acts)
    press("reset")
    assert notebook.errors() == []
