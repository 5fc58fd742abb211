"""Figures of a data set: who was scanned when, which way is up, organs, intensities.

Used by notebook 01. Slices themselves are drawn by `lessons.images`, scores and
likeness by `lessons.likeness`.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from lessons.figures import draw_slice
from lessons.style import LABEL_COLOURS, SLICE_MM, WIDTH, as_slices

MANY = 8  # more lines than this get no legend


def scan_calendar(weeks: Mapping[str, Mapping[int, Sequence[int]]]) -> Figure:
    """A dot for each scan: patients along the axis, one colour for each split.

    Args:
        weeks: split → patient → weeks in which there is a scan.
    """
    patients = [case for split in weeks.values() for case in split]
    last = max(week for split in weeks.values() for w in split.values() for week in w)
    figure, axis = plt.subplots(figsize=(8.0, 0.2 * last + 1.5), layout="constrained")
    palette = seaborn.color_palette("colorblind", len(weeks))
    start = 0
    for (split, scans), colour in zip(weeks.items(), palette, strict=True):
        points = [(start + n, w) for n, ws in enumerate(scans.values()) for w in ws]
        axis.plot(*zip(*points, strict=True), "o", color=colour, label=split)
        start += len(scans)
    axis.set_xticks(range(len(patients)), [f"{case:03d}" for case in patients])
    axis.tick_params(axis="x", rotation=90)
    axis.set_yticks(range(last + 1))
    axis.set(xlabel="patient", ylabel="week", ylim=(last + 0.6, -0.6))
    figure.legend(loc="outside right center")
    return figure


def orientations(image) -> Figure:
    """One array `[H, W]` by three calls of ``imshow``; only the last is upright."""
    image = as_slices(image)[0]
    calls = {
        "imshow(img)": (image, "upper"),
        "imshow(img.T)": (image.T, "upper"),
        'imshow(img.T, origin="lower")': (image.T, "lower"),
    }
    figure, axes = plt.subplots(
        1,
        3,
        figsize=(7.5, 2.6),
        layout="constrained",
        width_ratios=[0.45, 1, 1],
    )
    for axis, (call, (pixels, origin)) in zip(axes, calls.items(), strict=True):
        axis.imshow(pixels, origin=origin, vmin=0, vmax=1)
        axis.set_title(call)
        first, second = ("first", "second")[:: 1 if pixels is image else -1]
        axis.set(xlabel=f"{second} index", ylabel=f"{first} index")
    return figure


def slice_row(images, titles: Sequence[str]) -> Figure:
    """Slices `[N, 1, H, W]` side by side, with titles of two lines, all in [0, 1]."""
    images = as_slices(images)
    width = 0.9 * WIDTH / max(len(images), 3)
    figure, axes = plt.subplots(
        1,
        len(images),
        figsize=(width * len(images), width * SLICE_MM[1] / SLICE_MM[0] + 0.45),
        layout="constrained",
        squeeze=False,
    )
    for axis, image, title in zip(axes[0], images, titles, strict=True):
        draw_slice(axis, image)
        axis.set_title(title)
    return figure


def organ_curves(positions, areas: Mapping[str, Sequence[float]], bins=20) -> Figure:
    """How often and how large each organ is, from the first slice to the last.

    Args:
        positions: `[N]`, relative position of each slice in its volume.
        areas: label → cm² in each slice, `[N]`.
        bins: of the position.
    """
    middle = _bin_middles(positions, bins)
    figure, axes = plt.subplots(1, 2, figsize=(8.0, 2.5), layout="constrained")
    for name, area in areas.items():
        area = np.asarray(area, dtype=float)
        style = {
            "color": LABEL_COLOURS[name],
            "linewidth": 2.2,
            "path_effects": [Stroke(linewidth=3.6, foreground="0.25"), Normal()],
        }
        seaborn.lineplot(
            x=middle, y=100 * (area > 0), errorbar=None, ax=axes[0], **style
        )
        # the spread is that of slices, one standard deviation to either side
        seaborn.lineplot(
            x=middle, y=area, errorbar="sd", label=name, ax=axes[1], **style
        )
    axes[0].set(ylabel="slices that show it (%)", ylim=(0, 104))
    axes[1].set(ylabel="area in the slice (cm²)")
    axes[1].set_ylim(bottom=0)
    axes[1].legend()
    for axis in axes:
        axis.set(xlabel="relative position in the scan", xlim=(0, 1))
    return figure


def organ_weeks(
    volumes: Mapping[str, Mapping[int, Mapping[int, float]]], label: str = "ml"
) -> Figure:
    """Volume of each organ over the weeks: a panel for each organ, a line for each
    patient, a dot for each scan.

    Args:
        volumes: organ → patient → week → volume.
        label: the unit.
    """
    figure, axes = plt.subplots(
        1, len(volumes), figsize=(WIDTH, 2.6), layout="constrained", squeeze=False
    )
    for axis, (organ, patients) in zip(axes[0], volumes.items(), strict=True):
        for weeks in patients.values():
            axis.plot(
                list(weeks),
                list(weeks.values()),
                "o-",
                color=LABEL_COLOURS[organ],
                markeredgecolor="0.25",
                markersize=5,
                path_effects=[Stroke(linewidth=2.6, foreground="0.25"), Normal()],
            )
        numbers = sorted({week for weeks in patients.values() for week in weeks})
        most = max(v for weeks in patients.values() for v in weeks.values())
        axis.set_xticks(numbers)
        axis.set(xlim=(numbers[0] - 0.4, numbers[-1] + 0.4), ylim=(0, 1.08 * most or 1))
        axis.set(title=organ, xlabel="week")
    axes[0, 0].set_ylabel(f"volume ({label})")
    return figure


def intensity_curves(
    panels: Mapping[str, Mapping[str, object]], limits: Sequence[tuple[float, float]]
) -> Figure:
    """Distributions of intensities, a panel for each way to scale them.

    Args:
        panels: label of the axis → (patient → values of any shape).
        limits: of each panel's axis.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(8.0, 2.5), layout="constrained", squeeze=False
    )
    for axis, (label, scans), (low, high) in zip(
        axes[0], panels.items(), limits, strict=True
    ):
        colours = seaborn.color_palette("viridis", len(scans))
        for (name, values), colour in zip(scans.items(), colours, strict=True):
            seaborn.histplot(
                x=np.asarray(values, dtype=float).ravel(),
                bins=40,
                binrange=(low, high),
                stat="density",
                element="poly",
                fill=False,
                color=colour,
                linewidth=1.3,
                label=name if len(scans) <= MANY else None,
                ax=axis,
            )
        axis.set(xlabel=label, ylabel="density", xlim=(low, high))
    if axes[0, 0].get_legend_handles_labels()[0]:
        axes[0, 0].legend(title="patient", title_fontsize=9)  # the same in all panels
    return figure


def value_maps(maps: Mapping[str, object]) -> Figure:
    """Images of computed values `[H, W]` by title, each from 0 with its own scale."""
    images = {name: as_slices(image)[0] for name, image in maps.items()}
    width = WIDTH / len(images)
    figure, axes = plt.subplots(
        1,
        len(images),
        figsize=(WIDTH, width * SLICE_MM[1] / SLICE_MM[0] + 0.75),
        layout="constrained",
        squeeze=False,
    )
    for axis, (name, image) in zip(axes[0], images.items(), strict=True):
        draw_slice(axis, image, (0.0, float(image.max())))
        axis.set_title(name)
        figure.colorbar(axis.images[0], ax=axis, location="bottom", aspect=30)
    return figure


def _bin_middles(positions, bins: int) -> np.ndarray:
    """The middle of the bin of each position in [0, 1]."""
    numbers = np.clip(np.floor(np.asarray(positions) * bins), 0, bins - 1)
    return (numbers + 0.5) / bins
