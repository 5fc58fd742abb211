"""Figures of notebook 02: rates, trainings side by side, blur, and latent spaces."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lessons.style import WIDTH, colours
from vqlib.metrics.sharpness import Detail

DASHED = {"linestyle": "--", "linewidth": 1, "color": "0.5"}
LEAST_BITS, LEAST_SPREAD = 0.01, 1e-6  # lowest of their logarithmic axes
LABELS_APART = 1.4  # in rate: closer ones would lie on each other


def rate_control(history: Mapping[str, Sequence[float]], target_bits: float) -> Figure:
    """How a rate constraint works, step by step: ``bits``, ``beta`` and ``distortion``
    of a history, with the rate that was asked for."""
    keys = {
        "bits": "rate (bits)",
        "beta": "β (log scale)",
        "distortion": "distortion (mean |error|)",
    }
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6), layout="constrained")
    for axis, (key, label) in zip(axes, keys.items(), strict=True):
        axis.plot(history[key], color=seaborn.color_palette()[0], linewidth=1.2)
        axis.set(xlabel="step", ylabel=label)
    axes[0].axhline(target_bits, **DASHED)
    axes[0].set_title("dashed: the rate asked for")
    axes[0].set_ylim(bottom=0)
    _plain_log(axes[1], 2)
    axes[2].set_ylim(bottom=0)
    return figure


def trainings(
    histories: Mapping[str, Mapping[str, Sequence[float]]], target_bits: float
) -> Figure:
    """Several models by epoch: SSIM and, where a model has one, the rate on the
    validation split. The dashed line is the rate that was asked for."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), layout="constrained")
    panels = {"val_ssim": "SSIM (validate)", "val_bits": "bits per slice (log scale)"}
    for axis, (key, label) in zip(axes, panels.items(), strict=True):
        named = {name: h[key] for name, h in histories.items() if key in h}
        shades = dict(zip(histories, colours(list(histories)), strict=True))
        for name, values in named.items():
            epochs = range(1, len(values) + 1)
            axis.plot(
                epochs, values, "o-", markersize=3, color=shades[name], label=name
            )
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend()
    _plain_log(axes[1], 2)
    axes[1].axhline(target_bits, **DASHED)
    return figure


def detail_curves(details: Mapping[str, Detail], unit: str = "cm") -> Figure:
    """Power (solid) and power in place (dashed) by spatial frequency, as shares of the
    truth's; a colour for each model."""
    figure, axis = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    for (name, detail), colour in zip(
        details.items(), colours(list(details)), strict=True
    ):
        axis.plot(detail.frequency, detail.power, color=colour, label=name)
        axis.plot(detail.frequency, detail.in_place, "--", color=colour)
    axis.plot([], [], color="0.3", label="solid: all power")
    axis.plot([], [], "--", color="0.3", label="dashed: in its place")
    axis.axhline(1, linewidth=0.8, color="0.7")
    axis.set(
        xlabel=f"spatial frequency (cycles per {unit})",
        ylabel="share of the truth's power",
        ylim=(-0.05, None),
    )
    figure.legend(loc="outside right center")
    return figure


def uncertain_edge(position: np.ndarray, edges: np.ndarray) -> Figure:
    """Sharp edges that might all be the true one, with their average and their median.

    Args:
        position: `[P]` in mm.
        edges: `[N, P]` brightness of each.
    """
    figure, axis = plt.subplots(figsize=(6.0, 2.8), layout="constrained")
    for i, edge in enumerate(edges[:12]):
        axis.plot(
            position,
            edge,
            color="0.7",
            linewidth=0.8,
            label="some of the possible edges" if i == 0 else None,
        )
    axis.plot(
        position, edges.mean(0), color=seaborn.color_palette()[0], label="average"
    )
    colour = seaborn.color_palette()[1]
    axis.plot(position, np.median(edges, 0), "--", color=colour, label="median")
    axis.set(xlabel="position (mm)", ylabel="brightness")
    axis.legend(loc="lower right")
    return figure


def unit_bits(bits: np.ndarray, spread: np.ndarray, threshold: float) -> Figure:
    """Bits (bars) and spread of the mean over slices (dots) of each latent dimension,
    sorted by bits; above the threshold of the spread a unit counts as active."""
    order = np.argsort(-bits)
    figure, axis = plt.subplots(figsize=(WIDTH, 2.8), layout="constrained")
    axis.bar(range(len(bits)), bits[order], color=seaborn.color_palette()[0], width=0.9)
    axis.set(xlabel="latent dimension, sorted", ylabel="bits (bars)")
    axis.set_xlim(-0.7, len(bits) - 0.3)
    right = axis.twinx()
    colour = seaborn.color_palette()[1]
    right.plot(range(len(bits)), spread[order], "o", markersize=4, color=colour)
    right.axhline(threshold, **DASHED)
    right.set_yscale("log")
    right.set_ylabel("variance of μ (dots, log scale)", color=colour)
    right.spines["right"].set_visible(True)
    return figure


