"""Is the anatomy of a set of slices that of men? Asked of their label maps.

A generated slice has no labels of its own: `vqlib.models.segmenter.Segmenter` draws
them, for real slices as for generated ones, so that what the network does wrong by
itself counts for nothing. Four questions, each with an answer of 0 between a set and
itself: are the organs as large, do they touch the same neighbours, are they in as many
pieces, and are they present at the right positions of the volume? Taught in notebook
05.
"""

import numpy as np
import torch
from scipy import ndimage
from scipy.stats import wasserstein_distance
from torch import Tensor

from vqlib.data import LABEL_NAMES

BINS = 5  # of the position in the volume
PRESENT = 0.001  # share of the slice from which an organ counts as present
_LABELS = len(LABEL_NAMES)


def anatomy(
    labels: Tensor,
    real: Tensor,
    positions: Tensor | None = None,
    real_positions: Tensor | None = None,
) -> dict[str, float | None]:
    """How far the label maps `[N, H, W]` of one set are from those `[M, H, W]` of real
    slices; positions `[N]`, `[M]` in [0, 1].

    - ``areas``: Wasserstein-1 distance between the areas of an organ in the two sets,
      in mean real areas of it; the mean over organs.
    - ``neighbours``: how much border between each two labels there is in a slice, too
      much and too little, summed over pairs, in all the border that real slices have.
      Amounts, not shares: a picture of noise has borders everywhere, in no odd mix.
    - ``pieces``: difference in the mean number of connected pieces of each label,
      summed over labels.
    - ``places``: difference between the shares of slices in which an organ is present,
      the mean over organs and five parts of the volume; None without positions.
    """
    ours, true = areas(labels), areas(real)
    mean = true.mean(0)
    organs = np.flatnonzero(mean[1:] > 0) + 1  # that real slices have at all
    sizes = [wasserstein_distance(ours[:, o], true[:, o]) / mean[o] for o in organs]
    usual = borders(real)
    wrong = np.abs(borders(labels) - usual).sum() / max(usual.sum(), 1e-9)
    apart = np.abs(pieces(labels) - pieces(real)).sum()
    found = {
        "areas": float(np.mean(sizes)) if sizes else 0.0,
        "neighbours": float(wrong),
        "pieces": float(apart),
        "places": None,
    }
    if positions is not None and real_positions is not None:
        here, there = presence(ours, positions), presence(true, real_positions)
        found["places"] = float(np.nanmean(np.abs(here - there)))
    return found


def areas(labels: Tensor) -> np.ndarray:
    """Share of the slice that each label covers: `[N, H, W]` → float64 `[N, 6]`."""
    pixels = labels.flatten(1).long()
    counts = torch.zeros(len(pixels), _LABELS, dtype=torch.float64)
    counts.scatter_add_(1, pixels, torch.ones(pixels.shape, dtype=torch.float64))
    return (counts / pixels.shape[1]).numpy()


def borders(labels: Tensor) -> np.ndarray:
    """Mean length of the border between each two labels in a slice, in sides of pixels:
    `[N, H, W]` → `[6, 6]`, symmetric, with each border on either side."""
    table = np.zeros(_LABELS * _LABELS)
    for dim in (-2, -1):
        n = labels.shape[dim] - 1
        a, b = (labels.narrow(dim, s, n).flatten().long() for s in (0, 1))
        pairs = (a * _LABELS + b)[a != b].numpy()
        table += np.bincount(pairs, minlength=len(table))
    table = table.reshape(_LABELS, _LABELS)
    return (table + table.T) / len(labels)


def pieces(labels: Tensor) -> np.ndarray:
    """Mean number of connected pieces of each label but the background: `[5]`."""
    maps = labels.cpu().numpy()
    apart = np.zeros((3, 3, 3), bool)
    apart[1] = True  # neighbours within a slice, not from slice to slice
    return np.array(
        [ndimage.label(maps == k, apart)[1] / len(maps) for k in range(1, _LABELS)]
    )


def presence(areas: np.ndarray, positions: Tensor) -> np.ndarray:
    """Share of slices that hold each organ, in each part of the volume: areas
    `[N, 6]`, positions `[N]` → `[BINS, 4]`; NaN where no slice lies in a part."""
    part = np.minimum((np.asarray(positions) * BINS).astype(int), BINS - 1)
    there = areas[:, 2:] > PRESENT
    shares = np.full((BINS, _LABELS - 2), np.nan)
    for b in np.unique(part):
        shares[b] = there[part == b].mean(0)
    return shares


def dice(labels: Tensor, truth: Tensor) -> dict[str, float]:
    """Dice of each label of a whole set, ``2 |A ∩ B| / (|A| + |B|)``: `[N, H, W]` twice
    → organ → Dice; a label that neither has is left out. ``mean`` is over organs."""
    found = {}
    for value, name in enumerate(LABEL_NAMES[1:], 1):
        a, b = labels == value, truth == value
        if total := int(a.sum() + b.sum()):
            found[name] = 2 * int((a & b).sum()) / total
    return found | {"mean": float(np.mean(list(found.values()))) if found else 0.0}
