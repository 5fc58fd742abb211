"""Quantization as figures: a codebook that learns, code maps, paired comparisons.

Taught in notebook 03.
"""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vqlib.metrics import Interval
from vqlib.models.quantizers import nearest_codes
from vqlib.show.images import draw_slice
from vqlib.show.style import EXTENT, SLICE_MM, WIDTH, as_slices, colours

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


def code_maps(images, codes: Tensor, palette: np.ndarray, reconstructions) -> Figure:
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


def patient_pairs(
    scores: Mapping[str, np.ndarray], patients, label: str = "mean SSIM (test)"
) -> Figure:
    """The mean score of each patient under each model, a line for each patient.

    Args:
        scores: model → `[N]`, one value for each slice.
        patients: `[N]`, whose slice it is.
        label: of the scores.
    """
    patients = np.asarray(patients)
    figure, axis = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
    names, people = list(scores), np.unique(patients)
    means = np.array(
        [[np.mean(np.asarray(scores[n])[patients == p]) for n in names] for p in people]
    )  # [P, models]
    gap, height = 0.055 * max(np.ptp(means), 1e-9), -np.inf
    for row in means[:, -1].argsort():
        axis.plot(means[row], color="0.75", zorder=1)
        axis.scatter(range(len(names)), means[row], c=colours(names), s=40, zorder=2)
        height = max(means[row, -1], height + gap)  # names of equals above each other
        axis.annotate(
            f"patient {people[row]:03d}",
            (len(names) - 1, height),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="0.35",
        )
    axis.set_xticks(range(len(names)), names)
    axis.set_ylabel(label)
    axis.margins(x=0.25)
    return figure


def seed_dots(
    rows: Iterable[Mapping],
    names: Mapping[str, str],
    score: str = "ssim",
    label: str = "SSIM (test)",
) -> Figure:
    """Scores of models trained from several seeds, a panel for each data set.

    Args:
        rows: with ``data``, ``kind``, ``seed`` and the score as ``mean``, ``low`` and
            ``high``.
        names: kind → name of the model, in the order in which they are drawn.
        score: which of a row's scores.
        label: of that score.
    """
    rows = list(rows)
    sets = list(dict.fromkeys(row["data"] for row in rows))
    figure, axes = plt.subplots(
        1,
        len(sets),
        figsize=(min(WIDTH, 4.4 * len(sets)), 3.2),
        layout="constrained",
        squeeze=False,
    )
    for axis, data in zip(axes[0], sets, strict=True):
        mine = [row for row in rows if row["data"] == data]
        seeds = sorted({row["seed"] for row in mine})
        for row in mine:
            order = list(names).index(row["kind"])
            x = seeds.index(row["seed"]) + 0.24 * (order - (len(names) - 1) / 2)
            mean, low, high = (row[score][key] for key in ("mean", "low", "high"))
            name = names[row["kind"]]
            axis.errorbar(
                x,
                mean,
                yerr=[[mean - low], [high - mean]],
                fmt="o",
                capsize=3,
                color=colours([name])[0],
                label=name,
            )
        axis.set_xticks(range(len(seeds)), seeds)
        axis.set(title=data.replace("_", " "), xlabel="seed", ylabel=label)
        axis.margins(x=0.2)
        handles, labels = axis.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        axis.legend(once.values(), once.keys())
    return figure


def verdict(first: str, second: str, difference: Interval, what: str = "SSIM") -> str:
    """What a paired difference ``first − second`` says, as a sentence.

    Names the higher model, by how much, and whether the interval leaves out 0.
    """
    low, high = sorted(
        (difference.low, difference.high)
        if difference.mean >= 0
        else (-difference.low, -difference.high)
    )
    winner = first if difference.mean >= 0 else second
    loser = second if difference.mean >= 0 else first
    ending = (
        "it leaves out 0, so these patients do tell the two apart"
        if difference.low > 0 or difference.high < 0
        else "it holds 0, so these patients do not tell the two apart"
    )
    return (
        f"{winner} has the higher {what}, by {abs(difference.mean):.4f} over {loser} "
        f"(95 % interval {low:.4f} to {high:.4f}: {ending})"
    )


def seed_summary(
    rows: Iterable[Mapping], differences: Iterable[Mapping], score: str = "ssim"
) -> list[str]:
    """What trainings from several seeds say, a sentence for each data set.

    Args:
        rows: as for `seed_dots`, of kinds ``vae`` and ``vqvae``.
        differences: with ``data``, ``seed`` and the paired difference VQ-VAE − VAE
            as ``mean``, ``low`` and ``high``.
        score: which of the scores.
    """
    rows, differences, lines = list(rows), list(differences), []
    for data in dict.fromkeys(row["data"] for row in differences):
        found = [row[score] for row in differences if row["data"] == data]
        means = [value["mean"] for value in found]
        clear = sum(value["low"] > 0 or value["high"] < 0 for value in found)
        mine = [row for row in rows if row["data"] == data]
        spread = {
            kind: np.ptp([r[score]["mean"] for r in mine if r["kind"] == kind])
            for kind in ("vae", "vqvae")
        }
        mean = float(np.mean(means))
        winner, loser = ("VQ-VAE", "VAE") if mean >= 0 else ("VAE", "VQ-VAE")
        lines.append(
            f"{data.replace('_', ' ')}: over {len(means)} seeds {winner} is above "
            f"{loser} by {abs(mean):.4f} on average. VQ-VAE is ahead for "
            f"{sum(m > 0 for m in means)} of them; the interval over patients leaves "
            f"out 0 for {clear}. From seed to seed the scores of one model differ by "
            f"up to {max(spread.values()):.4f}."
        )
    return lines
