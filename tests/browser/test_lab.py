"""Notebooks 01, 04 and 05 in JupyterLab, touched as a reader would touch them."""

import json
import re
import time

import pytest
from notebook_page import ARTEFACTS

pytestmark = pytest.mark.browser

PIXELS = """frame => {
  const image = frame.querySelector("img"), canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  canvas.getContext("2d").drawImage(image, 0, 0);
  return image.complete && canvas.width ? canvas.toDataURL() : "";
}"""


def pixels(touch) -> str:
    """What the picture shows, whatever the cursor over it."""
    return touch.evaluate(PIXELS)


def after(touch, before: str, seconds: float = 20.0) -> str:
    """The picture, as soon as it differs from what it was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (now := pixels(touch)) not in ("", before):
            return now
        time.sleep(0.02)
    pytest.fail("the picture did not change")


def slide(notebook, label: str, name: str, key: str = "ArrowRight") -> None:
    """Move the slider of a widget with the keyboard."""
    slider = notebook.widget(label).locator(
        ".widget-hslider", has=notebook.page.locator(f"label:text-is('{name}')")
    )
    slider.locator(".noUi-handle").first.press(key)


def choose(notebook, label: str, name: str, option=None, **which) -> None:
    """An option of a menu, by its text or, as ``index=0``, by its place."""
    menu = notebook.widget(label).locator(
        ".widget-dropdown", has=notebook.page.locator(f"label:text-is('{name}')")
    )
    menu.locator("select").select_option(option, **which)


def press(touch, column: float, row: float) -> None:
    """Click at a share of the width and the height of a picture."""
    box = touch.bounding_box()
    touch.click(position={"x": column * box["width"], "y": row * box["height"]})


def test_slice_browser(open_notebook):
    notebook = open_notebook("01_data_exploration")
    notebook.run_all()
    label = "slice shown"
    view = notebook.touch(label)
    first = pixels(view)
    assert first
    notebook.screenshot("browser", "before", label)
    slide(notebook, label, "slice")
    second = after(view, first)
    notebook.widget(label).get_by_label("labels").click()
    plain = after(view, second)
    slide(notebook, label, "window")
    after(view, plain)
    notebook.screenshot("browser", "after", label)
    assert notebook.errors() == []


def test_latent_analysis(open_notebook):
    """One run of the notebook for all of its widgets."""
    notebook = open_notebook("04_latent_analysis")
    notebook.run_all()
    paint_the_prostate(notebook)
    paint(notebook)
    drag(notebook)
    paint_by_keyboard(notebook)
    explore(notebook)
    push_latents(notebook)
    assert notebook.errors() == []


def paint_the_prostate(notebook) -> None:
    """Away and back, by keyboard: the cursor begins on it. The first slice, hardly in
    the body, has none."""
    label = "slice to paint on"
    view = notebook.touch(label)
    whole = pixels(view)
    menu = notebook.widget(label).locator(
        ".widget-dropdown", has=notebook.page.locator("label:text-is('other')")
    )
    usual = menu.locator("select").input_value()
    choose(notebook, label, "other", index=0)
    choose(notebook, label, "paint with", "the other slice")
    for _ in range(9):  # to the largest brush
        slide(notebook, label, "brush size")
    view.focus()
    notebook.page.keyboard.press("Enter")
    gone = after(view, whole)
    assert places_painted(notebook, label) > 0
    notebook.screenshot("painter", "without_the_prostate", label)
    choose(notebook, label, "paint with", "as it was")
    view.focus()
    notebook.page.keyboard.press("Enter")
    assert after(view, gone) == whole
    for _ in range(9):
        slide(notebook, label, "brush size", "ArrowLeft")
    choose(notebook, label, "paint with", "the chosen code")
    choose(notebook, label, "other", usual)


def drag(notebook) -> None:
    """A quick stroke leaves no holes, and one undo takes it back."""
    label = "slice to paint on"
    view = notebook.touch(label)
    notebook.widget(label).get_by_role("button", name="reset").click()
    choose(notebook, label, "paint with", "the chosen code")
    choose_rarest(notebook, label)
    for _ in range(9):
        slide(notebook, label, "brush size", "ArrowLeft")
    whole, box, mouse = pixels(view), view.bounding_box(), notebook.page.mouse
    x, y = (box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 0.5 * box["width"], y)  # half the columns in one event
    mouse.up()
    painted = after(view, whole)
    end = time.monotonic() + 10
    while time.monotonic() < end and places_painted(notebook, label) < 7:
        time.sleep(0.05)
    assert places_painted(notebook, label) >= 7  # of 16 columns
    notebook.widget(label).get_by_role("button", name="undo").click()
    end = time.monotonic() + 10
    while time.monotonic() < end and pixels(view) != whole:
        time.sleep(0.05)
    assert pixels(view) == whole != painted


def places_painted(notebook, label: str) -> int:
    text = notebook.widget(label).inner_text()
    return int(re.search(r"(\d+) of \d+ codes painted", text)[1])


def choose_rarest(notebook, label: str) -> None:
    """A code that hardly stands anywhere already."""
    choose(notebook, label, "codes", "all, by frequency")
    palette = notebook.widget(label).locator('[aria-label="palette of codes"]')
    for _ in range(15):
        palette.press("ArrowRight")


def paint(notebook) -> None:
    """Paint an organ away with another slice, and back."""
    label = "slice to paint on"
    view = notebook.touch(label)
    whole = pixels(view)
    notebook.screenshot("painter", "before", label)
    choose_rarest(notebook, label)
    press(view, 0.3, 0.4)
    painted = after(view, whole)
    notebook.widget(label).get_by_role("button", name="undo").click()
    assert after(view, painted) == whole
    choose(notebook, label, "paint with", "the other slice")
    for _ in range(3):
        slide(notebook, label, "brush size")
    press(view, 0.5, 0.5)
    press(view, 0.45, 0.45)
    gone = after(view, whole)
    notebook.screenshot("painter", "after", label)
    choose(notebook, label, "paint with", "as it was")
    press(view, 0.5, 0.5)
    press(view, 0.45, 0.45)
    now = after(view, gone)
    while now != whole:  # the strokes are drawn one by one
        now = after(view, now)
    assert places_painted(notebook, label) == 0


def paint_by_keyboard(notebook) -> None:
    label = "slice to paint on"
    view = notebook.touch(label)
    before = pixels(view)
    choose(notebook, label, "paint with", "the chosen code")
    view.focus()
    waits = []
    for _ in range(5):
        notebook.page.keyboard.press("ArrowLeft")
        notebook.page.keyboard.press("ArrowUp")
        was = pixels(view)
        started = time.monotonic()
        notebook.page.keyboard.press("Enter")
        after(view, was)
        waits.append(time.monotonic() - started)
    assert pixels(view) != before
    # the keys did not reach the notebook: no cell was opened, no other one chosen
    assert view.evaluate("frame => document.activeElement === frame")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    seconds = {"paint, key to picture, seconds": [round(wait, 3) for wait in waits]}
    (ARTEFACTS / "latency.json").write_text(json.dumps(seconds))
    drawn = pixels(view)
    notebook.widget(label).get_by_role("button", name="reset").click()
    assert after(view, drawn) == before


def explore(notebook) -> None:
    label = "slice: press a place"
    view = notebook.touch(label)
    widget = notebook.widget(label)
    palette = widget.locator('[aria-label="palette of codes"]')
    first, chosen = pixels(view), widget.get_by_text("code ", exact=False)
    assert chosen.count()
    notebook.screenshot("explorer", "before", label)
    choose(notebook, label, "codes", "all, by frequency")
    palette.press("ArrowRight")
    second = after(view, first)
    press(view, 0.1, 0.1)
    press(view, 0.5, 0.6)
    after(view, second)
    notebook.screenshot("explorer", "after", label)


def push_latents(notebook) -> None:
    label = "decoded slice"
    view = notebook.touch(label)
    first = pixels(view)
    notebook.screenshot("latents", "before", label)
    handle = notebook.widget(label).locator(".noUi-handle").first
    for _ in range(10):
        handle.press("ArrowRight")
    after(view, first)
    notebook.screenshot("latents", "after", label)
    pushed = pixels(view)
    notebook.widget(label).get_by_role("button", name="all to 0").click()
    assert after(view, pushed) == first


def test_sampler(open_notebook):
    notebook = open_notebook("05_prior_generation")
    notebook.run_all()
    label = "a slice drawn from the prior"
    view = notebook.touch(label)
    first = pixels(view)
    notebook.screenshot("sampler", "before", label)
    notebook.widget(label).get_by_role("button", name="another seed").click()
    second = after(view, first)
    slide(notebook, label, "temperature")
    after(view, second)  # the first rows are there
    notebook.widget(label).get_by_text("position 0.50, seed 1").wait_for()  # the whole
    notebook.screenshot("sampler", "after", label)
    assert notebook.errors() == []
