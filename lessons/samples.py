"""Generated slices beside real ones, and what a prior sees and is surprised by.

Maps over the grid of codes are drawn like slices: upright, in mm, each code as large
as the patch of pixels that it stands for. Used in notebook 05.
"""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lessons.figures import draw_slice
from lessons.style import EXTENT, SLICE_MM, WIDTH, as_slices, mark_levels

LABEL = 0.35  # inches left of a row for its name
TITLE = 0.25  # inches above a row of panels with titles
BAR = 0.75  # inches for a colour bar and its label
PANEL = 2.2  # inches, the widest panel: noise-like pictures make large files


def sample_rows(
    rows: Mapping[str, object],
    titles: Sequence[str] | None = None,
    window: tuple[float, float] = (0.0, 1.0),
    suptitle: str | None = None,
    width: float = PANEL,
) -> Figure:
    """One row of slices for each source, with its name at the left.

    Args:
        rows: name → `[N, 1, H, W]`; a row may be shorter than the others.
        titles: over the columns.
        window: the values shown as black and as white, the same for all.
        suptitle: over the whole figure.
        width: of a panel, in inches, at most.
    """
    slices = {name: as_slices(images) for name, images in rows.items()}
    columns = max(len(images) for images in slices.values())
    figure, axes = _panels(len(slices), columns, titles, suptitle, width=width)
    for row, (name, images) in zip(axes, slices.items(), strict=True):
        _name_row(row[0], name)
        for axis, image in zip(row, images, strict=False):
            draw_slice(axis, image, window)
    return figure


def grid_maps(
    maps,
    titles: Sequence[str] | None = None,
    label: str = "",
    columns: int = 4,
    limits: tuple[float, float] | None = None,
    marks: Sequence[tuple[int, int]] | None = None,
) -> Figure:
    """Numbers on the grid of codes, one panel for each map, with one colour bar.

    Args:
        maps: `[N, h, w]`; NaN is light grey.
        titles: one for each map, or fewer.
        label: what the numbers are, with their unit.
        columns: panels in a row.
        limits: of the colours; the range of all maps when not given.
        marks: a code (row, column) to frame in each map.
    """
    maps = as_slices(maps).astype(float)
    columns = max(1, min(columns, len(maps)))
    figure, axes = _panels(math.ceil(len(maps) / columns), columns, titles, extra=BAR)
    limits = limits or (float(np.nanmin(maps)), float(np.nanmax(maps)))
    for axis, values in zip(axes.ravel(), maps, strict=False):
        shown = _draw_map(axis, values, limits)
    for axis, mark in zip(axes.ravel(), marks or (), strict=False):
        _frame(axis, mark, maps.shape[1:])
    _colour_bar(figure, shown, axes, label)
    return figure


def surprisal_maps(
    images,
    nats,
    titles: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    window: tuple[float, float] = (0.0, 1.0),
) -> Figure:
    """Slices, and under each how surprising its codes are to a prior.

    Args:
        images: `[N, 1, H, W]`.
        nats: −log p of every code, `[N, h, w]`.
        titles: one for each slice.
        limits: of the colours in nats; from 0 to the largest when not given.
        window: of the slices.
    """
    images, nats = as_slices(images), as_slices(nats).astype(float)
    figure, axes = _panels(2, len(images), titles, extra=BAR)
    limits = limits or (0.0, float(nats.max()))
    for name, row in zip(("slice", "surprisal"), axes, strict=True):
        _name_row(row[0], name)
    for axis, image in zip(axes[0], images, strict=True):
        draw_slice(axis, image, window)
    for axis, values in zip(axes[1], nats, strict=True):
        shown = _draw_map(axis, values, limits)
    _colour_bar(figure, shown, axes[1], "−log p, nats per code")
    return figure


def score_curve(
    points: Mapping[float, float],
    xlabel: str,
    ylabel: str,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """A score against a setting, on a logarithmic axis, with its lowest point marked.

    Args:
        points: setting → score, lower is better.
        xlabel: what the setting is.
        ylabel: what the score is.
        marks: text → score of controls, drawn as horizontal lines.
    """
    figure, axis = plt.subplots(figsize=(6.0, 3.2), layout="constrained")
    x = sorted(points)
    axis.plot(x, [points[value] for value in x], "o-", color="#D55E00")
    best = min(points, key=points.get)
    axis.plot(best, points[best], "o", color="#D55E00", markersize=11, fillstyle="none")
    mark_levels(axis, marks or {})
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axis.tick_params(axis="y", which="minor", labelsize=8)
    axis.margins(y=0.15)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    return figure


def _panels(
    rows: int,
    columns: int,
    titles=None,
    suptitle=None,
    extra: float = 0.0,
    width: float = PANEL,
):
    """Panels with the proportions of a slice, all switched off."""
    width = min(width, (WIDTH - LABEL) / columns)
    height = width * SLICE_MM[1] / SLICE_MM[0]
    above = TITLE * bool(titles) * (rows if titles and len(titles) > columns else 1)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(
            width * columns + LABEL,
            (height + 0.06) * rows + above + extra + 0.3 * bool(suptitle),
        ),
        layout="constrained",
        squeeze=False,
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for axis in axes.ravel():
        axis.axis("off")
    for axis, title in zip(axes.ravel(), titles or (), strict=False):
        axis.set_title(title)
    if suptitle:
        figure.suptitle(suptitle)
    return figure, axes


def _name_row(axis, name: str) -> None:
    axis.annotate(
        name,
        (0.0, 0.5),
        xycoords="axes fraction",
        xytext=(-5, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="center",
        fontsize=9,
    )


def _draw_map(axis, values: np.ndarray, limits: tuple[float, float]):
    return axis.imshow(
        values.T,
        origin="lower",
        extent=EXTENT,
        cmap=plt.get_cmap("viridis").with_extremes(bad="0.93"),
        vmin=limits[0],
        vmax=limits[1],
    )


def _frame(axis, mark: tuple[int, int], grid: tuple[int, int]) -> None:
    """A square around one code."""
    side = [mm / n for mm, n in zip(SLICE_MM, grid, strict=True)]
    corner = [index * mm for index, mm in zip(mark, side, strict=True)]
    axis.add_patch(
        plt.Rectangle(corner, *side, fill=False, edgecolor="#D55E00", linewidth=1.8)
    )


def _colour_bar(figure: Figure, shown, axes, label: str) -> None:
    figure.colorbar(
        shown, ax=axes, location="bottom", shrink=0.5, aspect=40, label=label
    )
