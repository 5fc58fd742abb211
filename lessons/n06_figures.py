"""What notebook 06 alone draws: maps beside slices, balls around points, the trial of
the scores, crops of different slices, and the blind test."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from scipy.stats import binom
from torch import Tensor

from lessons.crops import crop_boxes
from lessons.curves import heatmap
from lessons.figures import draw_labels, draw_slice, slice_axes
from lessons.style import PALETTE, SLICE_MM, WIDTH, as_slices
from lessons.widgets import is_headless
from vqlib.metrics import Slices


def slices_and_maps(
    images, maps: Mapping[str, object], titles: Sequence[str] = ()
) -> Figure:
    """Slices, and under them the same slices with each kind of label map.

    Args:
        images: `[N, 1, H, W]`.
        maps: name of a row → `[N, H, W]`.
        titles: one for each slice.
    """
    images = as_slices(images)
    figure, axes = slice_axes(1 + len(maps), len(images), 3.4, 0.05, 0.3)
    rows = {"slice": None} | dict(maps)
    for line, (name, labels) in zip(axes, rows.items(), strict=True):
        for column, (axis, image) in enumerate(zip(line, images, strict=True)):
            draw_slice(axis, image)
            if labels is not None:
                draw_labels(axis, as_slices(labels)[column], 0.75)
        style = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 9}
        line[0].text(-0.03, 0.5, name, transform=line[0].transAxes, **style)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title)
    return figure


def balls(
    cases: Mapping[str, tuple[np.ndarray, np.ndarray, str]], radii: np.ndarray
) -> Figure:
    """Points in two dimensions: held-out ones with their balls, and samples.

    Args:
        cases: title → held-out points `[M, 2]`, samples `[N, 2]`, and what is said
            below the panel.
        radii: of the balls around the held-out points, `[M]`.
    """
    figure, axes = plt.subplots(
        1, len(cases), figsize=(WIDTH, 3.6), layout="constrained", squeeze=False
    )
    for axis, (title, (held_out, samples, text)) in zip(
        axes[0], cases.items(), strict=True
    ):
        for centre, radius in zip(held_out, radii, strict=True):
            axis.add_patch(Circle(centre, radius, color="0.5", alpha=0.12, lw=0))
        axis.plot(*held_out.T, "o", ms=4, color="0.35", label="held out")
        axis.plot(*samples.T, "^", ms=5, color=PALETTE[3], label="samples")
        axis.set(title=title, xlabel=text, xticks=[], yticks=[], aspect="equal")
        reach = 1.15 * float(np.abs(held_out).max() + radii.max())
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes[0, 0].legend(loc="upper left")
    return figure


def trial_table(
    orders: Mapping[str, Mapping[str, float]],
    must_see: Mapping[str, Sequence[str]],
    titles: Mapping[str, str],
) -> Figure:
    """Rank correlations of scores (rows) and harms (columns), with a frame around what
    a score exists to see.

    Args:
        orders: harm → (score → rank correlation).
        must_see: harm → scores.
        titles: score → its name on the axis; the rows, in order.
    """
    table = [[found[key] for found in orders.values()] for key in titles]
    figure = heatmap(
        table, list(titles.values()), list(orders), "rank correlation", form=".1f"
    )
    figure.set_size_inches(8.5, 1.6 + 0.32 * len(titles))
    axis, keys = figure.axes[0], list(titles)
    axis.tick_params("x", rotation=20)
    for label in axis.get_xticklabels():
        label.set_ha("right")
    for column, harm in enumerate(orders):
        for key in must_see[harm]:
            if key in keys:
                corner = column - 0.46, keys.index(key) - 0.46
                style = {"fill": False, "edgecolor": "#D55E00", "linewidth": 2.5}
                axis.add_patch(Rectangle(corner, 0.92, 0.92, **style))
    return figure


def crops_side_by_side(versions: Mapping[str, tuple[Slices, int]]) -> Figure:
    """Hip, bladder and prostate of different slices at three times the size: a row for
    each place, a column for each slice.

    Args:
        versions: title → a set of slices, and the number of one of them.
    """
    boxes = {name: crop_boxes(*chosen) for name, chosen in versions.items()}
    places = list(next(iter(boxes.values())))
    side = min(2.6, (WIDTH - 0.4) / len(versions))
    figure, axes = plt.subplots(
        len(places),
        len(versions),
        figsize=(side * len(versions) + 0.4, (side + 0.05) * len(places) + 0.3),
        layout="constrained",
        squeeze=False,
    )
    for column, (title, (slices, number)) in zip(axes.T, versions.items(), strict=True):
        image = as_slices(slices.images[number])[0]
        height, width = (mm / n for mm, n in zip(SLICE_MM, image.shape, strict=True))
        for axis, place in zip(column, places, strict=True):
            part = image[boxes[title][place]].T
            style = {"cmap": "gray", "vmin": 0, "vmax": 1, "aspect": width / height}
            axis.imshow(part, origin="lower", **style)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        column[0].set_title(title)
    for axis, place in zip(axes[:, 0], places, strict=True):
        axis.set_ylabel(place)
    return figure


@dataclass
class BlindTest:
    """Pairs of a held-out and a drawn slice: which one is drawn? And the reader's
    answers so far."""

    left: np.ndarray  # [N, H, W]
    right: np.ndarray  # [N, H, W]
    drawn: list[str]  # [N], "left" or "right"
    answers: list[str] = field(default_factory=list)

    def answer(self, side: str) -> None:
        """An answer for the present pair; ignored after the last."""
        if len(self.answers) < len(self.drawn):
            self.answers.append(side)

    def verdict(self) -> str:
        """The score, and how often pure guessing does as well or better."""
        asked = len(self.answers)
        if not asked:
            return "Which of the two is drawn?"
        right = sum(a == b for a, b in zip(self.answers, self.drawn, strict=False))
        luck = binom.sf(right - 1, asked, 0.5)
        last = "" if asked < len(self.drawn) else " That was the last pair."
        return (
            f"It was the {self.drawn[asked - 1]} one; {right} of {asked} right "
            f"(guessing does as well in {luck:.0%} of all tries).{last}"
        )


def make_pairs(held_out: Tensor, drawn: Tensor, seed: int = 0) -> BlindTest:
    """Pairs of slices `[N, 1, H, W]`, each with a side chosen at random."""
    first, second = as_slices(held_out), as_slices(drawn)
    swap = np.random.default_rng(seed).random(len(first)) < 0.5
    left = np.where(swap[:, None, None], second, first)
    right = np.where(swap[:, None, None], first, second)
    return BlindTest(left, right, ["left" if s else "right" for s in swap])


def blind_test(held_out: Tensor, drawn: Tensor, seed: int = 0) -> BlindTest:
    """Ask the reader which slice of each pair is drawn. Live there are two buttons and
    a running score; where nobody can press them all pairs are shown, and the answers
    are printed below."""
    test = make_pairs(held_out, drawn, seed)
    if not is_headless():
        from IPython.display import display

        display(buttons(test))
        return test
    show_pairs(test, range(len(test.drawn)))
    plt.show()
    answers = ", ".join(f"{i} {side}" for i, side in enumerate(test.drawn, 1))
    print(f"Decide first, then read on. Drawn are: {answers}.")
    return test


def show_pairs(test: BlindTest, numbers: Sequence[int]) -> Figure:
    """Pairs as large as the page allows, one in a row."""
    figure, axes = slice_axes(len(numbers), 2, WIDTH / 2)
    for line, number in zip(axes, numbers, strict=True):
        for axis, image in zip(line, (test.left, test.right), strict=True):
            draw_slice(axis, image[number])
        line[0].set_title(f"{number + 1}, left")
        line[1].set_title(f"{number + 1}, right")
    return figure


def buttons(test: BlindTest):
    """The widget: one pair at a time, two buttons, the score."""
    import ipywidgets  # of the extra `lab`, not needed headless

    picture = ipywidgets.Image(value=_png(test, 0), format="png", width=900)
    verdict = ipywidgets.HTML(test.verdict())
    choices = [ipywidgets.Button(description=side) for side in ("left", "right")]

    def press(button):
        test.answer(button.description)
        verdict.value = test.verdict()
        if len(test.answers) < len(test.drawn):
            picture.value = _png(test, len(test.answers))
        else:
            for choice in choices:
                choice.disabled = True

    for choice in choices:
        choice.on_click(press)
    return ipywidgets.VBox([picture, ipywidgets.HBox(choices), verdict])


def _png(test: BlindTest, number: int) -> bytes:
    figure, file = show_pairs(test, [number]), io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return file.getvalue()
