"""Painting with codes: press a place of a slice, and the decoder redraws it at once.

The brush is one code of a palette, or the codes that another slice has at the same
places, or those that the slice had at first: so an organ can be painted away and back.
Used in notebook 04.
"""

from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from torch import Tensor

from lessons.n04_figures import editing
from lessons.style import CHANGE, as_slices
from lessons.widgets import pixels
from lessons.widgets.headless import is_headless
from lessons.widgets.touch import Touch

BRUSHES = ("the chosen code", "the other slice", "as it was")
COLUMNS, SIDE = 16, 30  # of the palette: codes in a row, screen pixels for one


def code_painter(
    codes: Tensor,
    decode: Callable[[Tensor], Tensor],
    patches,
    groups: Mapping[str, Sequence[int]],
    titles: Sequence[str],
    example: tuple[int, int, tuple[slice, slice]],
) -> None:
    """Paint slices with codes.

    ``codes`` `[N, h, w]` are those of the slices to choose from, named by ``titles``;
    ``decode`` makes slices `[n, 1, H, W]` of them on the CPU. The palette lists
    ``groups`` (name → codes) with a picture of each code (``patches`` `[K, a, b]`, in
    [0, 1]). ``example``: the slice to begin with, the other slice that a brush takes
    codes from, and the block (rows and columns of the grid) that is pasted from it
    where the run is headless; the cursor begins in its middle.
    """
    if not is_headless():
        display(live_painter(codes, decode, patches, groups, titles, *example))
        return
    row, other, box = example
    painted = codes[row].clone()
    painted[box] = codes[other][box]
    before, after = decode(codes[[row]]), decode(painted[None])
    panels = {"before": before, "painted": after, "change": after - before}
    editing(panels, box, tuple(codes.shape[1:]))
    plt.gcf().suptitle(f"{titles[row]}, with codes of {titles[other]}")
    plt.show()


class Painting:
    """A grid of codes `[h, w]` that is painted on, and remembers each stroke."""

    def __init__(self, codes: Tensor):
        self.original, self.codes = codes.clone(), codes.clone()
        self.past: list[Tensor] = []

    def begin(self) -> None:
        """A new stroke: `undo` will come back to here."""
        self.past.append(self.codes.clone())

    def put(self, place: Sequence[int], size: int, new: Tensor | int) -> None:
        """Paint ``size`` x ``size`` places around one: with a code, or with those of a
        grid `[h, w]` at the same places."""
        box = tuple(
            slice(max(0, at - (size - 1) // 2), at + size // 2 + 1) for at in place
        )
        self.codes[box] = new[box] if isinstance(new, Tensor) else new

    def undo(self) -> None:
        if self.past:
            self.codes = self.past.pop()

    def reset(self) -> None:
        self.begin()
        self.codes = self.original.clone()

    @property
    def changed(self) -> int:
        """Places whose code is not the original one."""
        return int((self.codes != self.original).sum())


class Palette:
    """A menu of groups of codes, and the sheet of those in one of them."""

    def __init__(self, patches, groups: Mapping[str, Sequence[int]]):
        self.patches = as_slices(patches)
        self.groups = {name: list(codes) for name, codes in groups.items() if codes}
        self.menu = ipywidgets.Dropdown(options=list(self.groups), description="codes")
        self.sheet = Touch(label="palette of codes")
        scroll = ipywidgets.Layout(max_height="260px", overflow="auto")
        self.widget = ipywidgets.VBox(
            [self.menu, ipywidgets.VBox([self.sheet], layout=scroll)]
        )
        self._show_group()
        self.menu.observe(self._show_group, "value")
        self.sheet.observe(self._show_choice, "cursor")

    @property
    def code(self) -> int:
        """The chosen one."""
        column, row = self.sheet.cursor
        codes = self.groups[self.menu.value]
        return codes[min(row * self.sheet.shape[0] + column, len(codes) - 1)]

    def _show_group(self, *_) -> None:
        codes = self.groups[self.menu.value]
        columns = min(COLUMNS, len(codes))
        picture = pixels.sheet(self.patches[np.array(codes)], columns)
        self.sheet.shape = [columns, -(-len(codes) // columns)]
        self.sheet.cursor = [0, 0]
        self.sheet.width = SIDE * columns
        self.sheet.aspect = picture.shape[1] / picture.shape[0]
        self.sheet.picture = pixels.png(picture)
        self._show_choice()

    def _show_choice(self, *_) -> None:
        self.sheet.status = f"chosen: code {self.code}"


def live_painter(codes, decode, patches, groups, titles, row: int, other: int, box):
    """The painter with its controls; returns the widget that holds them."""
    grid = tuple(codes.shape[1:])
    options = [(title, i) for i, title in enumerate(titles)]
    slices = ipywidgets.Dropdown(options=options, value=row, description="slice")
    source = ipywidgets.Dropdown(options=options, value=other, description="other")
    brush = ipywidgets.Dropdown(options=BRUSHES, description="paint with")
    size = ipywidgets.IntSlider(1, 1, max(2, min(grid) // 2), description="brush size")
    undo, reset = (ipywidgets.Button(description=name) for name in ("undo", "reset"))
    middle = [(side.start + side.stop - 1) // 2 for side in box]
    view = Touch(
        shape=list(grid),
        cursor=pixels.to_cell(middle, grid),
        label="slice to paint on",
        width=512,
        aspect=pixels.ASPECT,
    )
    palette = Palette(patches, groups)
    still = ipywidgets.Image(width=250, height=round(250 / pixels.ASPECT))
    painting = Painting(codes[row])
    start = decode(painting.codes[None])

    def draw() -> None:
        image = decode(painting.codes[None])
        view.picture = pixels.png(pixels.upright(image))
        change = pixels.upright(image - start)
        still.value = pixels.png(change, (-0.5, 0.5), CHANGE)
        describe()

    def describe(*_) -> None:
        i, j = pixels.to_cell(view.cursor, grid)
        view.status = (
            f"code {int(painting.codes[i, j])} here; "
            f"{painting.changed} of {painting.codes.numel()} codes painted"
        )

    def press(cell, first: bool) -> None:
        if first:
            painting.begin()
        brushes = palette.code, codes[source.value], painting.original
        new = brushes[BRUSHES.index(brush.value)]
        painting.put(pixels.to_cell(cell, grid), size.value, new)
        draw()

    def take(*_) -> None:
        nonlocal painting, start
        painting = Painting(codes[slices.value])
        start = decode(painting.codes[None])
        draw()

    view.on_press(press)
    view.observe(describe, "cursor")  # moved by the keyboard
    slices.observe(take, "value")
    undo.on_click(lambda _: (painting.undo(), draw()))
    reset.on_click(lambda _: (painting.reset(), draw()))
    draw()
    legend = ipywidgets.Label("change: more signal red, less blue")
    buttons = ipywidgets.HBox([undo, reset])
    controls = [slices, brush, size, source, buttons, still, legend]
    pictures = ipywidgets.VBox([view, palette.widget])
    return ipywidgets.HBox([ipywidgets.VBox(controls), pictures])
