"""How alike slices are, and what a split of slices hides.

Slices of one scan repeat each other, scans of one patient nearly so. `ladder_pairs`
draws pairs of slices of every degree of kinship; `make_folds` holds out slices, scans
or patients. Why dependent data must be held out in blocks: Roberts et al. 2017,
doi 10.1111/ecog.02881.

Taught in notebook 01, sections 1.6 and 1.7.
"""

import numpy as np
import torch
from torch import Tensor

from vqlib.data import SliceDataset
from vqlib.metrics import ssim

RUNGS = ("next slice", "another week", "another patient", "another place")


def ladder_pairs(
    dataset: SliceDataset, pairs: int = 500, seed: int = 0
) -> dict[str, Tensor]:
    """Pairs of slices by kinship: rung → rows `[P, 2]` int64, P at most ``pairs``.

    - ``next slice``: the following slice of the same scan;
    - ``another week``: the same patient in another scan, at the nearest position;
    - ``another patient``: at the nearest position;
    - ``another place``: another patient, anywhere in the body.

    The first of each pair is drawn at random, the same slices for all rungs; a rung
    for which a slice has no partner (one scan a patient, say) leaves it out, and a rung
    without pairs is missing.
    """
    rng = np.random.default_rng(seed)
    patients, weeks = dataset.patients.numpy(), dataset.weeks.numpy()
    positions = dataset.positions.numpy()
    found: dict[str, list] = {rung: [] for rung in RUNGS}
    for i in rng.permutation(len(dataset))[:pairs]:
        same = patients == patients[i]
        scan = same & (weeks == weeks[i])
        after = np.flatnonzero(scan & (positions > positions[i]))
        if len(after):
            found["next slice"].append((i, after[positions[after].argmin()]))
        if (other := same & ~scan).any():
            j = _at(positions, other, positions[i], rng)
            found["another week"].append((i, j))
        if (~same).any():
            j = _at(positions, ~same, positions[i], rng)
            found["another patient"].append((i, j))
            j = rng.choice(np.flatnonzero(~same))
            found["another place"].append((i, j))
    return {k: torch.tensor(np.array(v)) for k, v in found.items() if v}


def _at(positions, candidates, position, rng) -> int:
    """One of the candidates nearest to a position, drawn at random."""
    gap = np.where(candidates, np.abs(positions - position), np.inf)
    return int(rng.choice(np.flatnonzero(gap <= gap.min() + 1e-6)))


def make_folds(groups: Tensor, folds: int, seed: int = 0) -> Tensor:
    """Assign whole groups to folds of about equal size: `[N]` → fold `[N]` int64.

    ``groups`` `[N]` says what must stay together: the patient of each slice, its scan,
    or its own row number for the careless split. Raises ValueError for fewer groups
    than folds.
    """
    names, owner = torch.unique(groups, return_inverse=True)
    if len(names) < folds:
        raise ValueError(f"{len(names)} groups cannot fill {folds} folds")
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = torch.empty(len(names), dtype=torch.int64)
    fold_of[torch.from_numpy(order)] = torch.arange(len(names)) % folds
    return fold_of[owner]


def mirror_ssim(dataset: SliceDataset) -> Tensor:
    """SSIM of each slice with its own left–right mirror image: `[N]`.

    A pelvis is nearly symmetric, a patient never quite. Exercise 1.2 of notebook 01.
    """
    return ssim(dataset.images.flip(2), dataset.images)  # [N, 1, H, W]: H is left–right
