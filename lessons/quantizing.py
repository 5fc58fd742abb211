"""Quantization as figures: codebooks, cells, gradients, and codes in colour.

Taught in notebook 03.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from lessons.figures import draw_slice
from lessons.style import EXTENT, SLICE_MM, WIDTH, as_slices
from vqlib.models.quantizers import nearest_codes

Frame = tuple[str, Tensor, Tensor]  # its title, vectors [N, 2], codebook [K, 2]
MARK = "#D55E00"


def codebook_frames(
    rows: Mapping[str, Sequence[Frame]], margin: float = 0.2, cells: bool = False
) -> Figure:
    """A two-dimensional codebook at several moments.

    Vectors take the colour of their nearest code; a code that some vector chose is a
    dot, one that none chose is a cross. Only what lies near the vectors of any frame is
    drawn; a note counts the codes that are outside of the panel.

    Args:
        rows: what is different in a row → its frames, as many in each row.
        margin: around the vectors, in their unit.
        cells: whether to tint the region that is nearest to each code.
    """
    columns = max(len(frames) for frames in rows.values())
    every = torch.cat([vectors for frames in rows.values() for _, vectors, _ in frames])
    low, high = every.min(0).values - margin, every.max(0).values + margin
    x, y = zip(low.tolist(), high.tolist(), strict=True)  # the limits of every panel
    width, height = WIDTH / columns, (y[1] - y[0]) / (x[1] - x[0])
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(WIDTH, len(rows) * (width * height + 0.45)),
        layout="constrained",
        squeeze=False,
    )
    for line, (name, frames) in zip(axes, rows.items(), strict=True):
        for axis, (title, vectors, codebook) in zip(line, frames, strict=True):
            palette = _code_palette(len(codebook))
            if cells:
                _draw_cells(axis, codebook, x, y, palette)
            used = _draw_codebook(axis, vectors, codebook, palette)
            axis.set_title(f"{title}: {used} of {len(codebook)} in use")
            outside = int(((codebook < low) | (codebook > high)).any(1).sum())
            if outside:
                note = f"{outside} code{'s' * (outside > 1)} outside"
                axis.annotate(
                    note,
                    (0.03, 0.97),
                    xycoords="axes fraction",
                    va="top",
                    fontsize=8,
                    color="0.35",
                )
            axis.set(xticks=[], yticks=[], aspect="equal")
            axis.set(xlim=x, ylim=y)
        line[0].set_ylabel(name)
    return figure


def _code_palette(n: int) -> np.ndarray:
    """Colours `[n, 3]`, such that codes with neighbouring numbers differ."""
    palette = np.array(seaborn.color_palette("husl", n))
    return palette[np.random.default_rng(1).permutation(n)]


def _draw_cells(axis, codebook, x, y, palette, size: int = 300) -> None:
    plane = torch.cartesian_prod(torch.linspace(*y, size), torch.linspace(*x, size))
    codes = nearest_codes(plane.flip(1), codebook)  # [size²], row by row
    image = palette[codes].reshape(size, size, 3)
    axis.imshow(0.7 + 0.3 * image, origin="lower", extent=(*x, *y))


def _draw_codebook(axis, vectors, codebook, palette) -> int:
    """Returns how many codes are in use."""
    codes = nearest_codes(vectors, codebook)
    used = torch.bincount(codes, minlength=len(codebook)) > 0
    axis.scatter(*vectors.T, s=6, c=palette[codes], linewidths=0, antialiased=False)
    style = {"edgecolors": "black", "linewidths": 1.2, "zorder": 3}
    axis.scatter(*codebook[used].T, s=42, c=palette[used.numpy()], **style)
    axis.scatter(*codebook[~used].T, s=34, c="0.35", marker="x", linewidths=1.4)
    return int(used.sum())


def staircase(
    vectors: Tensor, rounded: Tensor, xlabel: str = "$z_e$", ylabel: str = "$z_q$"
) -> Figure:
    """A one-dimensional quantizer `[N]` → `[N]` as the decoder sees it, and as the
    gradient is told to see it."""
    figure, axis = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
    axis.plot(vectors, rounded, ".", markersize=3, color=MARK, label="forward: $z_q$")
    style = {"linestyle": "--", "color": "0.4"}
    axis.plot(vectors, vectors, **style, label="backward: as if $z_q = z_e$")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend()
    return figure


def plane_cells(
    maps: Mapping[str, Tensor],
    limit: float,
    books: Mapping[str, Tensor] | None = None,
) -> Figure:
    """Which points of the plane share a code, a panel for each way to choose.

    Args:
        maps: way → codes `[S, S]` of a square of points, row by row from below.
        limit: the square runs from −limit to limit along both axes.
        books: way → code vectors `[K, 2]` to mark.
    """
    figure, axes = plt.subplots(
        1,
        len(maps),
        figsize=(min(WIDTH, 3.2 * len(maps)), 3.4),
        layout="constrained",
        squeeze=False,
    )
    for axis, (title, codes) in zip(axes[0], maps.items(), strict=True):
        _, codes = np.unique(np.asarray(codes), return_inverse=True)
        side = int(np.sqrt(codes.size))
        palette = 0.5 + 0.5 * _code_palette(codes.max() + 1)
        codes = codes.reshape(side, side)
        image = palette[codes]
        for border in (codes[1:] != codes[:-1], codes[:, 1:] != codes[:, :-1]):
            image[border.nonzero()] = 1.0  # white
        axis.imshow(image, origin="lower", extent=(-limit, limit) * 2)
        if books and title in books:
            style = {"s": 24, "c": "black", "clip_on": False}
            axis.scatter(*np.asarray(books[title]).T, **style)
        axis.set(title=f"{title}: {codes.max() + 1} codes", xticks=[], yticks=[])
    return figure


def gradient_arrows(
    vectors: Tensor, code: Tensor, gradients: Mapping[str, Tensor]
) -> Figure:
    """What a step against the gradient does to vectors that share a code.

    Args:
        vectors: `[N, 2]`.
        code: `[2]`, the code of all of them.
        gradients: estimator → the gradient that each vector gets `[N, 2]`.
    """
    figure, axes = plt.subplots(
        1,
        len(gradients),
        figsize=(4.4 * len(gradients), 3.4),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis, (title, given) in zip(axes[0], gradients.items(), strict=True):
        x, y = vectors.T
        style = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.007}
        axis.quiver(x, y, *-given.T, color="#0072B2", **style)
        axis.plot(*(vectors - given).T, alpha=0)  # room for the heads of the arrows
        axis.plot(x, y, "o", color="0.3", markersize=4, label="$z_e$")
        axis.plot(*code, "*", color=MARK, markersize=13, label="$z_q$ of them all")
        axis.plot(0, 0, "+", color="0.5", markersize=10)
        axis.set(title=title, xticks=[], yticks=[], aspect="equal")
    axes[0, 0].margins(0.1)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2)
    return figure


def repairs(
    histories: Mapping[str, Mapping[str, Sequence[float]]], labels: Mapping[str, str]
) -> Figure:
    """Several short trainings side by side: a panel for each quantity, a line for each
    training, against the steps, on logarithmic scales.

    Args:
        histories: training → (quantity → values), with the steps under ``step``.
        labels: quantity → its name on the axis.
    """
    figure, axes = plt.subplots(
        1, len(labels), figsize=(WIDTH, 3.1), layout="constrained", squeeze=False
    )
    palette = seaborn.color_palette("colorblind", len(histories))
    for axis, (key, label) in zip(axes[0], labels.items(), strict=True):
        for (name, history), colour in zip(histories.items(), palette, strict=True):
            axis.plot(history["step"], history[key], color=colour, label=name)
        axis.set(xlabel="step", ylabel=f"{label} (log scale)", yscale="log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def regions(image, masks: Mapping[str, object]) -> Figure:
    """A slice `[H, W]` for each mask (bool `[H, W]`), with the mask outlined."""
    image = as_slices(image)[0]
    figure, axes = plt.subplots(
        1,
        len(masks),
        figsize=(3.4 * len(masks), 3.4 * SLICE_MM[1] / SLICE_MM[0] + 0.3),
        layout="constrained",
        squeeze=False,
    )
    for axis, (title, mask) in zip(axes[0], masks.items(), strict=True):
        draw_slice(axis, image)
        outline = np.pad(np.asarray(mask, dtype=float), 1)  # closed at the border too
        step = [size / n for size, n in zip(SLICE_MM, image.shape, strict=True)]
        x, z = (
            (np.arange(-1, n + 1) + 0.5) * d
            for n, d in zip(image.shape, step, strict=True)
        )
        axis.contour(x, z, outline.T, [0.5], colors="#F0E442", linewidths=1.8)
        axis.set(xlim=EXTENT[:2], ylim=EXTENT[2:])
        axis.set_title(title)
    return figure


def code_colours(codebook: Tensor, counts: Tensor | None = None) -> np.ndarray:
    """A colour for each code vector `[K, D]` → `[K, 3]`: like vectors, like colours.

    Red, green and blue are the positions along the three directions in which the code
    vectors vary most, in one unit for all three, so that near is near in colour too.
    ``counts`` `[K]`, how often each code occurs, weigh the codes; rare ones then do not
    decide what the colours of the others are.
    """
    vectors = codebook.double().cpu()
    counts = torch.ones(len(vectors)) if counts is None else counts.cpu()
    share = (counts.double() / counts.sum())[:, None]  # [K, 1]
    centred = vectors - (share * vectors).sum(0)
    _, spread, directions = torch.linalg.svd(
        centred * share.sqrt(), full_matrices=False
    )
    largest = directions[torch.arange(len(directions)), directions.abs().argmax(1)]
    along = centred @ (directions * largest.sign()[:, None])[:3].T  # [K, at most 3]
    along = (along / (3.2 * spread[0].clamp(min=1e-9)) + 0.5).clamp(0, 1)
    missing = torch.full((len(along), 3 - along.shape[1]), 0.5)
    return torch.cat([along, missing], 1).numpy()


def coloured_codes(
    images, codes: Tensor, palette: np.ndarray, reconstructions
) -> Figure:
    """Slices, their codes as colours, and what the decoder makes of the codes.

    Args:
        images: `[N, 1, H, W]`.
        codes: `[N, h, w]`.
        palette: `[K, 3]`, as `code_colours` gives it.
        reconstructions: `[N, 1, H, W]`.
    """
    images, reconstructions = as_slices(images), as_slices(reconstructions)
    columns = len(images)
    width = min(3.3, WIDTH / columns)
    height = width * SLICE_MM[1] / SLICE_MM[0] + 0.25
    figure, axes = plt.subplots(
        3,
        columns,
        figsize=(width * columns, 3 * height),
        layout="constrained",
        squeeze=False,
    )
    for column, (image, grid, back) in enumerate(
        zip(images, codes.cpu().numpy(), reconstructions, strict=True)
    ):
        above, middle, below = axes[:, column]
        draw_slice(above, image)
        above.set_title(f"slice, {image.size:,} pixels")
        middle.imshow(palette[grid].swapaxes(0, 1), origin="lower", extent=EXTENT)
        middle.axis("off")
        middle.set_title(f"{grid.size} codes, {len(np.unique(grid))} different")
        draw_slice(below, back)
        below.set_title("decoded from the codes")
    return figure
