"""The figures that notebook 03 alone draws: codebooks, codes in colour, what a bit is
worth. Models side by side are drawn by `lessons.comparing`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from lessons.curves import draw_spectra
from lessons.figures import draw_slice, slice_axes
from lessons.sharpness import Detail
from lessons.style import DASHED, EXTENT, SLICE_MM, WIDTH, as_slices, panels
from vqlib.models.kmeans import nearest_codes

Frame = tuple[str, Tensor, Tensor]  # its title, vectors [N, 2], codebook [K, 2]


def codebook_frames(rows: Mapping[str, Sequence[Frame]], margin: float = 0.2) -> Figure:
    """A two-dimensional codebook at several moments: a row of frames for each name.

    Vectors take the colour of their nearest code; a code that some vector chose is a
    dot, one that none chose is a cross. Only what lies within ``margin`` of the vectors
    of any frame is drawn; a note counts the codes that are outside of the panel.
    """
    columns = max(len(frames) for frames in rows.values())
    every = torch.cat([vectors for frames in rows.values() for _, vectors, _ in frames])
    low, high = every.min(0).values - margin, every.max(0).values + margin
    x, y = zip(low.tolist(), high.tolist(), strict=True)  # the limits of every panel
    height = WIDTH / columns * (y[1] - y[0]) / (x[1] - x[0])
    size = (WIDTH, len(rows) * (height + 0.45))
    style = {"figsize": size, "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(len(rows), columns, **style)
    for line, (name, frames) in zip(axes, rows.items(), strict=True):
        for axis, (title, vectors, codebook) in zip(line, frames, strict=True):
            used = _draw_codebook(axis, vectors, codebook)
            axis.set_title(f"{title}: {used} of {len(codebook)} in use")
            outside = int(((codebook < low) | (codebook > high)).any(1).sum())
            if outside:
                note = f"{outside} code{'s' * (outside > 1)} outside"
                style = {"va": "top", "fontsize": 8, "color": "0.35"}
                axis.text(0.03, 0.97, note, transform=axis.transAxes, **style)
            axis.set(xticks=[], yticks=[], aspect="equal", xlim=x, ylim=y)
        line[0].set_ylabel(name)
    return figure


def _draw_codebook(axis, vectors, codebook) -> int:
    """Returns how many codes are in use. Codes take colours round the colour circle,
    such that neighbouring numbers differ."""
    circle = np.random.default_rng(1).permutation(len(codebook)) / len(codebook)
    palette = 0.85 * plt.get_cmap("hsv")(circle)[:, :3]
    codes = nearest_codes(vectors, codebook)
    used = torch.bincount(codes, minlength=len(codebook)) > 0
    axis.scatter(*vectors.T, s=6, c=palette[codes], linewidths=0, antialiased=False)
    style = {"edgecolors": "black", "linewidths": 1.2, "zorder": 3}
    axis.scatter(*codebook[used].T, s=42, c=palette[used.numpy()], **style)
    axis.scatter(*codebook[~used].T, s=34, c="0.35", marker="x", linewidths=1.4)
    return int(used.sum())


def repairs(histories: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Several short trainings side by side: a panel for each column that ``labels``
    names, a line for each training, by ``step``, on logarithmic scales."""
    figure, axes = panels(len(labels))
    for axis, (key, label) in zip(axes, labels.items(), strict=True):
        table = {name: seen.set_index("step")[key] for name, seen in histories.items()}
        pd.DataFrame(table).plot(ax=axis, logy=True, legend=False)
        axis.set(xlabel="step", ylabel=f"{label} (log scale)")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    lines = axes[0].lines
    figure.legend(handles=lines, loc="outside upper center", ncols=len(lines))
    return figure


