"""Quantization as figures, which notebook 03 alone draws: codebooks, cells, codes in
colour. Models side by side are drawn by `lessons.comparing`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from lessons.figures import draw_slice, slice_axes
from lessons.style import EXTENT, SLICE_MM, WIDTH, as_slices
from vqlib.models.kmeans import nearest_codes

Frame = tuple[str, Tensor, Tensor]  # its title, vectors [N, 2], codebook [K, 2]


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
    height = WIDTH / columns * (y[1] - y[0]) / (x[1] - x[0])
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(WIDTH, len(rows) * (height + 0.45)),
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
                style = {"va": "top", "fontsize": 8, "color": "0.35"}
                axis.text(0.03, 0.97, note, transform=axis.transAxes, **style)
            axis.set(xticks=[], yticks=[], aspect="equal", xlim=x, ylim=y)
        line[0].set_ylabel(name)
    return figure


def _code_palette(n: int) -> np.ndarray:
    """Colours `[n, 3]` round the colour circle, such that codes with neighbouring
    numbers differ."""
    palette = plt.get_cmap("hsv")(np.linspace(0, 1, n, endpoint=False))[:, :3]
    return 0.85 * palette[np.random.default_rng(1).permutation(n)]


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


def staircase(vectors: Tensor, rounded: Tensor) -> Figure:
    """A one-dimensional quantizer `[N]` → `[N]` as the decoder sees it, and as the
    gradient takes it to be."""
    figure, axis = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
    axis.plot(vectors, rounded, ".", ms=3, color="#D55E00", label="forward: $z_q$")
    style = {"linestyle": "--", "color": "0.4"}
    axis.plot(vectors, vectors, **style, label="backward: as if $z_q = z_e$")
    axis.set(xlabel="$z_e$", ylabel="$z_q$")
    axis.legend()
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
    for axis, (key, label) in zip(axes[0], labels.items(), strict=True):
        for name, history in histories.items():
            axis.plot(history["step"], history[key], label=name)
        axis.set(xlabel="step", ylabel=f"{label} (log scale)", yscale="log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def regions(image, masks: Mapping[str, object]) -> Figure:
    """A slice `[H, W]` for each mask (bool `[H, W]`), with the mask outlined."""
    image = as_slices(image)[0]
    figure, axes = slice_axes(1, len(masks))
    for axis, (title, mask) in zip(axes[0], masks.items(), strict=True):
        draw_slice(axis, image)
        outline = np.pad(np.asarray(mask, dtype=float), 1)  # closed at the border too
        x, z = (
            (np.arange(-1, n + 1) + 0.5) * size / n
            for n, size in zip(image.shape, SLICE_MM, strict=True)
        )
        axis.contour(x, z, outline.T, [0.5], colors="#F0E442", linewidths=1.8)
        axis.set(xlim=EXTENT[:2], ylim=EXTENT[2:], title=title)
    return figure


def code_colours(codebook: Tensor, counts: Tensor) -> np.ndarray:
    """A colour for each code vector `[K, D]` → `[K, 3]`: like vectors, like colours.

    Red, green and blue are the positions along the three directions in which the code
    vectors vary most, in one unit for all three, so that near is near in colour too.
    ``counts`` `[K]`, how often each code occurs, weigh the codes; rare ones then do not
    decide what the colours of the others are.
    """
    vectors = codebook.double().cpu()
    share = (counts.double().cpu() / counts.sum().cpu())[:, None]  # [K, 1]
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
    figure, axes = slice_axes(3, len(images))
    for column, (image, grid, back) in enumerate(
        zip(images, codes.cpu().numpy(), reconstructions, strict=True)
    ):
        above, middle, below = axes[:, column]
        draw_slice(above, image)
        above.set_title(f"slice, {image.size:,} pixels")
        middle.imshow(palette[grid].swapaxes(0, 1), origin="lower", extent=EXTENT)
        middle.set_title(f"{grid.size} codes, {len(np.unique(grid))} different")
        draw_slice(below, back)
        below.set_title("decoded from the codes")
    return figure
