"""Numbers as figures, as more than one notebook draws them: curves, bars, tables."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lessons.style import WIDTH, colours

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
        names = dict.fromkeys(name.removeprefix("val_") for name in history)
        keys = [name for name in names if name not in NOT_CURVES]
    columns = max(1, min(columns, len(keys)))
    rows = max(1, math.ceil(len(keys) / columns))
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(min(4.0 * columns, WIDTH), 2.4 * rows),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat[len(keys) :]:
        axis.axis("off")
    for axis, key in zip(axes.flat, keys, strict=False):
        for split, name in (("train", key), ("validate", f"val_{key}")):
            values = np.asarray(history.get(name, ()), dtype=float)
            epochs = np.asarray(history.get("epoch", range(1, len(values) + 1)))
            seen = np.isfinite(values)
            if seen.any():
                x, y = epochs[: len(values)][seen], values[seen]
                axis.plot(x, y, "o-", markersize=3, label=split)
        axis.set_xlabel("epoch")
        axis.set_ylabel({**LABELS, **(labels or {})}.get(key, key.replace("_", " ")))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axis.lines:
            axis.legend()
    return figure


def score_bars(scores: Mapping[str, object], label: str = "SSIM (test)") -> Figure:
    """A bar for each model with its number and, where it has one, its interval.

    Args:
        scores: name → number, or ``(mean, low, high)``.
        label: what the score is, with its unit.
    """
    figure, axis = plt.subplots(
        figsize=(6.5, 0.42 * len(scores) + 0.9), layout="constrained"
    )
    for row, (value, colour) in enumerate(
        zip(scores.values(), colours(list(scores)), strict=True)
    ):
        mean, low, high = (value,) * 3 if np.isscalar(value) else value
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
    axis.set_yticks(range(len(scores)), scores.keys())
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.margins(x=0.12)
    return figure


def dots(table: pd.DataFrame, label: str) -> Figure:
    """Numbers that answer one question in many ways: a row for each way, the first set
    apart, and a mark for each column."""
    figure, axis = plt.subplots(
        figsize=(8.0, 0.32 * len(table) + 1.0), layout="constrained"
    )
    for (name, values), marker in zip(table.items(), "osD", strict=False):
        axis.plot(values, range(len(table)), marker, markersize=7, label=name)
    axis.axhspan(-0.5, 0.5, color="0.93", zorder=0)
    axis.set_yticks(range(len(table)), table.index)
    axis.invert_yaxis()
    axis.grid(axis="y", color="0.9")
    axis.set_xlabel(label)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
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
    shown = axis.imshow(matrix, cmap="viridis", aspect="auto")
    figure.colorbar(shown, ax=axis, label=label)
    step = math.ceil(len(columns) / 20)  # more names than that would overlap
    axis.set_xticks(range(0, len(columns), step), list(columns)[::step])
    axis.set_yticks(range(len(rows)), rows)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    for (row, column), value in np.ndenumerate(matrix if form else np.empty((0, 0))):
        colour = "black" if shown.norm(value) > 0.6 else "white"
        style = {"ha": "center", "va": "center", "fontsize": 9, "color": colour}
        axis.text(column, row, format(value, form), **style)
    return figure
