"""The widgets that are touched: what a press or a slider does to the picture."""

import io
import sys

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

import lessons as show
from lessons import boards, browser, explorer, painter, pixels
from lessons.palette import Palette
from lessons.touch import Touch
from vqlib.data import SliceDataset

GRID, SIZE = (8, 4), (32, 16)
GROUPS = {"dark": [0, 1, 2], "bright": [3, 4], "none": []}
TITLES = ["first", "second", "third"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def headless(monkeypatch):
    """Nobody is there, and ipywidgets cannot even be imported."""
    monkeypatch.setenv("VQLIB_HEADLESS", "1")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)


def decode(codes):
    """A code is its brightness, in patches of 4 x 4 pixels."""
    return codes[:, None].repeat_interleave(4, 2).repeat_interleave(4, 3) / 4


def some_codes():
    codes = torch.zeros(3, *GRID, dtype=torch.int64)
    codes[1] = 2
    codes[2, :, :2] = 3
    return codes


def patches():
    return torch.linspace(0, 1, 5)[:, None, None].expand(5, 4, 4)


BOX = slice(1, 3), slice(0, 2)  # of the code grid


def leaves(widget):
    if not isinstance(widget, ipywidgets.Box):
        return [widget]
    return [leaf for child in widget.children for leaf in leaves(child)]


def controls(widget):
    """Controls by their description, pictures by their label."""
    named = [
        (getattr(w, "description", None) or w.label, w)
        for w in leaves(widget)
        if not isinstance(w, ipywidgets.HTML)
    ]
    assert len(dict(named)) == len(named)
    return dict(named)


def pressed(touch, place, first=True):
    """As the browser tells it."""
    cell = pixels.to_cell(place, GRID)
    touch.cursor = cell
    touch._handle_custom_msg({"press": cell, "first": first}, [])


def shown(touch):
    """The picture as `[columns, rows]`, turned back into a slice, in [0, 255]."""
    picture = np.asarray(Image.open(io.BytesIO(touch.picture)).convert("L"))
    return picture[::-1].T.astype(int)


def dataset(labels=True):
    """Patient 4 with weeks 0 (3 slices) and 2 (1 slice), patient 9 with week 1 (2)."""
    patients = torch.tensor([4, 4, 4, 4, 9, 9])
    weeks = torch.tensor([0, 0, 0, 2, 1, 1])
    random = torch.Generator().manual_seed(0)
    images = torch.rand(6, 1, 64, 32, generator=random)
    maps = torch.ones(6, 64, 32, dtype=torch.uint8) if labels else None
    return SliceDataset(images, maps, torch.zeros(6), patients, weeks)


def live_browser(data):
    volumes = {4: {0: [0, 1, 2], 2: [3]}, 9: {1: [4, 5]}}
    return controls(browser.live_browser(data, volumes, (0.0, 1.0)))


def test_browser_headless_shows_the_middle_of_the_first_scan(headless):
    show.slice_browser(dataset())
    axis = plt.gcf().axes[0]
    assert axis.get_title() == "patient 004, week 0, slice 2 of 3"
    assert plt.gcf().legends  # with labels


def test_browser_menus_follow_the_patient():
    c = live_browser(dataset())
    view = c["slice shown"]
    assert view.status == "patient 004, week 0, slice 2 of 3"
    assert c["week"].options == (0, 2)
    c["slice"].value = 3
    c["week"].value = 2
    assert (c["slice"].value, c["slice"].max) == (1, 1)
    assert view.status == "patient 004, week 2, slice 1 of 1"
    c["patient"].value = 9
    assert c["week"].options == (1,)
    assert c["slice"].max == 2
    assert view.status == "patient 009, week 1, slice 1 of 2"


def test_browser_shows_the_slice_in_its_window_with_its_labels():
    data = dataset()
    c = live_browser(data)
    view = c["slice shown"]
    with_outline = view.picture
    c["labels"].value = False
    assert view.picture != with_outline
    want = data.images[1, 0].numpy().repeat(4, 0).repeat(4, 1) * 255
    assert np.abs(shown(view) - want).max() <= 1
    c["window"].value = (0.2, 0.6)
    low = want < 0.2 * 255
    assert (shown(view)[low] == 0).all()
    assert live_browser(dataset(labels=False))["labels"].disabled


