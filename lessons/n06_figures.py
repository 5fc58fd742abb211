"""What notebook 06 alone draws: maps beside slices, balls around points, the trial of
the scores, crops of different slices, and the blind test."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch, Rectangle
from torch import Tensor

from lessons.crops import crop_boxes
from lessons.figures import draw_labels, draw_slice, slice_axes
from lessons.style import LABEL_COLOURS, PALETTE, SLICE_MM, WIDTH, as_slices
from vqlib.data import LABEL_NAMES
from vqlib.metrics import Slices


def slices_and_maps(
    images, maps: Mapping[str, object], titles: Sequence[str] = ()
) -> Figure:
    """Slices `[N, 1, H, W]`, and under them the same with each kind of label map (name
    of a row → `[N, H, W]`); a legend names the
    colours."""
    images = as_slices(images)
    figure, axes = slice_axes(1 + len(maps), len(images), 3.4, 0.05, 0.6)
    for line, (name, labels) in zip(
        axes, ({"slice": None} | maps).items(), strict=True
    ):
        for column, (axis, image) in enumerate(zip(line, images, strict=True)):
            draw_slice(axis, image)
            if labels is not None:
                draw_labels(axis, as_slices(labels)[column], 0.75)
        style = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 9}
        line[0].text(-0.03, 0.5, name, transform=line[0].transAxes, **style)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title)
    patches = [Patch(color=LABEL_COLOURS[name], label=name) for name in LABEL_NAMES[1:]]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches))
    return figure


def balls(
    cases: Mapping[str, tuple[np.ndarray, np.ndarray, str]], radii: np.ndarray
) -> Figure:
    """Points in two dimensions: title → held-out points `[M, 2]` with balls of the
    given ``radii`` `[M]`, samples `[N, 2]`, and what is said below the panel."""
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
    noticed: Mapping[str, Sequence[str]],
    must_see: Mapping[str, Sequence[str]],
    titles: Mapping[str, str],
) -> Figure:
    """Rank correlations, harm → (score → number), in colour where the harm is
    ``noticed`` (harm → scores), with a frame around what a score exists to see (harm →
    scores); ``titles`` names the rows, in order."""
    keys, size = list(titles), (8.5, 1.6 + 0.32 * len(titles))
    table = np.array([[found[key] for found in orders.values()] for key in keys], float)
    seen = np.array([[key in found for found in noticed.values()] for key in keys])
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    light = ListedColormap(plt.get_cmap("PiYG")(np.linspace(0.17, 0.83, 256)))
    coloured = np.where(seen, table, np.nan)
    shown = axis.imshow(coloured, aspect="auto", cmap=light, vmin=-1, vmax=1)
    figure.colorbar(shown, ax=axis, label="rank correlation with the harm")
    axis.set_xticks(range(len(orders)), orders, rotation=20, ha="right")
    axis.set_yticks(range(len(keys)), titles.values())
    for (row, column), value in np.ndenumerate(table):
        style = {"ha": "center", "va": "center", "fontsize": 9}
        style["color"] = "black" if seen[row, column] else "0.6"
        axis.text(column, row, f"{value:.1f}", **style)
    for column, harm in enumerate(orders):
        for key in must_see[harm]:
            if key in keys:
                corner = column - 0.46, keys.index(key) - 0.46
                style = {"fill": False, "edgecolor": "black", "linewidth": 2.5}
                axis.add_patch(Rectangle(corner, 0.92, 0.92, **style))
    return figure


def crops_side_by_side(versions: Mapping[str, tuple[Slices, int]]) -> Figure:
    """Hip, bladder and prostate of different slices at three times the size, a column
    for each: title → a set of slices, and the number of one of them."""
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


def blind_test(held_out: Tensor, drawn: Tensor, seed: int = 0) -> list[str]:
    """Pairs of a held-out and a drawn slice `[N, 1, H, W]`, as large as the page
    allows; returns the side of each drawn one, chosen at random."""
    first, second = as_slices(held_out), as_slices(drawn)
    swapped = np.random.default_rng(seed).random(len(first)) < 0.5
    _, axes = slice_axes(len(first), 2, WIDTH / 2)
    for number, (line, swap) in enumerate(zip(axes, swapped, strict=True)):
        pair = (second, first) if swap else (first, second)
        for axis, images, side in zip(line, pair, ("left", "right"), strict=True):
            draw_slice(axis, images[number])
            axis.set_title(f"{number + 1}, {side}")
    return ["left" if swap else "right" for swap in swapped]
