"""Numbers as figures, as more than one notebook draws them: curves, bars, tables."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lessons.style import DASHED, WIDTH, colours

LABELS = {"ssim": "SSIM", "psnr": "PSNR, dB", "l1": "L1", "kl": "KL"}
NOT_CURVES = ("epoch", "step", "seconds", "learning_rate")


def training_curves(
    history: Mapping[str, Sequence[float]],
    keys: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    columns: int = 3,
) -> Figure:
    """A panel for each quantity of a history (name → a value for each epoch, or NaN),
    training and validation (``loss`` and ``val_loss``) together; ``keys`` chooses
    quantities, without ``val_``; ``labels`` names them and their unit."""
    if keys is None:
        names = dict.fromkeys(name.removeprefix("val_") for name in history)
        keys = [name for name in names if name not in NOT_CURVES]
    columns = max(1, min(columns, len(keys)))
    rows = max(1, math.ceil(len(keys) / columns))
    size = (min(4.0 * columns, WIDTH), 2.4 * rows)
    style = {"figsize": size, "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(rows, columns, **style)
    for axis in axes.flat[len(keys) :]:
        axis.axis("off")
    for axis, key in zip(axes.flat, keys, strict=False):
        for split, name in (("train", key), ("validate", f"val_{key}")):
            values = pd.Series(history.get(name, ()), dtype=float)
            epochs = history.get("epoch", range(1, len(values) + 1))
            values.index = epochs[: len(values)]
            if values.notna().any():
                axis.plot(values.dropna(), "o-", markersize=3, label=split)
        axis.set_xlabel("epoch")
        axis.set_ylabel({**LABELS, **(labels or {})}.get(key, key.replace("_", " ")))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axis.lines:
            axis.legend()
    return figure


def score_bars(scores: Mapping[str, object], label: str = "SSIM (test)") -> Figure:
    """A bar for each model with its number and, where it is given as ``(mean, low,
    high)``, its interval; ``label`` says what the score is, with its unit."""
    size = (6.5, 0.42 * len(scores) + 0.9)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    mean, low, high = np.array([np.broadcast_to(v, 3) for v in scores.values()]).T
    axis.barh(list(scores), mean, height=0.7, color=colours(list(scores)))
    axis.errorbar(
        *(mean, range(len(mean))),
        xerr=[mean - low, high - mean],
        fmt="none",
        color="0.15",
        capsize=3,
    )
    for row, value in enumerate(mean):
        text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
        style = {"textcoords": "offset points", "va": "center", "fontsize": 9}
        axis.annotate(text, (high[row], row), (6, 0), **style)
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.margins(x=0.12)
    return figure


def dots(table: pd.DataFrame, label: str) -> Figure:
    """Numbers that answer one question in many ways: a row for each way, the first set
    apart, and a mark for each column."""
    size = (8.0, 0.32 * len(table) + 1.0)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    for (name, values), marker in zip(table.items(), "osD", strict=False):
        axis.plot(values, range(len(table)), marker, markersize=7, label=name)
    axis.axhspan(-0.5, 0.5, color="0.93", zorder=0)
    axis.set_yticks(range(len(table)), table.index)
    axis.invert_yaxis()
    axis.grid(axis="y", color="0.9")
    axis.set_xlabel(label)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def draw_spectra(axis, details: Mapping[str, object], unit: str) -> None:
    """For each model its `lessons.sharpness.Detail`: all of its power solid, what of it
    is in its place dashed, by spatial frequency in cycles per ``unit``."""
    for (name, detail), colour in zip(
        details.items(), colours(list(details)), strict=True
    ):
        axis.plot(detail.frequency, detail.power, color=colour, label=name)
        axis.plot(detail.frequency, detail.in_place, "--", color=colour)
    axis.axhline(1, **DASHED)
    axis.set_xlabel(f"spatial frequency (cycles per {unit})")
    axis.set(ylabel="share of the true slice's power", ylim=(0, 1.1))
