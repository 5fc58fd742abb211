"""What notebook 05 alone draws: maps over the grid of codes, and the blind test.

Maps over the grid are drawn like slices: upright, in mm, each code as large as the
patch of pixels that it stands for.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom
from torch import Tensor

from lessons.figures import draw_slice, slice_axes, slice_rows
from lessons.style import EXTENT, SLICE_MM, as_slices
from lessons.widgets import is_headless

BAR = 0.75  # inches for a colour bar and its label
MARK = "#D55E00"
COLUMNS = 4  # of the blind test's panels


def grid_maps(
    maps,
    titles: Sequence[str],
    label: str,
    columns: int = 4,
    marks: Sequence[tuple[int, int]] = (),
) -> Figure:
    """Numbers on the grid of codes, one panel for each map, with one colour bar.

    Args:
        maps: `[N, h, w]`; NaN is light grey.
        titles: one for each map.
        label: what the numbers are, with their unit.
        columns: panels in a row.
        marks: a code (row, column) to frame in each map.
    """
    maps = as_slices(maps).astype(float)
    columns = min(columns, len(maps))
    figure, axes = slice_axes(math.ceil(len(maps) / columns), columns, 2.2, more=BAR)
    limits = float(np.nanmin(maps)), float(np.nanmax(maps))
    for axis, values, title in zip(axes.flat, maps, titles, strict=False):
        shown = _draw_map(axis, values, limits)
        axis.set_title(title)
    side = [mm / n for mm, n in zip(SLICE_MM, maps.shape[1:], strict=True)]
    for axis, (row, column) in zip(axes.flat, marks, strict=False):
        corner = row * side[0], column * side[1]
        axis.add_patch(
            plt.Rectangle(corner, *side, fill=False, edgecolor=MARK, linewidth=1.8)
        )
    _colour_bar(figure, shown, axes, label)
    return figure


def surprisal_maps(images, nats, titles: Sequence[str], limit: float, masks=None):
    """Slices, and under each how surprising its codes are to a prior.

    Args:
        images: `[N, 1, H, W]`.
        nats: −log p of every code, `[N, h, w]`.
        titles: one for each slice.
        limit: of the colours, in nats.
        masks: `[N, H, W]`, outlined in both rows.
    """
    images, nats = as_slices(images), as_slices(nats).astype(float)
    figure, axes = slice_axes(2, len(images), 2.2, more=BAR)
    for axis, image, title in zip(axes[0], images, titles, strict=True):
        draw_slice(axis, image)
        axis.set_title(title)
    for axis, values in zip(axes[1], nats, strict=True):
        shown = _draw_map(axis, values, (0.0, limit))
    for row in axes if masks is not None else ():
        for axis, mask in zip(row, as_slices(masks).astype(float), strict=True):
            axis.contour(
                mask.T, [0.5], extent=EXTENT, origin="lower", colors=MARK, linewidths=1
            )
    _colour_bar(figure, shown, axes[1], "−log p, nats per code")
    return figure


def _draw_map(axis, values: np.ndarray, limits: tuple[float, float]):
    colours = plt.get_cmap("viridis").with_extremes(bad="0.93")
    return draw_slice(axis, values, limits, cmap=colours)


def _colour_bar(figure: Figure, shown, axes, label: str) -> None:
    figure.colorbar(
        shown, ax=axes, location="bottom", shrink=0.5, aspect=40, label=label
    )


@dataclass
class BlindTest:
    """Held-out or generated? Slices in random order, and the reader's answers so far.

    Live there are two buttons and a running score; where nobody can press them all
    slices are shown with numbers, and the answers are printed below.
    """

    images: np.ndarray  # [N, H, W]
    real: np.ndarray  # [N] bool
    answers: list[bool] = field(default_factory=list)  # real?

    def answer(self, real: bool) -> None:
        """An answer for the present slice; ignored after the last."""
        if len(self.answers) < len(self.real):
            self.answers.append(real)

    def verdict(self) -> str:
        """The score, and how often pure guessing does as well or better."""
        asked = len(self.answers)
        if not asked:
            return "Real or generated?"
        right = int((np.array(self.answers) == self.real[:asked]).sum())
        luck = binom.sf(right - 1, asked, 0.5)
        was = "real" if self.real[asked - 1] else "generated"
        last = "" if asked < len(self.real) else " That was the last one."
        return (
            f"The last one was {was}; {right} of {asked} right "
            f"(guessing does as well in {luck:.0%} of all tries).{last}"
        )


def shuffled(real: Tensor, generated: Tensor, seed: int = 0) -> BlindTest:
    """Both sets `[N, 1, H, W]`, `[M, 1, H, W]` in random order."""
    both = np.concatenate([as_slices(real), as_slices(generated)])
    order = np.random.default_rng(seed).permutation(len(both))
    return BlindTest(both[order], order < len(real))


def blind_test(real: Tensor, generated: Tensor, seed: int = 0) -> BlindTest:
    """Ask the reader which slices are real; see `BlindTest`."""
    test = shuffled(real, generated, seed)
    if not is_headless():
        from IPython.display import display

        display(buttons(test))
        return test
    rows = {}
    for start in range(0, len(test.real), COLUMNS):
        last = min(start + COLUMNS, len(test.real))
        rows[f"{start + 1} to {last}"] = test.images[start:last]
    slice_rows(rows, width=2.4)
    plt.show()
    numbers = ", ".join(str(i + 1) for i in np.flatnonzero(test.real))
    print(f"Decide first, then read on. Real are numbers {numbers}.")
    return test


def buttons(test: BlindTest):
    """The widget: one slice at a time, two buttons, the score."""
    import ipywidgets  # of the extra `lab`, not needed headless

    picture = ipywidgets.Image(value=_png(test.images[0]), format="png", width=480)
    verdict = ipywidgets.HTML(test.verdict())
    choices = [ipywidgets.Button(description=name) for name in ("real", "generated")]

    def press(button):
        test.answer(button.description == "real")
        verdict.value = test.verdict()
        if len(test.answers) < len(test.real):
            picture.value = _png(test.images[len(test.answers)])
        else:
            for choice in choices:
                choice.disabled = True

    for choice in choices:
        choice.on_click(press)
    return ipywidgets.VBox([picture, ipywidgets.HBox(choices), verdict])


def _png(image: np.ndarray) -> bytes:
    """A picture of one slice, upright."""
    figure = slice_rows({"": image}, width=4.0)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return file.getvalue()
