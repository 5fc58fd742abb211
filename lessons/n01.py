"""Figures that notebook 01 alone draws: orientation, organs, likeness."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from lessons.figures import draw_slice, slice_axes
from lessons.style import LABEL_COLOURS, PALETTE, WIDTH, as_slices

EDGE = [Stroke(linewidth=3.2, foreground="0.25"), Normal()]  # yellow shows on white


def orientations(image) -> Figure:
    """One array `[H, W]` by three calls of ``imshow``; only the last is upright."""
    image = as_slices(image)[0]
    calls = {
        "imshow(img)": (image, "upper"),
        "imshow(img.T)": (image.T, "upper"),
        'imshow(img.T, origin="lower")': (image.T, "lower"),
    }
    figure, axes = plt.subplots(
        1, 3, figsize=(7.5, 2.6), layout="constrained", width_ratios=[0.45, 1, 1]
    )
    for axis, (call, (pixels, origin)) in zip(axes, calls.items(), strict=True):
        axis.imshow(pixels, origin=origin, vmin=0, vmax=1)
        axis.set_title(call)
        first, second = ("first", "second")[:: 1 if pixels is image else -1]
        axis.set(xlabel=f"{second} index", ylabel=f"{first} index")
    return figure


def organ_curves(positions, areas: Mapping[str, Sequence[float]], bins=20) -> Figure:
    """How often and how large each organ is, from the first slice to the last; shaded
    is one standard deviation of the slices.

    Args:
        positions: `[N]`, relative position of each slice in its volume.
        areas: label → cm² in each slice, `[N]`.
        bins: of the position.
    """
    number = np.clip(np.floor(np.asarray(positions) * bins), 0, bins - 1)
    seen = np.unique(number)
    figure, (often, large) = plt.subplots(
        1, 2, figsize=(8.0, 2.5), layout="constrained"
    )
    for name, values in areas.items():
        parts = [np.asarray(values, dtype=float)[number == n] for n in seen]
        mean, sd = (np.array([f(p) for p in parts]) for f in (np.mean, np.std))
        x, style = (seen + 0.5) / bins, {"color": LABEL_COLOURS[name]}
        shown = [100 * np.mean(part > 0) for part in parts]
        often.plot(x, shown, linewidth=2, path_effects=EDGE, **style)
        large.plot(x, mean, linewidth=2, path_effects=EDGE, label=name, **style)
        large.fill_between(x, mean - sd, mean + sd, alpha=0.2, **style)
    often.set(ylabel="slices that show it (%)", ylim=(0, 104))
    large.set(ylabel="area in the slice (cm²)")
    large.set_ylim(bottom=0)
    large.legend()
    for axis in (often, large):
        axis.set(xlabel="relative position in the scan", xlim=(0, 1))
    return figure


def organ_weeks(volumes: Mapping[str, Mapping[int, Mapping[int, float]]]) -> Figure:
    """Volume of each organ over the weeks: a panel for each organ, a line for each
    patient, a dot for each scan.

    Args:
        volumes: organ → patient → week → ml.
    """
    figure, axes = plt.subplots(
        1, len(volumes), figsize=(WIDTH, 2.6), layout="constrained", squeeze=False
    )
    for axis, (organ, patients) in zip(axes[0], volumes.items(), strict=True):
        for weeks in patients.values():
            axis.plot(
                *zip(*weeks.items(), strict=True),
                "o-",
                color=LABEL_COLOURS[organ],
                linewidth=1,
                markeredgecolor="0.25",
                markersize=4,
                path_effects=[Stroke(linewidth=2, foreground="0.25"), Normal()],
            )
        numbers = sorted({week for weeks in patients.values() for week in weeks})
        most = max(v for weeks in patients.values() for v in weeks.values())
        axis.set_xticks(numbers)
        axis.set(xlim=(numbers[0] - 0.4, numbers[-1] + 0.4), ylim=(0, 1.08 * most or 1))
        axis.set(title=organ, xlabel="week")
    axes[0, 0].set_ylabel("volume (ml)")
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
    figure, axis = plt.subplots(
        figsize=(7.5, 0.55 * len(scores) + 0.9), layout="constrained"
    )
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
        axis.annotate(
            f"mean {mean:.3f}",
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axis.invert_yaxis()
    axis.set_xlabel(label)
    return figure
