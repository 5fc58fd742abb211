"""Where a code occurs, and which code occurs here: palette and slices, linked."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from lessons import pixels
from lessons.codebook import patch_rows
from lessons.codes import HIT, hits
from lessons.palette import Palette
from lessons.widgets import is_headless, present


def codebook_explorer(
    images: Tensor,
    codes: Tensor,
    patches,
    groups: Mapping[str, Sequence[int]],
    notes: Sequence[str],
    titles: Sequence[str],
    begin: int,
    examples: Callable[[int], Tensor],
) -> None:
    """Choose a code and see where it occurs; press a place and see which code it has.

    Headless it draws the three slices that have most of the first code, and real
    patches that got it.

    Args:
        images: `[N, 1, H, W]`.
        codes: `[N, h, w]` of them.
        patches: `[K, a, b]`, a picture of each code, in [0, 1].
        groups: name → codes, as the palette lists them, in this order.
        notes: a line on each of the K codes.
        titles: one for each slice.
        begin: the code to begin with.
        examples: code → `[n, a, b]`, real patches that got it.
    """
    if not is_headless():
        args = (images, codes, patches, groups, notes, titles, begin, examples)
        present(live_explorer(*args))
        return
    rows = richest(codes, begin)[:3]
    where = codes[rows] == begin
    hits(images[rows], where, titles=[titles[row] for row in rows])
    plt.suptitle(f"code {begin}: {notes[begin]}")
    plt.show()
    if len(real := examples(begin)):
        patch_rows({f"code {begin}": real})
        plt.show()


def richest(codes: Tensor, code: int) -> list[int]:
    """The slices that have a code, those with most of it first."""
    amount = (codes == code).flatten(1).sum(1)
    order = amount.argsort(descending=True, stable=True)
    return order[: max(1, int((amount > 0).sum()))].tolist()


def live_explorer(images, codes, patches, groups, notes, titles, begin: int, examples):
    """The explorer with its controls; returns the widget that holds them."""
    import ipywidgets  # of the extra `lab`, not needed headless

    from lessons.touch import Touch

    grid, scale = tuple(codes.shape[1:]), 2
    palette = Palette(patches, groups)
    palette.choose(begin)
    number = ipywidgets.IntSlider(1, 1, 1, description="slice")
    shape, aspect = list(grid), pixels.ASPECT
    view = Touch(shape=shape, label="slice: press a place", width=420, aspect=aspect)
    places = Touch(touchable=False, label="map", width=250, aspect=aspect)
    words = Touch(touchable=False, label="real patches", width=250)
    rows: list[int] = []

    def draw(*_):
        row = rows[min(number.value, len(rows)) - 1]
        picture = pixels.grey(images[row], scale=scale)
        here = codes[row] == palette.code
        view.picture = pixels.png(pixels.fill(picture, here, HIT))
        tell()

    def tell(*_):
        row = rows[min(number.value, len(rows)) - 1]
        here = int((codes[row] == palette.code).sum())
        under = int(codes[row][pixels.to_place(view.cursor, grid)])
        view.status = f"{titles[row]}: {here} times here; under the cursor code {under}"

    def choose():
        rows[:] = richest(codes, palette.code)
        share = (codes == palette.code).double().mean(0)
        places.picture = pixels.png(pixels.heat(share))
        places.status = f"map: in up to {float(share.max()):.0%} of the slices here"
        palette.sheet.status = f"code {palette.code}: {notes[palette.code]}"
        show_examples()
        number.max = len(rows)
        number.value = 1
        draw()

    def show_examples():
        real = examples(palette.code)
        words.status = f"{len(real)} real patches that got it"
        picture = pixels.sheet(real if len(real) else torch.zeros(1, 3, 3), columns=4)
        words.aspect = picture.shape[1] / picture.shape[0]
        words.picture = pixels.png(picture)

    def press(cell, _):
        row = rows[number.value - 1]
        code = int(codes[row][pixels.to_place(cell, grid)])
        palette.choose(code)
        if row in rows:  # stay with the slice that was pressed
            number.value = rows.index(row) + 1

    palette.observe(choose)
    view.on_press(press)
    view.observe(tell, "cursor")  # moved by the keyboard
    number.observe(draw, "value")
    choose()
    left = ipywidgets.VBox([palette.widget, places, words])
    return ipywidgets.HBox([left, ipywidgets.VBox([number, view])])