def collapse(
    bits: Mapping[str, Sequence[float]],
    spreads: Mapping[str, np.ndarray],
    threshold: float,
) -> Figure:
    """Trainings that use their latent and trainings that do not.

    Args:
        bits: name → rate at each step.
        spreads: name → variance over slices of each unit's posterior mean; above the
            threshold (dashed) a unit counts as active.
        threshold: of the variance.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, 3.0), layout="constrained"
    )
    shades = seaborn.color_palette("colorblind", len(bits))
    for (name, values), colour in zip(bits.items(), shades, strict=True):
        left.plot(
            np.maximum(values, LEAST_BITS), color=colour, linewidth=1.2, label=name
        )
        spread = np.sort(spreads[name])[::-1].clip(LEAST_SPREAD)
        right.plot(range(1, len(spread) + 1), spread, "o-", markersize=3, color=colour)
    left.set(xlabel="step", yscale="log")
    least = f"{LEAST_BITS:g} or less at the foot"
    left.set_ylabel(f"rate (bits per slice, log scale;\n{least})")
    right.set(
        xlabel="latent unit, sorted", ylabel="variance of μ (log scale)", yscale="log"
    )
    right.axhline(threshold, **DASHED)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside right center")
    return figure


def beta_curves(rows: Sequence[Mapping], names: Mapping[str, str]) -> Figure:
    """A sweep of β: distortion and edges against the rate, and the −ELBO against β.

    Points are single trainings; lines join the means over seeds.

    Args:
        rows: ``kind``, ``beta``, ``bits``, ``distortion`` (nats per pixel),
            ``neg_elbo`` (nats per pixel) and ``edges`` of each training.
        names: kind → its name, for those to draw.
    """
    rate = "rate (bits per slice, log scale)"
    panels = (
        ("bits", "distortion", rate, "−log p(x|z), nats per pixel"),
        ("bits", "edges", rate, "edges in place (test)"),
        ("beta", "neg_elbo", "β (log scale)", "−ELBO, nats per pixel"),
    )
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.2), layout="constrained")
    for kind, colour in zip(names, colours(list(names)), strict=True):
        given = [row for row in rows if row["kind"] == kind]
        if not given:
            continue
        groups = [
            [row for row in given if row["beta"] == beta]
            for beta in sorted({row["beta"] for row in given})
        ]
        for axis, (x, y, _, _) in zip(axes, panels, strict=True):
            means = [[np.mean([r[k] for r in g]) for g in groups] for k in (x, y)]
            axis.plot(*means, "-", color=colour, label=names[kind])
            axis.plot(
                [r[x] for r in given], [r[y] for r in given], "o", ms=4, color=colour
            )
        labelled = math.inf  # bits of the label before; rates fall as β grows
        for group in groups:
            place = [np.mean([r[key] for r in group]) for key in ("bits", "distortion")]
            if place[0] > labelled / LABELS_APART:
                continue
            labelled = place[0]
            axes[0].annotate(
                f"{group[0]['beta']:g}",
                place,
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=8,
                color=colour,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
    for axis, (x, _, xlabel, ylabel) in zip(axes, panels, strict=True):
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.set_xscale("log", base=2 if x == "bits" else 10)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes[0].set_title("numbers: β")
    axes[0].legend()
    return figure


def spectra(
    frequency: np.ndarray,
    reconstructions: Mapping[str, np.ndarray],
    samples: Mapping[str, np.ndarray],
    control: np.ndarray,
    unit: str = "cm",
) -> Figure:
    """Power of reconstructions (solid) and of samples (dotted) by spatial frequency, as
    shares of real slices' on a logarithmic scale; grey: other real slices."""
    figure, axis = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    for name, colour in zip(samples, colours(list(samples)), strict=True):
        axis.plot(frequency, reconstructions[name], color=colour, label=name)
        axis.plot(frequency, samples[name], ":", linewidth=2, color=colour)
    axis.plot(frequency, control, color="0.6", label="other real slices")
    axis.plot([], [], color="0.3", label="solid: reconstructions")
    axis.plot([], [], ":", linewidth=2, color="0.3", label="dotted: samples")
    axis.axhline(1, linewidth=0.8, color="0.7")
    axis.set(
        xlabel=f"spatial frequency (cycles per {unit})",
        ylabel="share of real slices' power (log scale)",
        yscale="log",
    )
    figure.legend(loc="outside right center")
    return figure


def _plain_log(axis, base: int) -> None:
    """A logarithmic axis with a few ticks, written as plain numbers."""
    axis.set_yscale("log", base=base)
    axis.yaxis.set_major_formatter(
        lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:.3f}"
    )
