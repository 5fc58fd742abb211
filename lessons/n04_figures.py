"""The figures of notebook 04. What they show was computed before (`lessons.n04_codes`).

A "kind" names a patch: the organ in it where there are labels, its grey value where
there are none.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
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
    words of a language; ``counts``: name of the set → occurrences of the K codes."""
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


def code_maps(image, values, reconstruction, label: str) -> Figure:
    """A slice `[1, 1, H, W]`, a number for each of its codes `[1, h, w]`, and what the
    decoder makes of them; ``label`` says what the numbers are."""
    figure, axes = _panels(3)
    draw_slice(axes[0], as_slices(image)[0])
    codes = as_slices(values)[0]
    shown = draw_slice(axes[1], codes, (codes.min(), codes.max()), "viridis")
    draw_slice(axes[2], as_slices(reconstruction)[0])
    for axis, title in zip(axes, ("slice", "codes", "decoded"), strict=True):
        axis.set_title(title)
    _bar_below(figure, shown, axes, label)
    return figure


def chance_levels(tests: Mapping[str, object], label: str) -> Figure:
    """Values under several shuffles (dots) beside the observed one (line): name of the
    shuffle → `lessons.n04_codes.PermutationTest`."""
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
    """The codebook in two dimensions, ``points`` `[K, 2]`: coloured by the kind that a
    code is typical of (`[K]`, −1 for none) and by the mean ``grey`` value of its
    patches `[K]`. The area of a dot is how often it occurs, a cross stands for never;
    ``shares`` are of the variance, of the two components."""
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
    """What codes add to a picture (``parts`` `[n, 3 patch, 3 patch]`, the patch with a
    margin, framed), and the nearest cosine of either sign (``waves`` `[n, patch,
    patch]`); ``shares`` `[n]` are of the variance."""
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


def reach_maps(maps: Mapping[str, object], label: Sequence[str]) -> Figure:
    """Two maps around one patch, on a logarithmic scale, the patch itself framed: title
    → `[a, b]` around the centre, in patches; a ``label`` for each, with its unit."""
    figure, axes = plt.subplots(1, 2, figsize=(8.8, 3.7), layout="constrained")
    panels = zip(axes, maps.items(), label, strict=True)
    for axis, (title, values), text in panels:
        values = np.asarray(values, dtype=float)
        a, b = values.shape
        top = max(values.max(), 1e-12)
        where = {"origin": "lower", "extent": (-a / 2, a / 2, -b / 2, b / 2)}
        norm, shown = LogNorm(top * 1e-3, top), np.maximum(values, top * 1e-3)
        shown = axis.imshow(shown.T, norm=norm, cmap="viridis", **where)
        axis.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor="white"))
        axis.set_title(title)
        axis.set_xlabel("patches towards the patient's left")
        axis.set_ylabel("patches towards the head")
        axis.locator_params(integer=True)
        figure.colorbar(shown, ax=axis, label=text, shrink=0.85)
    return figure


def editing(
    panels: Mapping[str, object], box: tuple[slice, slice], grid: tuple[int, int]
) -> Figure:
    """Slices before and after an edit (title → `[1, 1, H, W]`); the last panel is the
    change, more (red) or less (blue) signal. The edited ``box``, rows and columns of
    the code ``grid``, is framed."""
    figure, axes = _panels(len(panels))
    *images, change = (as_slices(panel)[0] for panel in panels.values())
    for axis, image in zip(axes, images, strict=False):
        draw_slice(axis, image)
    limit = max(float(np.abs(change).max()), 1e-6)
    shown = draw_slice(axes[len(images)], change, (-limit, limit), CHANGE)
    _bar_below(figure, shown, axes, "change: after − before")
    unit = np.array(SLICE_MM) / grid  # of one code, in mm
    low, high = np.array([(side.start, side.stop) for side in box]).T
    frame = {"fill": False, "edgecolor": HIT, "linewidth": 1.2}
    for axis, title in zip(axes, panels, strict=False):
        axis.add_patch(Rectangle(low * unit, *((high - low) * unit), **frame))
        axis.set_title(title)
    return figure


def _panels(count: int):
    """A figure and its panels in a row, with the proportions of a slice."""
    figure, axes = slice_axes(1, count, title=0.4, more=0.5)
    figure.get_layout_engine().set(h_pad=0.07)
    return figure, axes[0]


def _bar_below(figure, shown, axes, label: str) -> None:
    where = {"location": "bottom", "shrink": 0.3, "aspect": 30}
    figure.colorbar(shown, ax=axes, label=label, **where)