def test_a_stroke_changes_its_square_and_can_be_taken_back():
    painting = painter.Painting(torch.zeros(*GRID, dtype=torch.int64))
    painting.begin()
    painting.put((0, 0), 3, 7)  # cut off at the corner
    assert painting.changed == 4
    painting.begin()
    painting.put((4, 2), 1, torch.full(GRID, 5))
    assert painting.codes[4, 2] == 5
    assert painting.changed == 5
    painting.undo()
    assert painting.changed == 4
    painting.reset()
    assert painting.changed == 0
    painting.undo()
    assert painting.changed == 4
    painting.undo()
    painting.undo()  # there is nothing more to take back
    assert painting.changed == 0


def test_painter_paints_where_it_is_pressed():
    codes = some_codes()
    widget = painter.live_painter(codes, decode, patches(), GROUPS, TITLES, 0, 1, BOX)
    c = controls(widget)
    view, palette = c["slice to paint on"], c["palette of codes"]
    assert shown(view).max() == 0
    assert boards.pixels.to_place(view.cursor, GRID) == (1, 0)  # amid the block
    palette.cursor = [2, 0]
    pressed(view, (6, 3))
    want = np.zeros(SIZE)
    want[24:28, 12:16] = 128  # code 2 of 0 … 4
    assert np.array_equal(shown(view), want)
    assert "1 of 32 codes painted" in view.status
    pressed(view, (5, 3), first=False)  # the same stroke
    c["undo"].click()
    assert shown(view).max() == 0
    assert torch.equal(codes, some_codes())  # the caller's codes stay as they were


def test_painter_takes_an_organ_away_and_brings_it_back():
    widget = painter.live_painter(
        some_codes(), decode, patches(), GROUPS, TITLES, 2, 0, BOX
    )
    c = controls(widget)
    view, before = c["slice to paint on"], controls(widget)["slice to paint on"].picture
    c["paint with"].value, c["brush size"].value = "the other slice", 2
    pressed(view, (1, 0))
    pressed(view, (3, 0), first=False)
    assert view.picture != before
    assert shown(view)[4:20, :8].max() == 0
    c["paint with"].value = "as it was"
    for place in ((1, 0), (3, 0)):
        pressed(view, place)
    assert view.picture == before
    c["slice"].value = 1
    assert shown(view).min() == 128


def test_two_painters_do_not_share_anything():
    one, two = (
        controls(
            painter.live_painter(
                some_codes(), decode, patches(), GROUPS, TITLES, 0, 1, BOX
            )
        )
        for _ in range(2)
    )
    pressed(one["slice to paint on"], (0, 0))
    one["palette of codes"].cursor = [1, 0]
    pressed(one["slice to paint on"], (1, 1))
    assert "0 of 32 codes painted" in two["slice to paint on"].status


def test_painter_headless_draws_before_after_and_change(headless):
    box = (slice(1, 3), slice(0, 2))
    show.code_painter(
        some_codes(), decode, patches(), GROUPS, TITLES, example=(0, 1, box)
    )
    before, after, change = [a for a in plt.gcf().axes if a.images][:3]
    assert before.images[0].get_array().max() == 0
    after = after.images[0].get_array().T
    assert after[4:12, :8].min() == 0.5
    assert after.sum() == pytest.approx(0.5 * 64)
    assert change.get_title() == "change"


def test_palette_lists_groups_and_finds_a_code():
    palette = Palette(patches(), GROUPS)
    assert palette.menu.options == ("dark", "bright")  # none has no codes
    assert palette.code == 0
    heard = []
    palette.observe(lambda: heard.append(palette.code))
    palette.choose(4)
    assert (palette.menu.value, palette.code) == ("bright", 4)
    assert heard[-1] == 4
    palette.sheet.cursor = [0, 5]  # beyond the last one
    assert palette.code == 4
    palette.choose(99)  # in no group
    assert palette.code == 4


def test_palette_wraps_and_reads_the_cursor_by_rows():
    palette = Palette(torch.rand(40, 4, 4), {"all": list(range(40))[::-1]})
    assert palette.sheet.shape == [16, 3]
    palette.sheet.cursor = [3, 1]
    assert palette.code == 39 - 19


def examples(code):
    """As many as the code's number."""
    return torch.rand(code, 6, 6, generator=torch.Generator().manual_seed(code))


def live_explorer():
    random = torch.Generator().manual_seed(0)
    images = torch.rand(3, 1, *SIZE, generator=random)
    notes = [f"note {k}" for k in range(5)]
    return controls(
        explorer.live_explorer(
            images, some_codes(), patches(), GROUPS, notes, TITLES, 3, examples
        )
    )


