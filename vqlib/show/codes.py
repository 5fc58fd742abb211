"""Codes as figures: how often they occur, where, what they draw, how they lie.

Everything drawn here was computed before (`vqlib.metrics.codes`). A "kind" names
a patch: the organ in it where there are labels, its grey value where there are none.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from vqlib.data import LABEL_NAMES
from vqlib.show.images import TITLE, draw_slice
from vqlib.show.style import EXTENT, LABEL_COLOURS, SLICE_MM, WIDTH, as_slices

HIT = "#D55E00"  # where a code occurs
OUTLINE = "#56B4E9"
GAP = 0.07  # inches above and below a slice: titles keep clear of the row above


def kind_colours(names: Sequence[str]) -> list[str]:
    """The label colours where the names are labels, else light to dark."""
    if set(names) <= set(LABEL_NAMES):
        return [LABEL_COLOURS[name] for name in names]
    return seaborn.color_palette("viridis", len(names)).as_hex()


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
    palette = seaborn.color_palette("colorblind", len(groups))
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
    figure, axes = _slices(len(as_slices(images)), 3, below=0.5)
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
    figure, axes = _slices(1, len(maps), below=0.55)
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
            _bar_below(figure, shown, axis, label[number], 0.7)
    if shared:
        _bar_below(figure, shown, axes, label, 0.4)
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
    figure, axes = _slices(-(-len(images) // columns), columns)
    axes = axes.ravel()
    for number, (axis, image) in enumerate(zip(axes, images, strict=False)):
        draw_slice(axis, image)
        rgba = np.zeros((*where.shape[1:], 4))
        rgba[where[number]] = (*seaborn.color_palette([HIT])[0], 0.6)
        axis.imshow(rgba.swapaxes(0, 1), origin="lower", extent=EXTENT)
        if outlines is not None:
            _outline(axis, as_slices(outlines)[number].astype(bool))
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title)
    return figure


def codebook_plane(points, kinds, names, grey, counts, shares) -> Figure:
    """The codebook in two dimensions: by kind on the left, by grey value on the right.

    Args:
        points: `[K, 2]`.
        kinds: `[K]`, number of the kind that each code is typical of; −1 for none.
        names: of the kinds.
        grey: `[K]`, mean grey value of the patches of each code; NaN for none.
        counts: `[K]`, occurrences: the area of a dot.
        shares: of the variance, of the two components.
    """
    points, kinds, grey = np.asarray(points), np.asarray(kinds), np.asarray(grey)
    counts = np.asarray(counts, dtype=float)
    area = 8 + 120 * counts / max(counts.max(), 1)
    figure, axes = plt.subplots(
        1, 2, figsize=(WIDTH, 4.2), layout="constrained", sharex=True, sharey=True
    )
    for kind, (name, colour) in enumerate(zip(names, kind_colours(names), strict=True)):
        own = kinds == kind
        if own.any():
            axes[0].scatter(
                *points[own].T,
                s=area[own],
                color=colour,
                edgecolor="0.3",
                linewidth=0.4,
                alpha=0.8,
                label=f"{name} ({own.sum()})",
            )
    legend = figure.legend(
        title="typical of", title_fontsize=9, loc="outside upper center", ncols=6
    )
    for handle in legend.legend_handles:
        handle.set_sizes([30])
    used = np.isfinite(grey)
    axes[1].scatter(*points[~used].T, s=8, marker="x", color="0.6", linewidth=0.6)
    shown = axes[1].scatter(
        *points[used].T,
        s=area[used],
        c=grey[used],
        cmap="viridis",
        edgecolor="0.3",
        linewidth=0.4,
    )
    figure.colorbar(shown, ax=axes[1], label="mean grey value of its patches")
    for axis in axes:
        axis.set_xlabel(f"component 1 ({shares[0]:.0%} of the variance)")
    axes[0].set_ylabel(f"component 2 ({shares[1]:.0%} of the variance)")
    return figure


def pair_density(x, y, xlabel: str, ylabel: str) -> Figure:
    """How two quantities go together over many pairs: darker where more pairs lie."""
    figure, axis = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
    drawn = axis.hexbin(x, y, gridsize=40, mincnt=1, norm=LogNorm(), cmap="viridis_r")
    figure.colorbar(drawn, ax=axis, label="pairs of codes")
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    return figure


def reach_maps(maps: Mapping[str, object], label: Sequence[str]) -> Figure:
    """Maps around one patch, on a logarithmic scale, the patch itself framed.

    Args:
        maps: title → `[a, b]` around the centre, in patches.
        label: what each map shows, with its unit.
    """
    figure, axes = plt.subplots(
        1,
        len(maps),
        figsize=(4.4 * len(maps), 3.9),
        layout="constrained",
        squeeze=False,
    )
    for axis, (title, values), text in zip(axes[0], maps.items(), label, strict=True):
        values = np.asarray(values, dtype=float)
        a, b = values.shape
        top = max(values.max(), 1e-12)
        shown = axis.imshow(
            np.maximum(values, top * 1e-4).T,
            origin="lower",
            extent=(-a / 2, a / 2, -b / 2, b / 2),
            norm=LogNorm(top * 1e-4, top),
            cmap="viridis",
        )
        axis.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor="white"))
        axis.set_title(title)
        axis.set_xlabel("patches to the left of the patient")
        axis.set_ylabel("patches towards the head")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        figure.colorbar(shown, ax=axis, label=text, shrink=0.85)
    return figure


def patch_rows(rows: Mapping[str, object], titles: Sequence[str] = ()) -> Figure:
    """A dictionary of patches: a row of small pictures for each name.

    Args:
        rows: name → `[C, a, b]` grey values in [0, 1].
        titles: over the columns.
    """
    columns = max(len(patches) for patches in rows.values())
    side = min(1.1, (WIDTH - 1.2) / columns)
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(side * columns + 1.2, (side + 0.06) * len(rows) + 0.35),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set_visible(False)
    for panels, (name, patches) in zip(axes, rows.items(), strict=True):
        panels[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, patch in zip(panels, as_slices(patches), strict=False):
            axis.imshow(patch.T, origin="lower", cmap="gray", vmin=0, vmax=1)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title)
    return figure


def editing(
    panels: Mapping[str, object], box: tuple[slice, slice], grid: tuple[int, int]
) -> Figure:
    """Slices before and after an edit, with the edited block framed; the last panel is
    the change, more (red) or less (blue) signal.

    Args:
        panels: title → `[H, W]` or `[1, 1, H, W]`; the last one a difference.
        box: rows and columns of the code grid that were edited.
        grid: (h, w).
    """
    columns = 3
    figure, axes = _slices(-(-len(panels) // columns), columns, below=0.5)
    axes = axes.ravel()
    for axis, (title, image) in zip(axes, list(panels.items())[:-1], strict=False):
        draw_slice(axis, as_slices(image)[0])
        axis.set_title(title)
    axis = axes[len(panels) - 1]
    title, change = list(panels.items())[-1]
    change = as_slices(change)[0]
    limit = max(float(np.abs(change).max()), 1e-6)
    shown = axis.imshow(
        change.T,
        origin="lower",
        extent=EXTENT,
        cmap=seaborn.color_palette("vlag", as_cmap=True),
        vmin=-limit,
        vmax=limit,
    )
    axis.set_title(title)
    _bar_below(figure, shown, axes[-columns:], f"{title}: after − before", 0.3)
    dx, dz = SLICE_MM[0] / grid[0], SLICE_MM[1] / grid[1]
    corner = box[0].start * dx, box[1].start * dz
    width = (box[0].stop - box[0].start) * dx
    height = (box[1].stop - box[1].start) * dz
    for axis in axes[: len(panels)]:
        axis.add_patch(
            Rectangle(corner, width, height, fill=False, edgecolor=HIT, linewidth=1.2)
        )
    return figure


def channel_bars(bits: Mapping[str, object]) -> Figure:
    """Bits of each latent channel, the costliest first: a panel for each model."""
    figure, axes = plt.subplots(
        1,
        len(bits),
        figsize=(min(WIDTH, 4.6 * len(bits)), 2.8),
        layout="constrained",
        squeeze=False,
    )
    for axis, (name, values) in zip(axes[0], bits.items(), strict=True):
        values = np.sort(np.asarray(values, dtype=float))[::-1]
        axis.bar(np.arange(1, len(values) + 1), values, width=0.8)
        axis.set_title(name)
        axis.set_xlabel("channel, by rank")
        axis.set_ylabel("KL in bits per slice")
    return figure


def _slices(rows: int, columns: int, below: float = 0.0):
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


def _bar_below(figure, shown, axes, label: str, shrink: float) -> None:
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
