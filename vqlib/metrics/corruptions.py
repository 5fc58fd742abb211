"""Real slices made worse in known ways, to find out what a score can see.

A score that does not fall when slices are blurred sees no blur. Each corruption takes a
set of real slices and a severity from 0 (nothing happens) to 1, and does one thing: to
the picture, to the anatomy, to the variety, or to the honesty of a set. Taught in
notebook 05.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vqlib.data import SliceDataset
from vqlib.metrics.spectrum import blurred

PATCH = 4  # pixels: what one code draws in the quick profile


class Slices(NamedTuple):
    """A set of slices, as a generator would hand it in."""

    images: Tensor  # [N, 1, H, W]
    positions: Tensor | None  # [N]; None where the generator knows of none
    patients: np.ndarray | None = None  # [N], of real slices


def take(dataset: SliceDataset, n: int) -> Slices:
    """``n`` slices evenly through a split, or all where there are fewer."""
    rows = torch.linspace(0, len(dataset) - 1, min(n, len(dataset))).long()
    return Slices(
        dataset.images[rows], dataset.positions[rows], dataset.patients[rows].numpy()
    )


def blur(slices: Slices, severity: float, train: SliceDataset, seed: int) -> Slices:
    """A Gaussian filter of up to 1.5 pixels."""
    return slices._replace(images=blurred(slices.images, 1.5 * severity).float())


def noise(slices: Slices, severity: float, train: SliceDataset, seed: int) -> Slices:
    """White noise with a standard deviation of up to 0.1."""
    random = torch.Generator().manual_seed(seed)
    added = torch.randn(slices.images.shape, generator=random)
    return slices._replace(images=(slices.images + 0.1 * severity * added).clamp(0, 1))


def drop_modes(
    slices: Slices, severity: float, train: SliceDataset, seed: int
) -> Slices:
    """Only slices from an ever narrower middle part of the volume, some repeatedly, at
    the positions where they belong; at worst from a tenth of it."""
    off = (slices.positions - 0.5).abs()
    reach = 0.5 * (1 - 0.9 * severity)
    kept = torch.nonzero(off <= max(reach, float(off.min())))[:, 0]
    return _rows(slices, kept[torch.arange(len(off)) * len(kept) // len(off)])


def copy_training(
    slices: Slices, severity: float, train: SliceDataset, seed: int
) -> Slices:
    """A share of the slices replaced by training slices at the same positions."""
    images = slices.images.clone()
    for i in _chosen(slices, severity, seed):
        images[i] = train.images[(train.positions - slices.positions[i]).abs().argmin()]
    return slices._replace(images=images)


def shuffle_patches(
    slices: Slices, severity: float, train: SliceDataset, seed: int
) -> Slices:
    """A share of the patches of each slice change places: what shuffled codes do."""
    rng, images = np.random.default_rng(seed), slices.images.clone()
    n, _, height, width = images.shape
    grid = images.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)  # a view
    rows, columns = height // PATCH, width // PATCH
    for i in range(n):
        chosen = rng.permutation(rows * columns)[: round(severity * rows * columns)]
        to = rng.permutation(chosen)
        moved = grid[i, 0, chosen // columns, chosen % columns].clone()
        grid[i, 0, to // columns, to % columns] = moved
    return slices._replace(images=images)


def join_halves(
    slices: Slices, severity: float, train: SliceDataset, seed: int
) -> Slices:
    """Wrong anatomy with true texture: in a share of the slices, the upper half is that
    of another slice of the set, half a volume away."""
    images, half = slices.images.clone(), slices.images.shape[-1] // 2
    elsewhere = (slices.positions + 0.5) % 1
    for i in _chosen(slices, severity, seed):
        other = (slices.positions - elsewhere[i]).abs().argmin()
        images[i, ..., half:] = slices.images[other, ..., half:]
    return slices._replace(images=images)


def misplace(slices: Slices, severity: float, train: SliceDataset, seed: int) -> Slices:
    """A share of the slices claim each other's positions."""
    positions = slices.positions.clone()
    chosen = _chosen(slices, severity, seed)
    positions[chosen] = positions[np.roll(chosen, 1)]
    return slices._replace(positions=positions)


Corruption = Callable[[Slices, float, SliceDataset, int], Slices]
CORRUPTIONS: dict[str, Corruption] = {
    "blur": blur,
    "noise": noise,
    "dropped modes": drop_modes,
    "copied training slices": copy_training,
    "shuffled patches": shuffle_patches,
    "wrong anatomy": join_halves,
    "wrong positions": misplace,
}
SEVERITIES = (0.0, 0.25, 0.5, 1.0)


def _chosen(slices: Slices, share: float, seed: int) -> np.ndarray:
    """Rows to change; those of a larger share contain those of a smaller one."""
    n = len(slices.images)
    return np.random.default_rng(seed).permutation(n)[: round(share * n)]


def _rows(slices: Slices, rows: Tensor) -> Slices:
    owners = slices.patients if slices.patients is None else slices.patients[rows]
    return Slices(slices.images[rows], slices.positions[rows], owners)
