"""Are generated slices copies of training slices? The distance of each sample to its
nearest training slice, measured by how near the slices of other patients are to each
other. Taught in notebook 06.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from vqlib.data import SliceDataset
from vqlib.metrics.generation import FINEST

RUNGS = ("same scan", "same patient", "other patients")
THUMBNAIL = (32, 16)  # so small that all are smooth: a smooth one is near to all
CLOSE = 0.05  # the share of slices that are closer to another patient than the limit


def thumbnail_distances(images: Tensor, others: Tensor) -> Tensor:
    """Root mean squared difference of the thumbnails of slices `[P, 1, H, W]`, as they
    are or mirrored, left for right, whichever is less, and of others `[N, 1, H, W]`:
    `[P, N]`. (Generators train on mirrored slices too.)"""
    # in float64, or what is equal would not come out near 0
    small, known = (
        adaptive_avg_pool2d(x.cpu(), THUMBNAIL).double() for x in (images, others)
    )
    flat = known.flatten(1)
    both = (torch.cdist(x.flatten(1), flat) for x in (small, small.flip(2)))
    return torch.minimum(*both) / flat.shape[1] ** 0.5


def kinship_ladder(train: SliceDataset, most: int = 1000) -> dict[str, np.ndarray]:
    """How near is near? The distance of training slices to the nearest one of the same
    scan, of the same patient in another week, and of other patients: rung -> `[P]`.

    In `thumbnail_distances`, for at most ``most`` slices, evenly through the set. A
    rung without slices (one scan a patient, say) is missing.
    """
    rows = _evenly(len(train), most)
    apart = thumbnail_distances(train.images[rows], train.images)  # [P, N]
    same_patient = train.patients[rows, None] == train.patients
    same_scan = same_patient & (train.weeks[rows, None] == train.weeks)
    itself = rows[:, None] == torch.arange(len(train))
    kin = (same_scan & ~itself, same_patient & ~same_scan, ~same_patient)
    found = {}
    for rung, who in zip(RUNGS, kin, strict=True):
        nearest = apart.masked_fill(~who, torch.inf).amin(1)
        if len(known := nearest[nearest.isfinite()]):
            found[rung] = known.numpy()
    return found


def memorisation(
    samples: Tensor, train: Tensor, ladder: dict[str, np.ndarray]
) -> dict[str, float]:
    """Are samples `[N, 1, H, W]` copies of training slices `[M, 1, H, W]`?

    ``nearest`` is the median distance to the nearest training slice, in medians of the
    ladder's "other patients": 1 for another patient, 0 for a copy. ``copies`` is the
    share of samples nearer than 19 in 20 training slices are to other patients: 0.05
    for other patients, 1 for copies, mirrored ones too. Raises ValueError for a ladder
    without other patients.
    """
    if RUNGS[-1] not in ladder:
        raise ValueError("the training slices of one patient cannot judge copies")
    others = ladder[RUNGS[-1]]
    near = thumbnail_distances(samples, train).amin(1).numpy()
    return {
        "nearest": float(np.median(near) / np.median(others)),
        "copies": float((near < np.quantile(others, CLOSE)).mean()),
    }


def patches(images: Tensor) -> Tensor:
    """Slices `[N, 1, H, W]` in 4 x 2 parts of 16 x 16 pixels each, brought to size:
    `[8, N, 256]`."""
    small = adaptive_avg_pool2d(images, (64, 32))  # [N, 1, 64, 32]
    parts = small.unfold(2, 16, 16).unfold(3, 16, 16)  # [N, 1, 4, 2, 16, 16]
    return parts.reshape(len(images), 8, 256).movedim(1, 0)


def copied_patches(
    samples: Tensor, train: Tensor, patients: Tensor, most: int = 600
) -> float:
    """The share of patches of samples that are nearer to a training slice's patch at
    the same place than 19 in 20 patches of training slices are to other patients':
    0.05 for other patients, 1 for copies. ``patients`` `[M]` are those of ``train``.
    Patches are compared as they are and in a mirrored slice; those that hardly differ
    from a flat one are left out.
    """
    rows, near, total = _evenly(len(train), most), 0, 0
    same = patients[rows, None] == patients
    ours, probes = (
        torch.stack([patches(x), patches(x.flip(2))], 1) for x in (samples, train[rows])
    )  # [8, 2, N, 256]
    for mine, some, known in zip(ours, probes, patches(train), strict=True):
        limits = torch.cdist(some, known).amin(0).masked_fill(same, torch.inf).amin(1)
        apart = torch.cdist(mine, known).amin((0, 2))
        busy, seen = mine[0].std(1) > FINEST, some[0].std(1) > FINEST
        if busy.any() and seen.any():
            limit = limits[seen].quantile(CLOSE)
            near += int((apart[busy] < limit).sum())
            total += int(busy.sum())
    return near / max(1, total)


def _evenly(count: int, most: int) -> Tensor:
    return torch.linspace(0, count - 1, min(most, count)).long()
