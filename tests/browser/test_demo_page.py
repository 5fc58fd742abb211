"""The generator in a page: drawn and painted on in Chromium, compared with PyTorch."""

import shutil
import time

import numpy as np
import pytest
import torch
from commands import ROOT, python
from notebook_page import ARTEFACTS
from served import served, watch

from vqlib.generator import Generator

pytestmark = pytest.mark.browser
SHOWN = """() => Object.fromEntries(
  ["labels", "codes", "noise", "slice"].map((name) => [name, [...shown[name]]]))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where the page is served, built as ``make demo`` does."""
    pytest.importorskip("onnx")
    if shutil.which("npm") is None:
        pytest.skip("npm is missing, which brings onnxruntime-web")
    out = tmp_path_factory.mktemp("demo")
    python("docs/demo/export.py", out, cwd=ROOT)
    assert sum(path.stat().st_size for path in out.iterdir()) < 15e6
    with served(out) as address:
        yield address


@pytest.fixture
def open_page(address, browser):
    """Opens the page in a view; at the end nothing may have gone wrong in it."""
    faults, contexts = [], []

    def open_(width=1280, scheme="light", **how):
        view = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=view, color_scheme=scheme, **how))
        page = contexts[-1].new_page()
        watch(page, address, faults.append, warnings=True)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not faults, faults


def drawn(page, count):
    """What the page shows after its slice number ``count``."""
    page.wait_for_function(
        "n => shown.drawn === n && document.body.dataset.state === 'ready'",
        arg=count,
        timeout=60_000,
    )
    return {name: np.array(x) for name, x in page.evaluate(SHOWN).items()}


def first_slice(page):
    page.get_by_role("button", name="Draw", exact=True).click()
    return drawn(page, 1)


def middle(page, x=0.5, y=0.5):
    """A place on the label map, in pixels of the page."""
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def slowed(cpu: float = 0.3) -> float:
    """How many times longer work takes here than where nothing else runs."""
    started, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < cpu:
        pass
    return (time.perf_counter() - started) / cpu


def test_the_first_slice_is_there_within_five_seconds(open_page):
    """Of the time that other programs leave; the best of three, each a new page."""
    times = []
    while len(times) < 3 and min(times, default=9) > 5:
        before, started = slowed(), time.perf_counter()
        first_slice(open_page())
        took = time.perf_counter() - started
        times.append(took / max(before, slowed(), 1))
        print(
            f"first slice {took:.2f} s after the page was asked, {times[-1]:.2f} alone"
        )
    assert min(times) < 5, times


def test_a_slice_is_what_pytorch_makes_of_the_same_codes(open_page):
    page = open_page()
    found = first_slice(page)
    made = Generator.of_run()
    labels = torch.from_numpy(found["labels"]).view(1, 128, 64)
    codes = torch.from_numpy(found["codes"]).view(1, *made.prior.grid)
    assert labels.unique().numel() >= 3
    with torch.no_grad():
        noise = torch.from_numpy(found["noise"]).float().view(1, 1, 128, 64)
        wanted = made.autoencoder.decode(codes, labels, noise).clamp(0, 1)
    np.testing.assert_allclose(found["slice"], wanted.flatten(), atol=1e-4)
    page.get_by_role("button", name="Draw", exact=True).click()
    again = drawn(page, 2)
    for name, value in found.items():
        np.testing.assert_array_equal(again[name], value)
    page.locator("#seed").fill("3")
    page.keyboard.press("Enter")
    assert (drawn(page, 3)["codes"] != found["codes"]).any()


@pytest.mark.parametrize("how", ["mouse", "touch", "keyboard"])
def test_a_stroke_changes_the_map_and_the_slice(open_page, how):
    page = open_page(390 if how == "touch" else 1280, has_touch=how == "touch")
    before = first_slice(page)
    page.get_by_label("bone").check()
    x, y = middle(page)
    if how == "mouse":
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y, steps=3)
        page.mouse.up()
    elif how == "touch":
        page.touchscreen.tap(x, y)
    else:
        page.locator("#map").focus()
        for key in ("ArrowRight", "Space", "Shift+ArrowUp", "Space"):
            page.keyboard.press(key)
    after = drawn(page, 2)
    painted = before["labels"] != after["labels"]
    assert 10 < painted.sum() < 500
    assert (after["labels"][painted] == 2).all()
    changed = np.abs(after["slice"] - before["slice"])
    assert changed[painted].mean() > 0.02
    while page.locator("#undo").is_enabled():  # back to the map before the first draw
        page.locator("#undo").click()
    page.wait_for_function("() => shown.labels.every(label => label === 0)")
    drawn(page, 3)


def test_the_keyboard_reaches_everything_and_reads_codes(open_page):
    page = open_page()
    first_slice(page)
    page.locator("a").first.focus()
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    controls = {"position", "seed", "go", "map", "brush", "undo", "clear", "codes"}
    assert reached >= controls
    page.locator("#codes").focus()
    page.keyboard.press("ArrowRight")
    code = page.evaluate("shown.codes[8]")
    assert page.locator("#code-at").inner_text().startswith(f"Code {code}, column 2")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_view(open_page, width, scheme):
    page = open_page(width, scheme)
    first_slice(page)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    picture = ARTEFACTS / f"demo_{width}_{scheme}.png"
    page.screenshot(path=picture, full_page=True)
