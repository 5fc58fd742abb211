"""Figures that notebook 02 alone draws: rates, trainings, blur, latents."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lessons.style import DASHED, PALETTE, WIDTH, colours, plain_log

LEAST_BITS, LEAST_SPREAD = 0.01, 1e-6  # lowest of their logarithmic axes


def rate_control(history: Mapping[str, Sequence[float]], target_bits: float) -> Figure:
    """How a rate constraint works, step by step: ``bits``, ``beta`` and ``distortion``
    of a history, with the rate that was asked for."""
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6), layout="constrained")
    rate, beta, distortion = axes
    for axis, key in zip(axes, ("bits", "beta", "distortion"), strict=True):
        axis.plot(history[key], linewidth=1.2)
        axis.set_xlabel("step")
    rate.axhline(target_bits, **DASHED)
    rate.set(ylabel="rate (bits)", title="dashed: the rate asked for", ylim=0)
    plain_log("y", beta)
    beta.set(ylabel="β (log scale)")
    distortion.set(ylabel="distortion (mean |error|)", ylim=0)
    return figure


def trainings(
    histories: Mapping[str, Mapping[str, Sequence[float]]], target_bits: float
) -> Figure:
    """Several models by epoch: SSIM and, where a model has one, the rate on the
    validation split. The dashed line is the rate that was asked for."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), layout="constrained")
    panels = {"val_ssim": "SSIM (validate)", "val_bits": "bits per slice (log scale)"}
    for axis, (key, label) in zip(axes, panels.items(), strict=True):
        for name, colour in zip(histories, colours(list(histories)), strict=True):
            values = histories[name].get(key, ())
            if len(values):
                epochs = range(1, len(values) + 1)
                axis.plot(epochs, values, "o-", ms=3, color=colour, label=name)
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend()
    plain_log("y", axes[1])
    axes[1].axhline(target_bits, **DASHED)
    return figure


def by_frequency(
    frequency: np.ndarray,
    curves: Mapping[str, Mapping[str, np.ndarray]],
    label: str,
    log: bool = False,
) -> Figure:
    """Shares of power by spatial frequency: a colour for each model, a line style for
    each kind of share.

    Args:
        frequency: `[bands]`, cycles per cm.
        curves: model → (kind → `[bands]`), of up to three kinds in the same order.
        label: of the shares.
        log: whether their axis is logarithmic.
    """
    figure, axis = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    kinds = max(curves.values(), key=len)
    styles = dict(zip(kinds, ("-", "--", ":"), strict=False))
    for name, colour in zip(curves, colours(list(curves)), strict=True):
        for kind, values in curves[name].items():
            shown = name if kind == next(iter(kinds)) else None
            axis.plot(frequency, values, styles[kind], color=colour, label=shown)
    for kind, style in styles.items():
        axis.plot([], [], style, color="0.3", label=kind)
    axis.axhline(1, linewidth=0.8, color="0.7")
    axis.set(xlabel="spatial frequency (cycles per cm)", ylabel=label)
    if log:
        axis.set_yscale("log")
    figure.legend(loc="outside right center")
    return figure


def uncertain_edge(position: np.ndarray, edges: np.ndarray) -> Figure:
    """Sharp edges that might all be the true one, with their average and their median.

    Args:
        position: `[P]` in mm.
        edges: `[N, P]` brightness of each.
    """
    figure, axis = plt.subplots(figsize=(6.0, 2.8), layout="constrained")
    some = axis.plot(position, edges[:12].T, color="0.7", linewidth=0.8)
    some[0].set_label("some of the possible edges")
    axis.plot(position, edges.mean(0), color=PALETTE[0], label="average")
    axis.plot(position, np.median(edges, 0), "--", color=PALETTE[1], label="median")
    axis.set(xlabel="position (mm)", ylabel="brightness")
    axis.legend(loc="lower right")
    return figure


def unit_bits(bits: np.ndarray, spread: np.ndarray, threshold: float) -> Figure:
    """Bits (bars) and spread of the mean over slices (dots) of each latent dimension,
    sorted by bits; above the threshold of the spread a unit counts as active."""
    order = np.argsort(-bits)
    figure, axis = plt.subplots(figsize=(WIDTH, 2.8), layout="constrained")
    axis.bar(range(len(bits)), bits[order], width=0.9)
    axis.set(xlabel="latent dimension, sorted", ylabel="bits (bars)")
    axis.set_xlim(-0.7, len(bits) - 0.3)
    right, colour = axis.twinx(), PALETTE[1]
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
        spreads: name → variance over slices of each unit's posterior mean.
        threshold: of the variance (dashed); above it a unit counts as active.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, 3.0), layout="constrained"
    )
    for name, values in bits.items():
        left.plot(np.maximum(values, LEAST_BITS), linewidth=1.2, label=name)
        spread = np.sort(spreads[name])[::-1].clip(LEAST_SPREAD)
        right.plot(range(1, len(spread) + 1), spread, "o-", markersize=3)
    left.set(xlabel="step", yscale="log")
    left.set_ylabel(
        f"rate (bits per slice, log scale;\n{LEAST_BITS:g} or less at the foot)"
    )
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
    for (kind, name), colour in zip(names.items(), colours(list(names)), strict=True):
        given = [row for row in rows if row["kind"] == kind]
        betas = sorted({row["beta"] for row in given})
        groups = [[row for row in given if row["beta"] == beta] for beta in betas]
        for axis, (x, y, _, _) in zip(axes, panels, strict=True):
            means = [[np.mean([r[k] for r in g]) for g in groups] for k in (x, y)]
            axis.plot(*means, "-", color=colour, label=name)
            points = [r[x] for r in given], [r[y] for r in given]
            axis.plot(*points, "o", ms=4, color=colour)
    for axis, (x, _, xlabel, ylabel) in zip(axes, panels, strict=True):
        axis.set(xlabel=xlabel, ylabel=ylabel)
        plain_log("x", axis, 2 if x == "bits" else 10)
    prices = sorted({row["beta"] for row in rows}, reverse=True)
    axes[0].set_title(f"β: {', '.join(f'{p:g}' for p in prices)}, left to right")
    axes[0].legend()
    return figure
