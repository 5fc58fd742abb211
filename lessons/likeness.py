"""Figures of how alike slices are: scores by kinship and by convention, phantom beside
real, and what augmentation does to a slice.

Used by notebook 01.
"""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure

from lessons.figures import draw_slice
from lessons.style import EXTENT, SLICE_MM, as_slices, colours
from vqlib.metrics.realism import LEVELS, Portrait

COLUMNS = 4  # of `effects`


def ladder(
    scores: Mapping[str, Sequence[float]], label: str = "SSIM of the pair"
) -> Figure:
    """Distributions of a score, one below the other, each with its mean in numbers."""
    figure, axis = plt.subplots(
        figsize=(7.5, 0.55 * len(scores) + 0.9), layout="constrained"
    )
    seaborn.boxplot(
        {name: np.asarray(values) for name, values in scores.items()},
        orient="h",
        width=0.6,
        fliersize=2,
        color=seaborn.color_palette("colorblind")[0],
        boxprops={"alpha": 0.5},
        ax=axis,
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
    axis.set(xlabel=label, ylabel="")
    return figure


def dots(
    table: Mapping[str, Mapping[str, float]], label: str, ours: str | None = None
) -> Figure:
    """Numbers that answer one question in many ways: a row for each way.

    Args:
        table: row → (series → value); a NaN is left out.
        label: what the values are.
        ours: the row to set apart.
    """
    series = list(dict.fromkeys(name for row in table.values() for name in row))
    figure, axis = plt.subplots(
        figsize=(8.0, 0.32 * len(table) + 1.0), layout="constrained"
    )
    for name, colour, marker in zip(series, colours(series), "osD^v", strict=False):
        values = [row.get(name, np.nan) for row in table.values()]
        axis.plot(
            values,
            range(len(table)),
            marker,
            markersize=7,
            color=colour,
            label=name,
        )
    if ours is not None:
        axis.axhspan(
            list(table).index(ours) - 0.5,
            list(table).index(ours) + 0.5,
            color="0.93",
            zorder=0,
        )
    axis.set_yticks(range(len(table)), table.keys())
    axis.invert_yaxis()
    axis.grid(axis="y", color="0.9")
    axis.set_xlabel(label)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def portraits(described: Mapping[str, Portrait]) -> Figure:
    """Sets of slices as `vqlib.metrics.realism` describes them: grey values, tissues,
    power spectrum and gradients, a colour for each set."""
    figure, ((grey, tissue), (power, steep)) = plt.subplots(
        2, 2, figsize=(9.0, 5.4), layout="constrained"
    )
    palette = seaborn.color_palette("colorblind", len(described))
    rows = list(dict.fromkeys(n for found in described.values() for n in found.tissues))
    for number, (name, found) in enumerate(described.items()):
        style = {"color": palette[number], "linewidth": 1.6}
        grey.plot(found.intensity, 100 * LEVELS, label=name, **style)
        power.loglog(found.frequency, found.power, **style)
        steep.plot(found.gradient, 100 * (1 - LEVELS), **style)
        for kind, values in found.tissues.items():
            y = rows.index(kind) + 0.2 * (number - (len(described) - 1) / 2)
            middle, half = values["median"], values["spread"] / 2
            tissue.plot([middle - half, middle + half], [y, y], **style)
            size = 3 + 14 * values["share"] ** 0.5  # the area tells the share
            tissue.plot(middle, y, "o", color=palette[number], markersize=size)
    tissue.set_yticks(range(len(rows)), rows)
    tissue.set(
        ylim=(len(rows) - 0.5, -0.5),
        xlim=(0, 1),
        xlabel="grey value (bar: spread, size of dot: share)",
    )
    grey.set(
        xlabel="grey value",
        ylabel="pixels darker than this (%)",
        xlim=(0, 1),
        ylim=(0, 100),
    )
    power.set(xlabel="spatial frequency (cycles per mm)", ylabel="power (mm²)")
    steep.set(
        xlabel="gradient (grey values per mm)",
        ylabel="pixels steeper than this (%)",
        yscale="log",
    )
    figure.legend(loc="outside upper center", ncols=len(described))
    return figure


def effects(image, changed: Mapping[str, object], limit: float = 0.5) -> Figure:
    """A slice, versions of it, and below each what was added (red) or taken away
    (blue).

    Args:
        image: `[H, W]`, in [0, 1] as the others.
        changed: name → `[H, W]` or `[1, H, W]`.
        limit: of the change, either way.
    """
    image = as_slices(image)[0]
    width, lines = 2.0, math.ceil((len(changed) + 1) / COLUMNS)
    figure, axes = plt.subplots(
        2 * lines,
        COLUMNS,
        figsize=(
            width * COLUMNS,
            lines * (2 * width * SLICE_MM[1] / SLICE_MM[0] + 0.3),
        ),
        layout="constrained",
    )
    for axis in axes.ravel():
        axis.axis("off")
    upper, lower = axes[::2].ravel(), axes[1::2].ravel()
    draw_slice(upper[0], image)
    upper[0].set_title("as it was")
    for number, (name, version) in enumerate(changed.items(), start=1):
        version = as_slices(version)[0]
        draw_slice(upper[number], version)
        upper[number].set_title(name)
        shown = lower[number].imshow(
            (version - image).T,
            origin="lower",
            extent=EXTENT,
            cmap=seaborn.color_palette("vlag", as_cmap=True),
            vmin=-limit,
            vmax=limit,
        )
    figure.colorbar(
        shown,
        cax=lower[0].inset_axes((0.08, 0.55, 0.84, 0.12)),
        orientation="horizontal",
        label="change",
    )
    return figure
