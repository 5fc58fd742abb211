"""Figures that notebook 02 alone draws: the latent plane, rates, trainings, blur."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lessons.figures import draw_slice, slice_axes
from lessons.style import DASHED, PALETTE, colours, panels, plain_log
from vqlib import metrics

LEAST_BITS, LEAST_SPREAD = 0.01, 1e-6  # lowest of their logarithmic axes


def latent_plane(points, positions, decoded: np.ndarray, reach: float) -> Figure:
    """A latent of two numbers: slices `[N, 2]` in it, coloured by their position `[N]`,
    and what a regular grid of it from -reach to reach decodes to: `[R, C, H, W]`, rows
    by the second number, columns by the first, both from low to high."""
    figure, (left, right) = panels(2, 4.3, width_ratios=(1, 1.15))
    style = {"c": positions, "s": 10, "cmap": "viridis", "vmin": 0, "vmax": 1}
    dots = left.scatter(*points.T, **style)
    figure.colorbar(dots, ax=left, label="position in the scan")
    mosaic = np.concatenate([np.concatenate(list(row)).T for row in decoded])
    extent = (-reach, reach, -reach, reach)
    right.imshow(mosaic, origin="lower", extent=extent, vmin=0, vmax=1, aspect="auto")
    for axis, title in (left, "test slices, encoded"), (right, "the plane, decoded"):
        axis.set(xlabel="$z_1$", ylabel="$z_2$", title=title)
        axis.set(xlim=extent[:2], ylim=extent[2:])
    return figure


def likelihoods(widths, curves: Mapping[str, np.ndarray], position, edges) -> Figure:
    """How much an error costs by the width `[W]` that a likelihood assumes (a dot at
    the lowest), and which answer is best for an edge `[N, P]` whose place is not known,
    by position `[P]` in mm."""
    figure, (left, right) = panels(2)
    pd.DataFrame(curves, widths).plot(ax=left, color=PALETTE)
    for values, colour in zip(curves.values(), PALETTE, strict=False):
        left.plot(widths[values.argmin()], values.min(), "o", color=colour)
    plain_log("x", left, 10)
    left.set(xlabel="width (log scale)", ylabel="−log p(x|z), nats per pixel")
    left.set_ylim(-0.5, 3)
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
    figure, axes = panels(3, 2.6)
    table = pd.DataFrame(history)[["bits", "beta", "distortion"]]
    table.plot(ax=axes, subplots=True, legend=False, color=PALETTE[0], xlabel="step")
    axes[0].axhline(target_bits, **DASHED)
    axes[0].set(ylabel="rate (bits)", title="dashed: the rate asked for", ylim=0)
    plain_log("y", axes[1])
    axes[1].set(ylabel="β (log scale)")
    axes[2].set(ylabel="distortion (mean |error|)", ylim=0)
    return figure


def collapse(
    bits: Mapping[str, Sequence[float]],
    spreads: Mapping[str, np.ndarray],
    threshold: float,
) -> Figure:
    """Trainings that use their latent and trainings that do not: the rate at each step,
    and the variance over slices of each unit's posterior mean; a unit above the
    ``threshold`` (dashed) counts as active."""
    figure, (left, right) = panels(2)
    for name, values in bits.items():
        left.plot(np.maximum(values, LEAST_BITS), linewidth=1.2, label=name)
        spread = np.sort(spreads[name])[::-1].clip(LEAST_SPREAD)
        right.plot(range(1, len(spread) + 1), spread, "o-", markersize=3)
    label = f"rate (bits per slice, log scale;\n{LEAST_BITS:g} or less at the foot)"
    left.set(xlabel="step", yscale="log", ylabel=label)
    right.set(xlabel="latent unit, sorted", yscale="log")
    right.set_ylabel("variance of μ (log scale)")
    right.axhline(threshold, **DASHED)
    figure.legend(loc="outside right center")
    return figure


def channel_maps(bits: np.ndarray, spread: np.ndarray) -> Figure:
    """Where a grid of latents spends its bits `[L, h, w]`, a map a channel on one
    scale, most bits first, with the channel's posterior deviation `[L]`."""
    order = np.argsort(-bits.sum((1, 2)))
    columns = min(4, len(order))
    figure, axes = slice_axes(-(-len(order) // columns), columns, more=1.0)
    for axis, channel in zip(axes.flat, order, strict=False):
        shown = draw_slice(axis, bits[channel], (0, bits.max()), "viridis")
        total = bits[channel].sum()
        axis.set_title(f"{total:,.0f} bits, posterior σ {spread[channel]:.3f}")
    bar = {"location": "bottom", "aspect": 60, "shrink": 0.5}
    figure.colorbar(shown, ax=axes, label="bits at one position", **bar)
    return figure


def beta_curves(table: pd.DataFrame) -> Figure:
    """A sweep of β: the distortion against the rate, with the slope that each β should
    have there; edges against the rate; and −ELBO against β.

    ``table`` has a row for each ``name`` and ``beta``, with ``rate`` and ``distortion``
    in bits per slice, ``neg_elbo`` in nats per pixel and ``edges``.
    """
    figure, axes = panels(3, 3.4)
    table = table.assign(kbit=table["rate"] / 1000, cost=table["distortion"] / 1000)
    pairs = ("kbit", "cost"), ("rate", "edges"), ("beta", "neg_elbo")
    for axis, (x, y) in zip(axes, pairs, strict=True):
        for name, mine in table.groupby("name"):
            (colour,) = colours([name])
            axis.plot(mine[x], mine[y], "o-", ms=4, color=colour, label=name)
    most = table.loc[table["rate"].idxmax(), "name"]
    for row in table[table["name"] == most].itertuples():
        step = np.array([-1.4, 1.4]) / np.hypot(1, row.beta)  # a short piece of line
        line = row.kbit + step, row.cost - row.beta * step
        axes[0].plot(*line, color="0.2", linewidth=1, zorder=3)
        style = {"textcoords": "offset points", "fontsize": 8}
        axes[0].annotate(f"{row.beta:g}", (row.kbit, row.cost), (6, 4), **style)
    axes[0].set(xlabel="rate (kbit per slice)", ylabel="distortion (kbit per slice)")
    axes[0].set_title("dark lines: slope −β")
    axes[0].legend()
    axes[1].set(xlabel="rate (bits per slice, log scale)", ylabel="edges in place")
    axes[2].set(xlabel="β (log scale)", ylabel="−ELBO, nats per pixel")
    for axis in axes[1:]:
        plain_log("x", axis, 10)
    return figure


def texture_distance(train: Tensor, test: Tensor, seed: int = 0) -> Callable:
    """How far a set of slices is from the test slices, as a function: the energy
    distance 2 E|a − b| − E|a − a'| − E|b − b'| (Székely and Rizzo 2013, doi
    10.1016/j.jspi.2013.03.018) as a share of E|b − b'|; 0 for sets of one kind.

    Features are those of `vqlib.metrics.texture_features` on the principal axes of the
    training slices. Versions of the test slices themselves, in the same order, are
    ``matched``: half of them is compared with the other half of the test slices.
    """
    project = metrics.principal_axes(metrics.texture_features(train))

    def features(images: Tensor) -> Tensor:
        return torch.from_numpy(project(metrics.texture_features(images)))

    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))
    ours, theirs = order.tensor_split(2)
    held_out = features(test[theirs])

    def distance(images: Tensor, matched: bool = False) -> float:
        given = features(images[ours] if matched else images)
        within, usual = (torch.pdist(some).mean() for some in (given, held_out))
        return float((2 * torch.cdist(given, held_out).mean() - within - usual) / usual)

    return distance
