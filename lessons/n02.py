"""Figures that notebook 02 alone draws: the latent plane, rates, trainings, blur."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from lessons.figures import draw_slice, slice_axes
from lessons.style import DASHED, PALETTE, WIDTH, colours, plain_log
from vqlib import metrics

LEAST_BITS, LEAST_SPREAD = 0.01, 1e-6  # lowest of their logarithmic axes


def latent_plane(
    points: np.ndarray, positions: np.ndarray, decoded: np.ndarray, reach: float
) -> Figure:
    """A latent of two numbers: where slices lie in it, and what it decodes to.

    Args:
        points: `[N, 2]`, the mean of each slice's posterior.
        positions: `[N]`, relative position of the slice in its scan.
        decoded: `[R, C, H, W]`, decoded from a regular grid: rows by the second number,
            columns by the first, both from low to high.
        reach: half of the side of the plane that the grid covers.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, 4.3), layout="constrained", width_ratios=(1, 1.15)
    )
    style = {"c": positions, "s": 10, "cmap": "viridis", "vmin": 0, "vmax": 1}
    dots = left.scatter(points[:, 0], points[:, 1], **style)
    figure.colorbar(dots, ax=left, label="position in the scan")
    mosaic = np.concatenate([np.concatenate(list(row)).T for row in decoded])
    extent = (-reach, reach, -reach, reach)
    right.imshow(mosaic, origin="lower", extent=extent, vmin=0, vmax=1, aspect="auto")
    for axis, title in (left, "test slices, encoded"), (right, "the plane, decoded"):
        axis.set(xlabel="$z_1$", ylabel="$z_2$", title=title)
        axis.set(xlim=extent[:2], ylim=extent[2:])
    return figure


def likelihoods(
    widths: np.ndarray,
    curves: Mapping[str, np.ndarray],
    position: np.ndarray,
    edges: np.ndarray,
) -> Figure:
    """What a likelihood decides: how much an error costs, by the width it assumes; and
    which answer is best for an edge whose place is not known.

    Args:
        widths: `[W]`.
        curves: likelihood → nats per pixel `[W]`; a dot marks the lowest.
        position: `[P]` in mm.
        edges: `[N, P]`, brightness of sharp edges that might all be the true one.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, 3.0), layout="constrained"
    )
    for name, values in curves.items():
        (line,) = left.plot(widths, values, label=name)
        best = values.argmin()
        left.plot(widths[best], values[best], "o", color=line.get_color())
    plain_log("x", left, 10)
    left.set(xlabel="width (log scale)", ylabel="−log p(x|z), nats per pixel")
    left.set_ylim(-1, 3)
    left.legend()
    some = right.plot(position, edges[:12].T, color="0.7", linewidth=0.8)
    some[0].set_label("possible edges")
    right.plot(position, edges.mean(0), color=PALETTE[0], label="mean")
    right.plot(position, np.median(edges, 0), "--", color=PALETTE[1], label="median")
    right.set(xlabel="position (mm)", ylabel="brightness")
    right.legend(loc="lower right")
    return figure


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


def channel_maps(bits: np.ndarray, spread: np.ndarray) -> Figure:
    """Where a grid of latents spends its bits: a map for each channel, on one scale.

    Args:
        bits: `[L, h, w]`, mean over slices.
        spread: `[L]`, standard deviation of the posterior, mean over slices and places.
    """
    order = np.argsort(-bits.sum((1, 2)))
    columns = min(4, len(order))
    figure, axes = slice_axes(-(-len(order) // columns), columns, more=1.0)
    for axis, channel in zip(axes.flat, order, strict=False):
        shown = draw_slice(axis, bits[channel], (0, bits.max()), "viridis")
        total = bits[channel].sum()
        axis.set_title(f"{total:,.0f} bits, posterior σ {spread[channel]:.3f}")
    label = "bits at one position"
    figure.colorbar(
        shown, ax=axes, label=label, location="bottom", aspect=60, shrink=0.5
    )
    return figure


def beta_curves(table: pd.DataFrame) -> Figure:
    """A sweep of β: the distortion against the rate, with the slope that each β should
    have there; edges against the rate; and −ELBO against β.

    Args:
        table: of the means over seeds, a row for each ``name`` and ``beta``, with
            ``rate`` and ``distortion`` in bits per slice, ``neg_elbo`` in nats per
            pixel and ``edges``.
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.4), layout="constrained")
    names = list(table["name"].unique())
    for name, colour in zip(names, colours(names), strict=True):
        mine = table[table["name"] == name]
        rate, distortion = mine["rate"] / 1000, mine["distortion"] / 1000
        axes[0].plot(rate, distortion, "o-", ms=4, color=colour, label=name)
        axes[1].plot(mine["rate"], mine["edges"], "o-", ms=4, color=colour)
        axes[2].plot(mine["beta"], mine["neg_elbo"], "o-", ms=4, color=colour)
    most = table.loc[table["rate"].idxmax(), "name"]
    for _, row in table[table["name"] == most].iterrows():
        half = 1.4 / np.hypot(1, row["beta"])  # of a short piece of the line
        x, y = row["rate"] / 1000, row["distortion"] / 1000
        ends = [x - half, x + half], [y + row["beta"] * half, y - row["beta"] * half]
        axes[0].plot(*ends, color="0.2", linewidth=1, zorder=3)
        axes[0].annotate(
            f"{row['beta']:g}", (x, y), (6, 4), textcoords="offset points", fontsize=8
        )
    axes[0].set(xlabel="rate (kbit per slice)", ylabel="distortion (kbit per slice)")
    axes[0].set_title("dark lines: slope −β")
    axes[0].legend()
    axes[1].set(xlabel="rate (bits per slice, log scale)", ylabel="edges in place")
    plain_log("x", axes[1], 10)
    axes[2].set(xlabel="β (log scale)", ylabel="−ELBO, nats per pixel")
    plain_log("x", axes[2], 10)
    return figure


def texture_distance(train: Tensor, test: Tensor, seed: int = 0) -> Callable:
    """How far a set of slices is from the test slices, as a function: the energy
    distance 2 E|a − b| − E|a − a'| − E|b − b'| (Székely and Rizzo 2013, doi
    10.1016/j.jspi.2013.03.018) as a share of E|b − b'|; 0 for sets of one kind.

    Features are those of `vqlib.metrics.texture_features` on the principal axes of the
    training slices. Images that are versions of the test slices themselves, in the same
    order, are ``matched``: a random half of them is compared with the other half of the
    test slices, so that none meets its own slice.
    """
    project = metrics.principal_axes(metrics.texture_features(train))
    target = torch.from_numpy(project(metrics.texture_features(test)))
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))
    ours, theirs = order.tensor_split(2)

    def apart(a: Tensor, b: Tensor | None = None) -> float:
        """Mean distance of a pair: of two different slices within one set."""
        if b is None:
            return float(torch.cdist(a, a).sum() / (len(a) * (len(a) - 1)))
        return float(torch.cdist(a, b).mean())

    def distance(images: Tensor, matched: bool = False) -> float:
        given = torch.from_numpy(project(metrics.texture_features(images)))
        given, held_out = given[ours] if matched else given, target[theirs]
        usual = apart(held_out)
        return (2 * apart(given, held_out) - apart(given) - usual) / usual

    return distance
