"""Slices upright on screen, as more than one notebook draws them.

A slice is stored as (left–right, inferior–superior); on screen its head end is up and,
as radiologists look at it, the patient's left is on the right. Pixels are drawn with
their size in mm, and all panels of a figure share one grey-value window, which the
functions never choose by themselves.
"""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lessons.style import EXTENT, LABEL_COLOURS, SLICE_MM, WIDTH, as_slices
from vqlib.data import LABEL_NAMES

TITLE = 0.25  # inches above a panel
MAP_COLOURS = np.array(  # [6, 3], of label maps that stand alone
    [to_rgb(c) for c in ("black", "0.35", *list(LABEL_COLOURS.values())[2:])]
)


def slice_axes(
    rows: int, columns: int, width: float = 3.4, title: float = TITLE, more: float = 0.0
) -> tuple[Figure, np.ndarray]:
    """A figure with panels of a slice's proportions, and its axes `[rows, columns]`,
    switched off. In inches: the ``width`` of a panel, at most; the room above each for
    its ``title``; and what is kept free below or above all of them, ``more``."""
    width = min(width, WIDTH / columns)
    height = width * SLICE_MM[1] / SLICE_MM[0] + title
    size = (width * columns, height * rows + more)
    style = {"figsize": size, "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(rows, columns, **style)
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes


def draw_slice(axis, image: np.ndarray, window=(0.0, 1.0), cmap: str = "gray"):
    """Draw one slice `[H, W]` upright into an axis, in mm; returns what was drawn."""
    low, high = window
    axis.axis("off")
    return axis.imshow(
        image.T, origin="lower", extent=EXTENT, cmap=cmap, vmin=low, vmax=high
    )


def draw_labels(axis, label: np.ndarray, alpha: float = 0.5) -> None:
    """Draw a label map `[H, W]` over a slice: the body outlined, the rest filled."""
    rgba = np.zeros((*label.shape, 4))
    for value, name in enumerate(LABEL_NAMES):
        if value > 1:  # neither background nor body
            rgba[label == value] = (*to_rgb(LABEL_COLOURS[name]), alpha)
    axis.imshow(rgba.swapaxes(0, 1), origin="lower", extent=EXTENT)
    if (label > 0).any():
        style = {"colors": LABEL_COLOURS["body"], "linewidths": 1.2}
        body = (label > 0).T.astype(float)
        axis.contour(body, [0.5], origin="lower", extent=EXTENT, **style)


def show_slices(
    images,
    titles: Sequence[str] | None = None,
    columns: int = 4,
    window: tuple[float, float] = (0.0, 1.0),
    labels=None,
) -> Figure:
    """A grid of slices, with their label maps in colour where there are any.

    Args:
        images: `[N, 1, H, W]`, `[N, H, W]` or `[H, W]`, tensor or array.
        titles: one for each slice, or fewer.
        columns: panels in a row.
        window: the values shown as black and as white.
        labels: `[N, H, W]`; the body is outlined, all other labels are filled, and a
            legend names those that occur.
    """
    images = as_slices(images)
    columns = max(1, min(columns, len(images)))
    lines = max((title.count("\n") + 1 for title in titles or ()), default=0)
    figure, axes = slice_axes(
        math.ceil(len(images) / columns),
        columns,
        title=TITLE * lines or 0.04,
        more=0.0 if labels is None else 0.3,
    )
    for axis, image in zip(axes.flat, images, strict=False):
        draw_slice(axis, image, window)
    for axis, title in zip(axes.flat, titles or (), strict=False):
        axis.set_title(title)
    _scale_bar(axes[0, 0])
    if labels is None:
        return figure
    labels = as_slices(labels)
    for axis, label in zip(axes.flat, labels, strict=False):
        draw_labels(axis, label)
    present = [n for i, n in enumerate(LABEL_NAMES) if i and (labels == i).any()]
    if present:
        handles = [_legend_patch(name) for name in present]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(present))
    return figure


def slice_rows(
    rows: Mapping[str, object],
    titles: Sequence[str] | None = None,
    width: float = 2.2,
) -> Figure:
    """A row of slices `[N, 1, H, W]`, or of label maps `[N, H, W]` uint8 in colours,
    for each name, which stands at its left; a row may be shorter than the others.
    ``titles`` stand over the columns; ``width`` is of a panel in inches."""
    stacks = {name: as_slices(images) for name, images in rows.items()}
    columns = max(len(images) for images in stacks.values())
    figure, axes = slice_axes(len(stacks), columns, width, 0.1, TITLE)
    for line, (name, images) in zip(axes, stacks.items(), strict=True):
        for axis, image in zip(line, images, strict=False):
            if image.dtype == np.uint8:
                where = {"origin": "lower", "extent": EXTENT}
                axis.imshow(MAP_COLOURS[image].swapaxes(0, 1), **where)
            else:
                draw_slice(axis, image)
        style = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 9}
        line[0].text(-0.04, 0.5, name, transform=line[0].transAxes, **style)
    for axis, title in zip(axes[0], titles or (), strict=False):
        axis.set_title(title, fontsize=9)
    return figure


def _legend_patch(name: str) -> Patch:
    if name == "body":
        return Patch(facecolor="none", edgecolor=LABEL_COLOURS[name], label=name)
    return Patch(facecolor=LABEL_COLOURS[name], label=name)


def _scale_bar(axis) -> None:
    """10 cm, and the patient's right (R) and left (L), on the first panel."""
    x, z = 0.03 * SLICE_MM[0], 0.06 * SLICE_MM[1]
    dark_edge = [patheffects.withStroke(linewidth=2.5, foreground="black")]
    white = {"color": "white", "path_effects": dark_edge}
    axis.plot([x, x + 100], [z, z], linewidth=1.5, **white)
    text = {"fontsize": 8, **white}
    axis.text(x + 50, z + 5, "10 cm", va="bottom", ha="center", **text)
    top = 0.93 * SLICE_MM[1]  # aligned to the edges: a narrow panel cuts neither off
    axis.text(x, top, "R", va="top", ha="left", **text)
    axis.text(SLICE_MM[0] - x, top, "L", va="top", ha="right", **text)
    axis.set(xlim=EXTENT[:2], ylim=EXTENT[2:])