def test_explorer_links_palette_and_slices_both_ways():
    c = live_explorer()
    view, palette = c["slice: press a place"], c["palette of codes"]
    assert view.status.startswith("third: 16 times here; under the cursor code ")
    assert palette.status == "code 3: note 3"
    pressed(view, (0, 3))  # code 0 there
    assert palette.status == "code 0: note 0"
    assert view.status.startswith("third: 16 times")  # still the slice that was pressed
    assert c["slice"].max == 2  # the slices that have code 0
    c["slice"].value = 1
    assert view.status.startswith("first: 32 times here")


def test_explorer_shows_real_patches_of_the_chosen_code():
    c = live_explorer()
    real, palette = c["real patches"], c["palette of codes"]
    assert real.status == "3 real patches that got it"
    assert real.picture == pixels.png(pixels.sheet(examples(3), 4))
    before = real.picture
    pressed(c["slice: press a place"], (0, 3))
    assert palette.status == "code 0: note 0"
    assert real.status == "0 real patches that got it"
    assert real.picture != before


def test_the_status_follows_a_cursor_that_is_moved_by_the_keyboard():
    codes = torch.arange(3 * 32).view(3, *GRID) % 5
    painting = controls(
        painter.live_painter(codes, decode, patches(), GROUPS, TITLES, 0, 1, BOX)
    )["slice to paint on"]
    notes = [f"note {k}" for k in range(5)]
    exploring = controls(
        explorer.live_explorer(
            torch.rand(3, 1, *SIZE),
            codes,
            patches(),
            GROUPS,
            notes,
            TITLES,
            3,
            examples,
        )
    )["slice: press a place"]
    for cursor in ([0, 0], [3, 2], [7, 3]):
        place = boards.pixels.to_place(cursor, GRID)
        painting.cursor = exploring.cursor = cursor
        assert painting.status.startswith(f"code {int(codes[0][place])} here")
        row = next(i for i, title in enumerate(TITLES) if title in exploring.status)
        assert exploring.status.endswith(f"cursor code {int(codes[row][place])}")


def test_explorer_headless_draws_the_slices_that_have_most_of_it(headless):
    show.codebook_explorer(
        torch.rand(3, 1, *SIZE),
        some_codes(),
        patches(),
        GROUPS,
        [f"note {k}" for k in range(5)],
        TITLES,
        0,
        lambda code: examples(2 + code),
    )
    figures = [plt.figure(number).axes for number in plt.get_fignums()]
    assert [axis.get_title() for axis in figures[-2]] == ["first", "third"]
    assert len([axis for axis in figures[-1] if axis.images]) == 2


def from_latent(z):
    return (0.5 + z[:, :1, None, None] / 10).expand(len(z), 1, *SIZE)


def test_latent_board_pushes_a_unit_by_standard_deviations():
    starts = {"zero": torch.zeros(3), "one": torch.ones(3)}
    c = controls(boards.live_board(from_latent, starts, [0, 2], torch.full((3,), 2.0)))
    view = c["decoded slice"]
    assert shown(view).max() == 128
    c["unit 0"].value = 1.0
    assert shown(view).max() == int(0.7 * 255 + 0.5)
    c["slice"].value = "one"
    assert shown(view).max() == int(0.8 * 255 + 0.5)
    c["all to 0"].click()
    assert c["unit 0"].value == 0
    assert shown(view).max() == int(0.6 * 255 + 0.5)


def test_latent_board_headless_draws_a_row_for_each_unit(headless):
    show.latent_board(from_latent, {"zero": torch.zeros(3)}, [0, 2], torch.ones(3))
    drawn = [axis.images[0].get_array().mean() for axis in plt.gcf().axes]
    assert drawn[:5] == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8])
    assert drawn[5:10] == pytest.approx([0.5] * 5)


def from_prior(temperature, position, seed, on_row):
    codes = torch.full((1, *GRID), round(100 * (temperature + position + seed)))
    if on_row is not None:
        for row in range(GRID[0]):
            so_far = codes.clone()
            so_far[:, row + 1 :] = -1
            on_row(so_far)
    return codes


