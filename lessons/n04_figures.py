"""The figures of notebook 04. What they show was computed before (`lessons.n04_codes`).

A "kind" names a patch: the organ in it where there are labels, its grey value where
there are none.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lessons.figures import draw_slice, slice_axes
from lessons.style import (
    CHANGE,
    DASHED,
    LABEL_COLOURS,
    SLICE_MM,
    WIDTH,
    as_slices,
)

HIT = "#D55E00"  # what is observed, or edited
DOTS = {"edgecolor": "0.3", "linewidth": 0.4}


def kind_colours(names: Sequence[str]) -> list[str]:
    """The label colours where the names are labels, else light to dark."""
    if set(names) <= set(LABEL_COLOURS):
        return [LABEL_COLOURS[name] for name in names]
    return [to_hex(c) for c in plt.cm.viridis(np.linspace(0.1, 0.9, len(names)))]


def rank_frequency(counts: Mapping[str, object]) -> Figure:
    """Share of each code, the most frequent first, on logarithmic axes, beside as many
    words of a language.

    Args:
        counts: name of the set → occurrences of the K codes.
    """
    figure, axis = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
    for name, values in counts.items():
        values = np.sort(np.asarray(values, dtype=float))[::-1]
        seen = values[values > 0]
        axis.plot(np.arange(1, len(seen) + 1), seen / seen.sum(), label=name)
    ranks = np.arange(1, len(values) + 1)
    words = {"color": "0.2", "linestyle": ":", "label": "words, by Zipf's law"}
    axis.plot(ranks, 1 / ranks / (1 / ranks).sum(), **words)
    axis.axhline(1 / len(values), label="all codes used alike", **DASHED)
    axis.set(xscale="log", yscale="log")
    axis.set(xlabel="rank of the code", ylabel="share of all patches")
    axis.legend()
    return figure


def code_maps(images, values, reconstructions, label: str) -> Figure:
    """Slice, its codes, and what the decoder makes of them: a row for each slice.

    Args:
        images: `[N, 1, H, W]`.
        values: a number for each code position `[N, h, w]`.
        reconstructions: `[N, 1, H, W]`.
        label: what the numbers are.
    """
    rows = [as_slices(images), as_slices(values), as_slices(reconstructions)]
    figure, axes = _panels(3 * len(rows[0]), 3, below=0.5)
    window = rows[1].min(), rows[1].max()
    for panels, image, value, back in zip(axes.reshape(-1, 3), *rows, strict=True):
        draw_slice(panels[0], image)
        shown = draw_slice(panels[1], value, window, "viridis")
        draw_slice(panels[2], back)
    for axis, title in zip(axes, ("slice", "codes", "decoded"), strict=False):
        axis.set_title(title)
    _bar_below(figure, shown, axes, label, 0.3)
    return figure


def chance_levels(tests: Mapping[str, object], label: str) -> Figure:
    """Values under several shuffles (dots) beside the observed one (line).

    Args:
        tests: name of the shuffle → `lessons.n04_codes.PermutationTest`.
        label: what is measured, with its unit.
    """
    size = (7.5, 0.5 * len(tests) + 1.1)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
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


def codebook_plane(points, kinds, names, grey, counts, shares) -> Figure:
    """The codebook in two dimensions: coloured by kind, and by grey value.

    Args:
        points: `[K, 2]`.
        kinds: `[K]`, number of the kind that each code is typical of; −1 for none.
        names: of the kinds.
        grey: `[K]`, mean grey value of the patches of each code; NaN for none.
        counts: `[K]`, occurrences: the area of a dot; a cross where there are none.
        shares: of the variance, of the two components.
    """
    kinds, grey, counts = (np.asarray(x) for x in (kinds, grey, counts))
    area, used = 8 + 120 * counts / max(counts.max(), 1), counts > 0
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, 4.2), layout="constrained", sharex=True, sharey=True
    )
    none = (kinds < 0) & used
    dots = {"s": area[none], "color": "0.85", **DOTS}
    left.scatter(*points[none].T, label=f"none ({none.sum()})", **dots)
    for kind, (name, colour) in enumerate(zip(names, kind_colours(names), strict=True)):
        own = kinds == kind
        if not own.any():
            continue
        dots = {"s": area[own], "color": colour, "alpha": 0.8, **DOTS}
        left.scatter(*points[own].T, label=f"{name} ({own.sum()})", **dots)
    legend = figure.legend(title="typical of", loc="outside upper center", ncols=6)
    for handle in legend.legend_handles:
        handle.set_sizes([30])
    right.scatter(*points[~used].T, s=8, marker="x", color="0.6", linewidth=0.6)
    dots = {"s": area[used], "c": grey[used], "cmap": "viridis", **DOTS}
    shown = right.scatter(*points[used].T, **dots)
    figure.colorbar(shown, ax=right, label="mean grey value of its patches")
    for axis in (left, right):
        axis.set_xlabel(f"component 1 ({shares[0]:.0%} of the variance)")
    left.set_ylabel(f"component 2 ({shares[1]:.0%})")
    return figure


def components(parts, waves, shares, patch: int) -> Figure:
    """What codes add to a picture, and the cosine that is nearest to it.

    Args:
        parts: `[n, 3 patch, 3 patch]`, the patch with a margin, which is framed.
        waves: `[n, patch, patch]`, of either sign.
        shares: of the variance `[n]`.
        patch: pixels along a side.
    """
    parts, waves = as_slices(parts), as_slices(waves)
    size = (2.4 * len(parts), 4.9)
    shape = {"nrows": 2, "ncols": len(parts), "squeeze": False}
    figure, axes = plt.subplots(**shape, figsize=size, layout="constrained")
    for column, (part, wave) in enumerate(zip(parts, waves, strict=True)):
        inner = part[patch : 2 * patch, patch : 2 * patch]
        wave = wave * np.sign((inner * wave).sum())
        padded = np.pad(wave, patch, constant_values=np.nan)
        for axis, image in zip(axes[:, column], (part, padded), strict=True):
            limit = np.nanmax(np.abs(image))
            scale = {"cmap": CHANGE, "vmin": -limit, "vmax": limit}
            axis.imshow(image.T, origin="lower", **scale)
            corner, side = (patch - 0.5,) * 2, patch
            axis.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="0.2"))
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        axes[0, column].set_title(f"component {column + 1}: {shares[column]:.1%}")
    axes[0, 0].set_ylabel("what codes add")
    axes[1, 0].set_ylabel("nearest cosine")
    return figure


def distances(code_gap, patch_gap) -> Figure:
    """Distance of two codes against the distance of what they draw, both `[pairs]`."""
    figure, axis = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
    style = {"gridsize": 40, "mincnt": 1, "bins": "log", "cmap": "viridis_r"}
    shown = axis.hexbin(code_gap, patch_gap, **style)
    figure.colorbar(shown, label="pairs of codes")
    axis.set_xlabel("distance of two codes in the codebook")
    axis.set_ylabel("distance of what they draw (RMS)")
    return figure


def grouped_bars(table: pd.DataFrame, label: str) -> Figure:
    """A group of bars for each column of a table, a bar for each of its rows; what is
    below 0 is drawn down to -0.5 at most."""
    figure, axis = plt.subplots(figsize=(8.0, 3.2), layout="constrained")
    width = 0.8 / len(table)
    for number, (name, row) in enumerate(table.iterrows()):
        middles = np.arange(len(row)) + (number - (len(table) - 1) / 2) * width
        axis.bar(middles, row.clip(lower=-0.5), 0.95 * width, label=name)
    axis.axhline(0, color="0.3", linewidth=0.8)
    axis.set_xticks(range(len(table.columns)), table.columns)
    axis.set_ylabel(label)
    figure.legend(loc="outside upper center", ncols=len(table))
    return figure


def reach_maps(maps: Mapping[str, object], label: Sequence[str]) -> Figure:
    """Maps around one patch, on a logarithmic scale, the patch itself framed.

    Args:
        maps: title → `[a, b]` around the centre, in patches.
        label: what each map shows, with its unit.
    """
    rows = -(-len(maps) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(8.8, 3.7 * rows), layout="constrained", squeeze=False
    )
    panels = zip(axes.ravel(), maps.items(), label, strict=False)
    for axis, (title, values), text in panels:
        values = np.asarray(values, dtype=float)
        a, b = values.shape
        top = max(values.max(), 1e-12)
        where = {"origin": "lower", "extent": (-a / 2, a / 2, -b / 2, b / 2)}
        norm, shown = LogNorm(top * 1e-3, top), np.maximum(values, top * 1e-3)
        shown = axis.imshow(shown.T, norm=norm, cmap="viridis", **where)
        axis.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor="white"))
        axis.set_title(title)
        axis.set_xlabel("patches to the left of the patient")
        axis.set_ylabel("patches towards the head")
        figure.colorbar(shown, ax=axis, label=text, shrink=0.85)
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
    figure, axes = _panels(len(panels), 3, below=0.5)
    *images, change = (as_slices(panel)[0] for panel in panels.values())
    for axis, image in zip(axes, images, strict=False):
        draw_slice(axis, image)
    limit = max(float(np.abs(change).max()), 1e-6)
    shown = draw_slice(axes[len(images)], change, (-limit, limit), CHANGE)
    _bar_below(figure, shown, axes[-3:], "change: after − before", 0.3)
    unit = np.array(SLICE_MM) / grid  # of one code, in mm
    low, high = np.array([(side.start, side.stop) for side in box]).T
    frame = {"fill": False, "edgecolor": HIT, "linewidth": 1.2}
    for axis, title in zip(axes, panels, strict=False):
        axis.add_patch(Rectangle(low * unit, *((high - low) * unit), **frame))
        axis.set_title(title)
    return figure


def _panels(count: int, columns: int, below: float = 0.0):
    """A figure and its panels, with the proportions of a slice."""
    columns = min(columns, count)
    figure, axes = slice_axes(-(-count // columns), columns, title=0.4, more=below)
    figure.get_layout_engine().set(h_pad=0.07)
    return figure, axes.ravel()


def _bar_below(figure, shown, axes, label: str, shrink: float) -> None:
    where = {"location": "bottom", "shrink": shrink, "aspect": 30}
    figure.colorbar(shown, ax=axes, label=label, **where)
