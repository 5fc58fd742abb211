"""Slices upright on screen: grids, label overlays, error maps.

A slice is stored as (left–right, inferior–superior); on screen its head end is up and,
as radiologists look at it, the patient's left is on the right. Pixels are drawn with
their size in mm, and all panels of a figure share one grey-value window, which the
functions never choose by themselves.
"""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lessons.style import EXTENT, LABEL_COLOURS, SLICE_MM, WIDTH, as_slices
from vqlib.data import LABEL_NAMES

TITLE = 0.25  # inches above a panel


def show_slices(
    images,
    titles: Sequence[str] | None = None,
    columns: int = 4,
    window: tuple[float, float] = (0.0, 1.0),
    suptitle: str | None = None,
) -> Figure:
    """A grid of slices.

    Args:
        images: `[N, 1, H, W]`, `[N, H, W]` or `[H, W]`, tensor or array.
        titles: one for each slice, or fewer.
        columns: panels in a row.
        window: the values shown as black and as white.
        suptitle: over the whole figure.
    """
    images = as_slices(images)
    figure, axes = _grid(len(images), columns, suptitle, titles)
    for axis, image in zip(axes, images, strict=False):
        draw_slice(axis, image, window)
    _scale_bar(axes[0])
    return figure


def overlay_labels(
    images,
    labels,
    titles: Sequence[str] | None = None,
    columns: int = 3,
    window: tuple[float, float] = (0.0, 1.0),
    alpha: float = 0.5,
    suptitle: str | None = None,
) -> Figure:
    """A grid of slices with their label maps `[N, H, W]` in colour.

    The body is outlined, all other labels are filled; a legend names those that occur.
    """
    images, labels = as_slices(images), as_slices(labels)
    figure, axes = _grid(len(images), columns, suptitle, titles, below=0.3)
    for axis, image, label in zip(axes, images, labels, strict=False):
        draw_slice(axis, image, window)
        draw_labels(axis, label, alpha)
    _scale_bar(axes[0])
    present = [n for i, n in enumerate(LABEL_NAMES) if i and (labels == i).any()]
    if present:
        figure.legend(
            handles=[_legend_patch(name) for name in present],
            loc="outside lower center",
            ncols=len(present),
        )
    return figure


def error_maps(
    target,
    reconstructions: Mapping[str, object],
    window: tuple[float, float] = (0.0, 1.0),
    limit: float | None = None,
    suptitle: str | None = None,
) -> Figure:
    """Targets, their reconstructions, and what was added (red) or lost (blue).

    Args:
        target: `[N, 1, H, W]`; each slice takes two rows.
        reconstructions: name → `[N, 1, H, W]`.
        window: of the slices.
        limit: of the errors, either way; the 99.5th percentile of all when not given.
        suptitle: over the whole figure.
    """
    target = as_slices(target)
    others = {name: as_slices(images) for name, images in reconstructions.items()}
    errors = {name: images - target for name, images in others.items()}
    if limit is None:
        limit = float(np.percentile(np.abs(np.stack(list(errors.values()))), 99.5))
    columns = len(others) + 1
    titles = [""] * columns  # set below; their room is kept here
    figure, axes = _grid(2 * len(target) * columns, columns, suptitle, titles)
    axes = axes.reshape(len(target), 2, columns)
    for row, (image, panels) in enumerate(zip(target, axes, strict=True)):
        draw_slice(panels[0, 0], image, window)
        panels[0, 0].set_title("target")
        panels[1, 0].axis("off")
        for column, name in enumerate(others, start=1):
            draw_slice(panels[0, column], others[name][row], window)
            panels[0, column].set_title(name)
            error = errors[name][row]
            shown = panels[1, column].imshow(
                error.T,
                origin="lower",
                extent=EXTENT,
                cmap=seaborn.color_palette("vlag", as_cmap=True),
                vmin=-limit,
                vmax=limit,
            )
            panels[1, column].set_title(
                f"mean absolute error {np.abs(error).mean():.3f}"
            )
            panels[1, column].axis("off")
    figure.colorbar(
        shown,
        cax=axes[0, 1, 0].inset_axes((0.08, 0.55, 0.84, 0.12)),
        orientation="horizontal",
        label="reconstruction − target",
    )
    _scale_bar(axes[0, 0, 0])
    return figure


def draw_slice(axis, image: np.ndarray, window=(0.0, 1.0)) -> None:
    """Draw one slice `[H, W]` upright into an axis, in mm."""
    axis.imshow(
        image.T,
        origin="lower",
        extent=EXTENT,
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
    )
    axis.axis("off")


def draw_labels(axis, label: np.ndarray, alpha: float = 0.5) -> None:
    """Draw a label map `[H, W]` over a slice: the body outlined, the rest filled."""
    rgba = np.zeros((*label.shape, 4))
    for value, name in enumerate(LABEL_NAMES):
        if value > 1:  # neither background nor body
            red, green, blue = seaborn.color_palette([LABEL_COLOURS[name]])[0]
            rgba[label == value] = (red, green, blue, alpha)
    axis.imshow(rgba.swapaxes(0, 1), origin="lower", extent=EXTENT)
    if (label > 0).any():
        axis.contour(
            (label > 0).T.astype(float),
            [0.5],
            origin="lower",
            extent=EXTENT,
            colors=LABEL_COLOURS["body"],
            linewidths=1.2,
        )


def _legend_patch(name: str) -> Patch:
    if name == "body":
        return Patch(facecolor="none", edgecolor=LABEL_COLOURS[name], label=name)
    return Patch(facecolor=LABEL_COLOURS[name], label=name)


def _grid(n: int, columns: int, suptitle, titles=None, below: float = 0.0):
    """A figure with ``n`` panels of a slice's proportions; unused panels are off."""
    columns = max(1, min(columns, n))
    rows = math.ceil(max(n, 1) / columns)
    width = min(3.4, WIDTH / columns)
    height = width * SLICE_MM[1] / SLICE_MM[0] + (TITLE if titles else 0.04)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows + below + 0.3 * bool(suptitle)),
        layout="constrained",
        squeeze=False,
    )
    axes = axes.ravel()
    for axis in axes:
        axis.axis("off")
    for axis, title in zip(axes, titles or (), strict=False):
        axis.set_title(title)
    if suptitle:
        figure.suptitle(suptitle)
    return figure, axes


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
    axis.set_xlim(EXTENT[:2])
    axis.set_ylim(EXTENT[2:])
