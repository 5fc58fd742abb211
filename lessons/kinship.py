"""How alike slices are, and what a split of slices hides.

Slices of one scan repeat each other, scans of one patient nearly so. Why dependent data
must be held out in blocks: Roberts et al. 2017, doi 10.1111/ecog.02881. Taught in
notebook 01, sections 1.6 and 1.7.
"""

import numpy as np
import torch
from torch import Tensor

from vqlib.data import SliceDataset

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
    leaves out slices without a partner, and a rung without pairs is missing.
    """
    rng = np.random.default_rng(seed)
    patients, weeks = dataset.patients.numpy(), dataset.weeks.numpy()
    positions = dataset.positions.numpy()
    found: dict[str, list] = {rung: [] for rung in RUNGS}

    def nearest(candidates, position) -> int:  # at random where several are as near
        gap = np.where(candidates, np.abs(positions - position), np.inf)
        return rng.choice(np.flatnonzero(gap <= gap.min() + 1e-6))

    for i in rng.permutation(len(dataset))[:pairs]:
        same = patients == patients[i]
        scan = same & (weeks == weeks[i])
        if (after := scan & (positions > positions[i])).any():
            found["next slice"].append((i, nearest(after, positions[i])))
        if (other := same & ~scan).any():
            found["another week"].append((i, nearest(other, positions[i])))
        if (~same).any():
            found["another patient"].append((i, nearest(~same, positions[i])))
            found["another place"].append((i, rng.choice(np.flatnonzero(~same))))
    return {k: torch.tensor(np.array(v)) for k, v in found.items() if v}


def make_folds(groups: Tensor, folds: int, seed: int = 0) -> Tensor:
    """Assign whole groups to folds of about equal size: `[N]` → fold `[N]` int64.

    ``groups`` `[N]` says what must stay together: the patient of each slice, its scan,
    or its own row number for the careless split.
    """
    names, owner = torch.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = torch.empty(len(names), dtype=torch.int64)
    fold_of[torch.from_numpy(order)] = torch.arange(len(names)) % folds
    return fold_of[owner]
