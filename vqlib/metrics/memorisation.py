"""Has a generator learned slices by heart? Its samples on the ladder of kinship.

How near is near? Training slices answer that themselves: the nearest slice of the same
scan (a near-duplicate), of the same patient in another week, and of other patients. A
sample that lies as near to a training slice as a near-duplicate is a copy; one of a new
man should lie where other men lie. Distances are taken between slices averaged down to
32 x 16, for a smooth picture is nearer to everything, and there all are smooth.
Taught in notebook 05.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from vqlib.data import SliceDataset
from vqlib.metrics.similarity import nearest_distance

SIZE = (32, 16)
RUNGS = ("same scan", "same patient", "other patients")
CLOSE = 0.05  # the share of slices that are closer to another man than the limit


def shrunk(images: Tensor) -> Tensor:
    """`[N, 1, H, W]` at the size of the comparison."""
    return adaptive_avg_pool2d(images, SIZE)


def kinship_ladder(train: SliceDataset, most: int = 1000) -> dict[str, np.ndarray]:
    """Distance of training slices to the nearest one of each degree of kinship, root
    mean squared grey values: rung → `[P]`, P at most ``most``, evenly through the set.

    A rung that nobody stands on (one scan a patient, say) is missing.
    """
    flat = shrunk(train.images).flatten(1)
    rows = torch.linspace(0, len(flat) - 1, min(most, len(flat))).long()
    apart = torch.cdist(flat[rows], flat) / flat.shape[1] ** 0.5  # [P, N]
    same_patient = train.patients[rows, None] == train.patients
    same_scan = same_patient & (train.weeks[rows, None] == train.weeks)
    itself = rows[:, None] == torch.arange(len(flat))
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
    """Samples `[N, 1, H, W]` against training slices `[M, 1, H, W]`.

    ``nearest`` is the median distance to the nearest training slice, in medians of the
    rung "other patients": 1 for another man, 0 for a copy. ``copies`` is the share of
    samples nearer than 19 in 20 training slices are to other men: 0.05 for other men, 1
    for copies. Raises ValueError for a ladder without other patients.
    """
    if RUNGS[-1] not in ladder:
        raise ValueError("the training slices of one patient cannot judge copies")
    others = ladder[RUNGS[-1]]
    near = nearest_distance(shrunk(samples), shrunk(train))[0].cpu().numpy()
    return {
        "nearest": float(np.median(near) / np.median(others)),
        "copies": float((near < np.quantile(others, CLOSE)).mean()),
    }
