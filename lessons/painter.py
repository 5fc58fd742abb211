"""Painting with codes: press a place of a slice, and the decoder redraws it at once.

The brush is one code of a palette, or the codes that another slice has at the same
places, or those that the slice had at first: so an organ can be painted away and back.
"""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
from torch import Tensor

from lessons import pixels
from lessons.editing import editing
from lessons.palette import Decode, Palette
from lessons.widgets import is_headless, present

BRUSHES = ("the chosen code", "the other slice", "as it was")


class Painting:
    """A grid of codes `[h, w]` that is painted on, and remembers each stroke."""

    def __init__(self, codes: Tensor):
        self.original, self.codes = codes.clone(), codes.clone()
        self.past: list[Tensor] = []

    def begin(self) -> None:
        """A new stroke: `undo` will come back to here."""
        self.past.append(self.codes.clone())

    def put(self, place: tuple[int, int], size: int, new: Tensor | int) -> None:
        """Paint ``size`` x ``size`` places around one: with a code, or with those of a
        grid `[h, w]` at the same places."""
        box = square(place, size, tuple(self.codes.shape))
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


def square(place: tuple[int, int], size: int, grid: tuple[int, int]):
    """Rows and columns of the square around a place, cut off at the edges."""
    before, after = (size - 1) // 2, size // 2
    return tuple(
        slice(max(0, at - before), min(n, at + after + 1))
        for at, n in zip(place, grid, strict=True)
    )


def code_painter(
    codes: Tensor,
    decode: Decode,
    patches,
    groups: Mapping[str, Sequence[int]],
    titles: Sequence[str],
    example: tuple[int, int, tuple[slice, slice]],
) -> None:
    """Paint slices with codes.

    Headless it draws one fixed edit: the slice before and after, and the change.

    Args:
        codes: `[N, h, w]` of the slices to choose from.
        decode: codes `[n, h, w]` → slices `[n, 1, H, W]` on the CPU.
        patches: `[K, a, b]`, a picture of each code, in [0, 1].
        groups: name → codes, as the palette lists them, in this order.
        titles: one for each slice.
        example: the slice to begin with, the other slice that a brush takes codes from,
            and the block of the fixed edit, as rows and columns of the code grid; the
            cursor begins in its middle.
    """
    row, other, box = example
    if not is_headless():
        present(live_painter(codes, decode, patches, groups, titles, *example))
        return
    painting = Painting(codes[row])
    painting.codes[box] = codes[other][box]
    before, after = decode(painting.original[None]), decode(painting.codes[None])
    editing(
        {"before": before, "painted": after, "change": after - before},
        box,
        tuple(codes.shape[1:]),
    )
    plt.gcf().suptitle(f"{titles[row]}, with codes of {titles[other]}")
    plt.show()


def live_painter(codes, decode, patches, groups, titles, row: int, other: int, box):
    """The painter with its controls, its cursor in the middle of a block of places;
    returns the widget that holds them."""
    import ipywidgets  # of the extra `lab`, not needed headless

    from lessons.touch import Touch

    grid = tuple(codes.shape[1:])
    options = [(title, i) for i, title in enumerate(titles)]
    slices = ipywidgets.Dropdown(options=options, value=row, description="slice")
    source = ipywidgets.Dropdown(options=options, value=other, description="other")
    brush = ipywidgets.Dropdown(options=BRUSHES, description="paint with")
    size = ipywidgets.IntSlider(1, 1, max(2, min(grid) // 2), description="brush size")
    undo, reset = (ipywidgets.Button(description=name) for name in ("undo", "reset"))
    view = Touch(
        shape=list(grid),
        cursor=pixels.to_cell([(s.start + s.stop - 1) // 2 for s in box], grid),
        label="slice to paint on",
        width=512,
        aspect=pixels.ASPECT,
    )
    palette = Palette(patches, groups)
    still = Touch(touchable=False, width=250, aspect=pixels.ASPECT, label="change")
    painting = Painting(codes[row])
    start = decode(painting.codes[None])

    def draw():
        image = decode(painting.codes[None])
        view.picture = pixels.png(pixels.grey(image))
        still.picture = pixels.png(pixels.change(image - start))
        tell()

    def tell(*_):
        i, j = pixels.to_place(view.cursor, grid)
        view.status = (
            f"code {int(painting.codes[i, j])} here; "
            f"{painting.changed} of {painting.codes.numel()} codes painted"
        )

    def press(cell, first):
        if first:
            painting.begin()
        new = {
            BRUSHES[0]: palette.code,
            BRUSHES[1]: codes[source.value],
            BRUSHES[2]: painting.original,
        }[brush.value]
        painting.put(pixels.to_place(cell, grid), size.value, new)
        draw()

    def take(*_):
        nonlocal painting, start
        painting = Painting(codes[slices.value])
        start = decode(painting.codes[None])
        draw()

    def then_draw(act: Callable[[], None]):
        def clicked(_):
            act()
            draw()

        return clicked

    view.on_press(press)
    view.observe(tell, "cursor")  # moved by the keyboard
    slices.observe(take, "value")
    undo.on_click(then_draw(lambda: painting.undo()))
    reset.on_click(then_draw(lambda: painting.reset()))
    still.status = "change: more signal red, less blue"
    draw()
    controls = ipywidgets.VBox(
        [slices, brush, size, source, ipywidgets.HBox([undo, reset]), still]
    )
    pictures = ipywidgets.VBox([view, palette.widget])
    return ipywidgets.HBox([controls, pictures])
