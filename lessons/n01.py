"""Figures that notebook 01 alone draws: orientation, organs, likeness."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from lessons.figures import draw_slice, slice_axes
from lessons.style import LABEL_COLOURS, PALETTE, as_slices, panels

# yellow shows on white
EDGE = {"path_effects": [Stroke(linewidth=3.2, foreground="0.25"), Normal()]}
THIN = {"path_effects": [Stroke(linewidth=2, foreground="0.25"), Normal()]}


def orientations(image) -> Figure:
    """One array `[H, W]` by three calls of ``imshow``; only the last is upright."""
    image = as_slices(image)[0]
    calls = {
        "imshow(img)": (image, "upper"),
        "imshow(img.T)": (image.T, "upper"),
        'imshow(img.T, origin="lower")': (image.T, "lower"),
    }
    figure, axes = panels(3, 2.9, width_ratios=[0.45, 1, 1])
    for axis, (call, (pixels, origin)) in zip(axes, calls.items(), strict=True):
        axis.imshow(pixels, origin=origin, vmin=0, vmax=1)
        axis.set_title(call)
        first, second = ("first", "second")[:: 1 if pixels is image else -1]
        axis.set(xlabel=f"{second} index", ylabel=f"{first} index")
    return figure


def organ_curves(positions, areas: pd.DataFrame, bins=20) -> Figure:
    """How often and how large each organ is, from the first slice to the last: of the
    relative positions `[N]` and the areas `[N, organs]` in cm²; shaded is one standard
    deviation of the slices."""
    number = np.clip(np.floor(np.asarray(positions) * bins), 0, bins - 1)
    place = (number + 0.5) / bins
    figure, (often, large) = panels(2, 2.8)
    style = {"color": LABEL_COLOURS, "linewidth": 2, "legend": False, **EDGE}
    (100 * (areas > 0)).groupby(place).mean().plot(ax=often, **style)
    mean, sd = areas.groupby(place).mean(), areas.groupby(place).std(ddof=0)
    mean.plot(ax=large, **style)
    for organ in areas:
        ends = mean[organ] - sd[organ], mean[organ] + sd[organ]
        large.fill_between(mean.index, *ends, alpha=0.2, color=LABEL_COLOURS[organ])
    often.set(ylabel="slices that show it (%)", ylim=(0, 104))
    large.set(ylabel="area in the slice (cm²)")
    large.set_ylim(bottom=0)
    large.legend()
    for axis in (often, large):
        axis.set(xlabel="relative position in the scan", xlim=(0, 1))
    return figure


def organ_weeks(volumes: pd.DataFrame) -> Figure:
    """Volumes in ml over the weeks, by ``case`` and ``week``: a panel for each organ, a
    line for each patient, a dot for each scan."""
    figure, axes = panels(volumes.shape[1], 2.6)
    for axis, organ in zip(axes, volumes, strict=True):
        table = volumes[organ].unstack("case")
        style = {"color": LABEL_COLOURS[organ], "linewidth": 1, "markersize": 4, **THIN}
        table.plot(ax=axis, style="o-", legend=False, markeredgecolor="0.25", **style)
        weeks = table.index
        axis.set_xticks(weeks)
        axis.set(xlim=(weeks[0] - 0.4, weeks[-1] + 0.4), title=organ, xlabel="week")
        axis.set_ylim(0, 1.08 * volumes[organ].max() or 1)
    axes[0].set_ylabel("volume (ml)")
    return figure


def value_maps(maps: Mapping[str, object], limits: Sequence[float]) -> Figure:
    """Images of computed values `[H, W]` by title, each from 0 to its limit."""
    figure, axes = slice_axes(1, len(maps), more=0.5)
    for axis, (name, image), top in zip(axes[0], maps.items(), limits, strict=True):
        shown = draw_slice(axis, as_slices(image)[0], (0.0, top))
        axis.set_title(name)
        figure.colorbar(shown, ax=axis, location="bottom", aspect=30)
    return figure


def ladder(scores: Mapping[str, Sequence[float]], label: str) -> Figure:
    """Distributions of a score, one below the other, each with its mean in numbers."""
    size = (7.5, 0.55 * len(scores) + 0.9)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.boxplot(
        [np.asarray(values) for values in scores.values()],
        orientation="horizontal",
        positions=range(len(scores)),
        tick_labels=list(scores),
        widths=0.6,
        patch_artist=True,
        flierprops={"markersize": 2},
        boxprops={"facecolor": PALETTE[0], "alpha": 0.5},
        medianprops={"color": "0.2"},
    )
    for row, values in enumerate(scores.values()):
        mean = float(np.mean(values))
        axis.plot(mean, row, "D", color="0.1", markersize=5, zorder=5)
        where = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 9}
        axis.annotate(f" mean {mean:.3f}", (1.0, row), **where)
    axis.invert_yaxis()
    axis.set_xlabel(label)
    return figure