def code_colours(codebook: Tensor, counts: Tensor) -> np.ndarray:
    """A colour for each code vector `[K, D]` → `[K, 3]`: like vectors, like colours.

    Red, green and blue are the positions along the three directions in which the code
    vectors vary most, in one unit for all three, so that near is near in colour too.
    ``counts`` `[K]`, how often each code occurs, weigh the codes; rare ones then do not
    decide what the colours of the others are.
    """
    vectors = codebook.cpu().double()
    share = (counts.cpu().double() / counts.sum().cpu())[:, None]  # [K, 1]
    centred = vectors - (share * vectors).sum(0)
    _, spread, directions = torch.linalg.svd(
        centred * share.sqrt(), full_matrices=False
    )
    largest = directions[torch.arange(len(directions)), directions.abs().argmax(1)]
    along = centred @ (directions * largest.sign()[:, None])[:3].T  # [K, at most 3]
    along = (along / (3.2 * spread[0].clamp(min=1e-9)) + 0.5).clamp(0, 1)
    missing = torch.full((len(along), 3 - along.shape[1]), 0.5)
    return torch.cat([along, missing], 1).numpy()


def coloured_codes(image, codes: Tensor, palette: np.ndarray, back) -> Figure:
    """A slice, its codes `[1, h, w]` in the colours `[K, 3]` of `code_colours`, and
    what the decoder makes of them."""
    grid = codes[0].cpu().numpy()
    figure, axes = slice_axes(1, 3)
    left, middle, right = axes[0]
    draw_slice(left, as_slices(image)[0])
    left.set_title("slice")
    middle.imshow(palette[grid].swapaxes(0, 1), origin="lower", extent=EXTENT)
    middle.set_title(f"{grid.size} codes, {len(np.unique(grid))} different")
    draw_slice(right, as_slices(back)[0])
    right.set_title("decoded from the codes")
    return figure


def by_patient(difference: np.ndarray, patients: np.ndarray, label: str) -> Figure:
    """A paired difference: a dot for each slice `[N]`, a bar for the mean of each
    patient `[N]`."""
    figure, axis = plt.subplots(figsize=(7.0, 3.0), layout="constrained")
    axis.axhline(0, **DASHED)
    names = np.unique(patients)
    for column, name in enumerate(names):
        mine = difference[patients == name]
        across = column + np.linspace(-0.3, 0.3, len(mine))
        axis.plot(across, mine, ".", color="0.6", markersize=4)
        bar = {"color": "#D55E00", "linewidth": 3}
        axis.plot([column - 0.3, column + 0.3], [mine.mean()] * 2, **bar)
    axis.set_xticks(range(len(names)), [f"{name:03d}" for name in names])
    axis.set(xlabel="patient (slices in order)", ylabel=label)
    return figure


def losses_to_bound(decibels: Mapping[str, float], lead: float) -> Figure:
    """How far ways to send a Gaussian number stay above Shannon's bound on the error,
    in dB, beside the lead of one model over another."""
    size = (7.0, 0.42 * len(decibels) + 1.2)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    bars = axis.barh(list(decibels), list(decibels.values()), height=0.7)
    axis.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
    label = f"lead of the VAE over the VQ-VAE here: {lead:.1f} dB"
    axis.axvline(lead, color="#D55E00", linestyle="--", label=label)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_xlabel("error above the bound, dB")
    figure.legend(loc="outside upper center")
    return figure


def sharpness(crops: Mapping[str, object], details: Mapping[str, Detail]) -> Figure:
    """Crops `[a, b]` side by side, and the power of each model by spatial frequency in
    cycles per cm, with what of it is in place (dashed)."""
    figure, axes = panels(len(crops) + 1, 2.9, width_ratios=[1] * len(crops) + [1.9])
    for axis, (name, crop) in zip(axes, crops.items(), strict=False):
        axis.axis("off")
        where = {"origin": "lower", "aspect": SLICE_MM[1] / SLICE_MM[0] * 2}
        axis.imshow(as_slices(crop)[0].T, vmin=0, vmax=1, **where)
        axis.set_title(name)
    draw_spectra(axes[-1], details, "cm")
    axes[-1].legend(title="dashed: in its place")
    return figure
