"""Codes as figures: how often they occur, and where.

Everything drawn here was computed before (`vqlib.metrics.codes`). A "kind" names
a patch: the organ in it where there are labels, its grey value where there are none.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure

from lessons.figures import TITLE, draw_slice
from lessons.style import (
    EXTENT,
    LABEL_COLOURS,
    PALETTE,
    SLICE_MM,
    WIDTH,
    as_slices,
)
from vqlib.data import LABEL_NAMES

HIT = "#D55E00"  # where a code occurs
OUTLINE = "#56B4E9"
GAP = 0.07  # inches above and below a slice: titles keep clear of the row above


def kind_colours(names: Sequence[str]) -> list[str]:
    """The label colours where the names are labels, else light to dark."""
    if set(names) <= set(LABEL_NAMES):
        return [LABEL_COLOURS[name] for name in names]
    return [
        to_hex(c) for c in plt.get_cmap("viridis")(np.linspace(0.1, 0.9, len(names)))
    ]


def rank_frequency(counts: Mapping[str, object]) -> Figure:
    """Share of each code, the most frequent first, on logarithmic axes.

    Args:
        counts: name of the set → occurrences of the K codes.
    """
    figure, axis = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
    size = 1
    for name, values in counts.items():
        values = np.sort(np.asarray(values, dtype=float))[::-1]
        size, seen = len(values), values[values > 0]
        axis.plot(np.arange(1, len(seen) + 1), seen / seen.sum(), label=name)
    axis.axhline(1 / size, linestyle="--", linewidth=1, color="0.5")
    axis.annotate(
        "all codes used alike",
        (1, 1 / size),
        xytext=(2, -11),
        textcoords="offset points",
        fontsize=9,
        color="0.35",
    )
    axis.set(xscale="log", yscale="log")
    axis.set_xlabel("rank of the code")
    axis.set_ylabel("share of all patches")
    axis.legend()
    return figure


def usage_distances(groups: Mapping[str, Mapping[int, float]], label: str) -> Figure:
    """A dot for each patient, a row for each split.

    Args:
        groups: split → patient → distance.
        label: what the distance is, with its unit.
    """
    figure, axis = plt.subplots(
        figsize=(7.0, 0.5 * len(groups) + 0.9), layout="constrained"
    )
    palette = PALETTE[: len(groups)]
    for row, (values, colour) in enumerate(zip(groups.values(), palette, strict=True)):
        x = list(values.values())
        axis.plot(x, [row] * len(x), "o", color=colour, alpha=0.7)
        axis.plot([np.median(x)], [row], "|", color="0.1", markersize=22)
    axis.set_yticks(range(len(groups)), groups)
    axis.set_ylim(len(groups) - 0.5, -0.5)
    axis.set_xlim(0, None)
    axis.set_xlabel(label + " (bar: median)")
    return figure


def code_maps(images, values, reconstructions, label: str) -> Figure:
    """Slice, its codes, and what the decoder makes of them: a row for each slice.

    Args:
        images: `[N, 1, H, W]`.
        values: a number for each code position `[N, h, w]`.
        reconstructions: `[N, 1, H, W]`.
        label: what the numbers are.
    """
    rows = zip(*map(as_slices, (images, values, reconstructions)), strict=True)
    figure, axes = slice_panels(len(as_slices(images)), 3, below=0.5)
    low, high = np.min(as_slices(values)), np.max(as_slices(values))
    for panels, (image, value, reconstruction) in zip(axes, rows, strict=True):
        draw_slice(panels[0], image)
        shown = panels[1].imshow(
            value.T,
            origin="lower",
            extent=EXTENT,
            cmap="viridis",
            vmin=low,
            vmax=high,
        )
        draw_slice(panels[2], reconstruction)
    for axis, title in zip(axes[0], ("slice", "codes", "decoded"), strict=True):
        axis.set_title(title)
    figure.colorbar(
        shown, ax=axes, location="bottom", shrink=0.3, aspect=30, label=label
    )
    return figure


def position_maps(maps: Mapping[str, object], label: str | Sequence[str]) -> Figure:
    """Upright maps over the code grid, a panel each.

    Args:
        maps: title → `[h, w]`.
        label: of one scale for all, or one for each map, which then has its own scale.
    """
    figure, axes = slice_panels(1, len(maps), below=0.55)
    arrays = [np.asarray(values, dtype=float) for values in maps.values()]
    shared = isinstance(label, str)
    limits = (min(a.min() for a in arrays), max(a.max() for a in arrays))
    for number, (axis, title, array) in enumerate(
        zip(axes[0], maps, arrays, strict=True)
    ):
        low, high = limits if shared else (array.min(), array.max())
        shown = axis.imshow(
            array.T,
            origin="lower",
            extent=EXTENT,
            cmap="viridis",
            vmin=low,
            vmax=high,
        )
        axis.set_title(title)
        if not shared:
            bar_below(figure, shown, axis, label[number], 0.7)
    if shared:
        bar_below(figure, shown, axes, label, 0.4)
    return figure


def chance_levels(tests: Mapping[str, object], label: str) -> Figure:
    """Values under several shuffles (dots) beside the observed one (line).

    Args:
        tests: name of the shuffle → `vqlib.metrics.codes.PermutationTest`.
        label: what is measured, with its unit.
    """
    figure, axis = plt.subplots(
        figsize=(7.5, 0.5 * len(tests) + 1.1), layout="constrained"
    )
    for row, test in enumerate(tests.values()):
        spread = np.linspace(-0.22, 0.22, len(test.null))
        axis.plot(test.null, row + spread, ".", color="0.45", markersize=4)
        axis.plot([test.observed] * 2, [row - 0.4, row + 0.4], color=HIT, linewidth=2)
    axis.plot([], [], color=HIT, label="observed")
    axis.plot([], [], ".", color="0.45", label="after a shuffle")
    axis.set_yticks(range(len(tests)), tests)
    axis.set_ylim(len(tests) - 0.5, -0.5)
    axis.set_xlim(0, None)
    axis.set_xlabel(label)
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def hits(
    images, where, outlines=None, titles: Sequence[str] = (), columns: int = 3
) -> Figure:
    """Slices with the patches of some codes filled, and a kind outlined.

    Args:
        images: `[N, 1, H, W]`.
        where: bool `[N, h, w]`, filled in orange.
        outlines: bool `[N, h, w]`, outlined in blue; none when not given.
        titles: one for each slice, or fewer.
        columns: panels in a row.
    """
    images, where = as_slices(images), as_slices(where).astype(bool)
    columns = max(1, min(columns, len(images)))
    figure, axes = slice_panels(-(-len(images) // columns), columns)
    axes = axes.ravel()
    for number, (axis, image) in enumerate(zip(axes, images, strict=False)):
        draw_slice(axis, image)
        rgba = np.zeros((*where.shape[1:], 4))
        rgba[where[number]] = to_rgba(HIT, 0.6)
        axis.imshow(rgba.swapaxes(0, 1), origin="lower", extent=EXTENT)
        if outlines is not None:
            _outline(axis, as_slices(outlines)[number].astype(bool))
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title)
    return figure


def slice_panels(rows: int, columns: int, below: float = 0.0):
    """Axes `[rows, columns]` with the proportions of a slice, all off."""
    width = min(3.4, WIDTH / columns)
    height = width * SLICE_MM[1] / SLICE_MM[0] + TITLE + 2 * GAP
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows + below),
        layout="constrained",
        squeeze=False,
    )
    figure.get_layout_engine().set(h_pad=GAP)
    for axis in axes.ravel():
        axis.axis("off")
    return figure, axes


def bar_below(figure, shown, axes, label: str, shrink: float) -> None:
    figure.colorbar(
        shown, ax=axes, location="bottom", shrink=shrink, aspect=30, label=label
    )


def _outline(axis, mask: np.ndarray) -> None:
    """The border of a mask `[h, w]`, along the sides of its patches."""
    dx, dz = SLICE_MM[0] / mask.shape[0], SLICE_MM[1] / mask.shape[1]
    padded = np.pad(mask, 1)
    for i, j in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]):
        axis.plot([i * dx] * 2, [j * dz, (j + 1) * dz], color=OUTLINE, linewidth=1.3)
    for i, j in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]):
        axis.plot([i * dx, (i + 1) * dx], [j * dz] * 2, color=OUTLINE, linewidth=1.3)
