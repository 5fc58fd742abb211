"""Numbers as figures: training curves, rate against quality, scores with intervals."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lessons.style import WIDTH, colours, mark_levels

VALIDATION = "val_"  # a column "val_loss" belongs to the column "loss"
LABELS = {"ssim": "SSIM", "psnr": "PSNR, dB", "l1": "L1", "kl": "KL"}
NOT_CURVES = ("epoch", "step", "seconds", "learning_rate")


def training_curves(
    history: Mapping[str, Sequence[float]],
    keys: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    columns: int = 3,
) -> Figure:
    """A panel for each quantity of a history, by epoch.

    Training and validation of one quantity (``loss`` and ``val_loss``) share a panel.

    Args:
        history: name → one value for each epoch; NaN where there is none.
        keys: which quantities, without ``val_``; all when not given.
        labels: quantity → its name and unit on the axis.
        columns: panels in a row.
    """
    if keys is None:
        names = [name.removeprefix(VALIDATION) for name in history]
        keys = [k for k in dict.fromkeys(names) if k not in NOT_CURVES]
    columns = max(1, min(columns, len(keys)))
    rows = max(1, math.ceil(len(keys) / columns))
    width = min(4.0, WIDTH / columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, 2.4 * rows),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.ravel()[len(keys) :]:
        axis.axis("off")
    for axis, key in zip(axes.ravel(), keys, strict=False):
        curves = {"train": key, "validate": VALIDATION + key}
        for (split, name), colour in zip(
            curves.items(), seaborn.color_palette("colorblind", 2), strict=True
        ):
            values = np.asarray(history.get(name, ()), dtype=float)
            epochs = np.asarray(history.get("epoch", range(1, len(values) + 1)))
            seen = np.isfinite(values)
            if seen.any():
                x, y = epochs[: len(values)][seen], values[seen]
                axis.plot(x, y, "o-", markersize=3, color=colour, label=split)
        axis.set_xlabel("epoch")
        axis.set_ylabel({**LABELS, **(labels or {})}.get(key, key.replace("_", " ")))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axis.lines:
            axis.legend()
    return figure


def rate_distortion(
    points: Mapping[str, object],
    score: str = "SSIM (test)",
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Quality against rate: higher is better, further left is cheaper.

    Args:
        points: name → ``(bits, score)``, or a list of them, joined by a line. A score
            is a number or an interval: ``(mean, low, high)`` or a dictionary of those.
        score: label of the vertical axis.
        marks: text → score of controls that have no rate, drawn as horizontal lines.
    """
    figure, axis = plt.subplots(figsize=(6.0, 3.8), layout="constrained")
    for (name, given), colour in zip(
        points.items(), colours(list(points)), strict=True
    ):
        pairs = [given] if np.isscalar(given[0]) else sorted(given, key=lambda p: p[0])
        bits = [pair[0] for pair in pairs]
        mean, low, high = np.transpose([as_interval(pair[1]) for pair in pairs])
        axis.errorbar(
            bits,
            mean,
            yerr=[mean - low, high - mean],
            fmt="o-",
            capsize=3,
            color=colour,
            label=name,
        )
    mark_levels(axis, marks or {})
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_xlabel("bits per slice (log scale)")
    axis.set_ylabel(score)
    axis.legend()
    return figure


def score_bars(
    scores: Mapping[str, object],
    label: str = "SSIM (test)",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """A bar for each model with its interval and its number.

    Args:
        scores: name → number, ``(mean, low, high)`` or a dictionary of those.
        label: what the score is, with its unit.
        limits: of the axis; from 0 when not given.
    """
    rows = [as_interval(value) for value in scores.values()]
    figure, axis = plt.subplots(
        figsize=(6.5, 0.42 * len(rows) + 0.9), layout="constrained"
    )
    for row, ((mean, low, high), colour) in enumerate(
        zip(rows, colours(list(scores)), strict=True)
    ):
        axis.barh(row, mean, height=0.7, color=colour)
        if high > low:
            error = [[mean - low], [high - mean]]
            axis.errorbar(mean, row, xerr=error, color="0.15", capsize=3)
        axis.annotate(
            f"{mean:.3f}" if abs(mean) < 10 else f"{mean:.1f}",
            (high, row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axis.set_yticks(range(len(rows)), scores.keys())
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.set_xlim(*(limits or (min(0.0, *(r[1] for r in rows), 0.0), None)))
    axis.margins(x=0.12)
    return figure


def histogram(
    values: Mapping[str, object],
    label: str,
    bins: int = 50,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Distributions of several sets over one axis, each with area 1.

    Args:
        values: name → numbers of any shape.
        label: what they are, with their unit.
        bins: over the common range.
        limits: of that range; that of the values when not given.
    """
    flat = {name: np.asarray(v, dtype=float).ravel() for name, v in values.items()}
    figure, axis = plt.subplots(figsize=(6.0, 3.2), layout="constrained")
    seaborn.histplot(
        flat,
        bins=bins,
        binrange=limits,
        stat="density",
        common_norm=False,
        element="step",
        alpha=0.15,
        palette=colours(list(flat)),
        legend=len(flat) > 1,
        ax=axis,
    )
    axis.set(xlabel=label, ylabel="density")
    return figure


def heatmap(
    matrix,
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    xlabel: str = "",
    ylabel: str = "",
    form: str | None = None,
) -> Figure:
    """A table of numbers in colour.

    Args:
        matrix: `[R, C]`.
        rows: names of the R rows.
        columns: names of the C columns.
        label: what the numbers are, with their unit.
        xlabel: what the columns are.
        ylabel: what the rows are.
        form: writes each number into its cell, as ``".2f"``; none when not given.
    """
    matrix = np.asarray(matrix, dtype=float)
    figure, axis = plt.subplots(
        figsize=(min(WIDTH, 2.6 + 0.5 * len(columns)), 1.2 + 0.32 * len(rows)),
        layout="constrained",
    )
    seaborn.heatmap(
        matrix,
        annot=form is not None,
        fmt=form or "",
        cmap="viridis",
        xticklabels=list(columns) if len(columns) <= 20 else "auto",
        yticklabels=list(rows),
        cbar_kws={"label": label},
        annot_kws={"fontsize": 9},
        ax=axis,
    )
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.tick_params(axis="y", rotation=0)
    return figure


def as_interval(value) -> tuple[float, float, float]:
    """(mean, low, high) of a number, of a triple or of a dictionary with those keys."""
    if isinstance(value, Mapping):
        return value["mean"], value["low"], value["high"]
    if np.isscalar(value):
        return float(value), float(value), float(value)
    mean, low, high = value
    return mean, low, high