def as_grey(codes):
    assert (codes >= 0).all()
    fine = codes.repeat_interleave(SIZE[0] // GRID[0], 1)
    return fine.repeat_interleave(SIZE[1] // GRID[1], 2)[:, None] / 1000


def test_sampler_draws_with_the_values_of_its_controls():
    c = controls(boards.live_sampler(from_prior, as_grey, 1.0, 0.5, 2))
    view = c["a slice drawn from the prior"]
    assert shown(view).max() == int(0.35 * 255 + 0.5)
    c["another seed"].click()
    assert c["seed"].value == 3
    c["temperature"].value = 2.0
    assert shown(view).max() == int(0.55 * 255 + 0.5)
    assert view.status == "temperature 2.0, position 0.50, seed 3"


def test_sampler_shows_a_slice_while_it_grows(monkeypatch):
    pictures = []

    def kept(picture):
        pictures.append(picture)
        return b""

    monkeypatch.setattr(boards.pixels, "png", kept)
    monkeypatch.setattr(boards, "PAUSE", 0.0)
    boards.live_sampler(from_prior, as_grey, 1.0, 0.5, 2)
    filled = [(picture > 0).mean() for picture in pictures]
    assert filled == [(row + 1) / GRID[0] for row in range(GRID[0])]
    first = pictures[0]  # the first row of codes is the patient's right
    assert first[:, : first.shape[1] // GRID[0]].min() > 0
    pictures.clear()
    monkeypatch.setattr(boards, "PAUSE", 60.0)
    boards.live_sampler(from_prior, as_grey, 1.0, 0.5, 2)
    assert len(pictures) == 1  # one that is drawn at once is shown once


def test_sampler_headless_draws_three_temperatures(headless):
    show.sampler(from_prior, as_grey, 1.0, 0.5, 0)
    titles = [axis.get_title() for axis in plt.gcf().axes if axis.images]
    assert titles == ["temperature 0.5", "temperature 1", "temperature 1.5"]


def test_every_control_has_a_label():
    codes, random = some_codes(), torch.rand(3, 1, *SIZE)
    args = patches(), GROUPS
    widgets = [
        browser.live_browser(dataset(), {4: {0: [0, 1]}}, (0.0, 1.0)),
        painter.live_painter(codes, decode, *args, TITLES, 0, 1, BOX),
        explorer.live_explorer(random, codes, *args, ["n"] * 5, TITLES, 0, examples),
        boards.live_board(from_latent, {"zero": torch.zeros(3)}, [0], torch.ones(3)),
        boards.live_sampler(from_prior, as_grey, 1.0, 0.5, 0),
    ]
    for widget in widgets:
        for control in leaves(widget):
            if isinstance(control, Touch):
                assert control.label
                assert control.picture.startswith(b"\x89PNG")
            elif not isinstance(control, ipywidgets.HTML):
                assert control.description


def test_pixels_are_upright_and_keep_their_cells():
    image = torch.zeros(SIZE)
    image[4:8, 12:16] = 1.0  # place (1, 3): at the head end
    picture = pixels.grey(image, scale=2)
    assert picture.shape == (32, 64, 3)
    assert picture[:8, 8:16].min() == 255
    assert picture.astype(int).sum() == 3 * 255 * 64
    where = np.zeros(GRID, bool)
    where[1, 3] = True
    filled = pixels.fill(pixels.grey(torch.zeros(SIZE)), where, "#ffffff", 1.0)
    assert filled[:4, 4:8].min() == 255
    assert filled.astype(int).sum() == 3 * 255 * 16
    for place in ((0, 0), (7, 3), (2, 1)):
        assert pixels.to_place(pixels.to_cell(place, GRID), GRID) == place


def test_change_is_white_where_nothing_changed_red_and_blue_elsewhere():
    difference = torch.zeros(SIZE)
    difference[0, 0], difference[0, 15] = 0.5, -0.5
    picture = pixels.change(difference).astype(int)
    assert np.ptp(picture[8, 16]) < 10
    red, _, blue = picture[-1, 0]
    assert red > blue + 50
    red, _, blue = picture[0, 0]
    assert blue > red + 50


def test_labels_are_filled_and_the_body_is_outlined():
    labels = torch.zeros(64, 32, dtype=torch.uint8)
    labels[8:56, 4:28] = 1
    labels[20:30, 10:20] = 5
    picture = pixels.with_labels(pixels.grey(torch.zeros(64, 32)), labels)
    coloured = picture.any(-1)[::-1].T
    assert coloured[20:30, 10:20].all()
    edge = 48 * 24 - 46 * 22
    assert coloured.sum() == 100 + edge
