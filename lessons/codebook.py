"""The codebook as figures: how codes lie, how far they reach, what they draw.

Everything drawn here was computed before (`vqlib.metrics.codes`, `.atlas`).
"""

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from lessons.codes import kind_colours
from lessons.style import WIDTH, as_slices


def codebook_plane(points, kinds, names, grey, counts, shares=None) -> Figure:
    """The codebook in two dimensions: coloured by kind, by grey value, by frequency.

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
        1, 3, figsize=(WIDTH, 3.4), layout="constrained", sharex=True, sharey=True
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
    used = np.isfinite(grey) & (counts > 0)
    colourings = (
        (grey, None, "mean grey value of its patches"),
        (counts, LogNorm(), "occurrences"),
    )
    for axis, (values, norm, label) in zip(axes[1:], colourings, strict=True):
        axis.scatter(*points[~used].T, s=8, marker="x", color="0.6", linewidth=0.6)
        shown = axis.scatter(
            *points[used].T,
            s=area[used],
            c=values[used],
            norm=norm,
            cmap="viridis",
            edgecolor="0.3",
            linewidth=0.4,
        )
        figure.colorbar(shown, ax=axis, label=label, location="bottom")
    if shares is None:
        for axis in axes:
            axis.set(xticks=[], yticks=[], xlabel="(distances have no unit here)")
        return figure
    for axis in axes:
        axis.set_xlabel(f"component 1 ({shares[0]:.0%})")
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


def company_matrix(lift) -> Figure:
    """How much more often than by chance codes stand above each other: `[n, n]`, log2,
    by the code below and the one above; NaN, pairs that never met, is grey."""
    lift = np.asarray(lift, dtype=float)
    limit = max(np.nanmax(np.abs(lift), initial=0.0), 1e-3)
    figure, axis = plt.subplots(figsize=(5.4, 4.4), layout="constrained")
    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.85")
    shown = axis.imshow(lift.T, origin="lower", cmap=colours, vmin=-limit, vmax=limit)
    axis.set_xlabel("code a, by its first principal component")
    axis.set_ylabel("code b, right above a, likewise")
    axis.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=axis, label="$\\log_2$ of how often, over chance")
    return figure


def purity_points(meanings, names: Sequence[str]) -> Figure:
    """Each code by frequency and purity, in the colour of its meaning.

    Args:
        meanings: ``label``, ``purity`` and ``count`` of the K codes; label −1 for a
            code that never occurs.
        names: of the labels.
    """
    label, purity, count = (np.asarray(x) for x in meanings)
    figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for kind, (name, colour) in enumerate(zip(names, kind_colours(names), strict=True)):
        own = label == kind
        if own.any():
            axis.scatter(
                count[own],
                purity[own],
                s=18,
                color=colour,
                edgecolor="0.3",
                linewidth=0.4,
                label=f"{name} ({own.sum()})",
            )
    axis.set(xscale="log", xlabel="occurrences of a code", ylabel="purity")
    axis.set_ylim(top=1.04)
    figure.legend(title="most often", loc="outside right upper")
    return figure


def reach_maps(maps: Mapping[str, object], label: Sequence[str]) -> Figure:
    """Maps around one patch, on a logarithmic scale, the patch itself framed.

    Args:
        maps: title → `[a, b]` around the centre, in patches; NaN stays white.
        label: what each map shows, with its unit.
    """
    columns, rows = min(2, len(maps)), -(-len(maps) // 2)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(4.4 * columns, 3.7 * rows),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.ravel()[len(maps) :]:
        axis.axis("off")
    panels = zip(axes.ravel(), maps.items(), label, strict=False)
    for axis, (title, values), text in panels:
        values = np.asarray(values, dtype=float)
        a, b = values.shape
        top = max(np.nanmax(values), 1e-12)
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
