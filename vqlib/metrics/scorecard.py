"""The score card: what is asked of a set of generated slices, in one row.

    judge = make_judge(data, segmenter)
    floor, ours = judge(take(data.validate, 256)), judge(Slices(images, positions))

Samples are compared with held-out patients. A number means something beside the
*floor*: the row of as many held-out slices of still other patients. A row has no sum:
fidelity can be bought with variety, and both with copies. Each formula stands in
notebook 06, which also puts the scores on trial.

A generated slice has no labels but those that it was drawn for. So a
`vqlib.models.Segmenter` finds organs in it, as in held-out slices: its faults are in
both.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from scipy.stats import wasserstein_distance
from torch import Tensor

from vqlib.data import LABEL_NAMES, SliceData, SliceDataset
from vqlib.errors import UserError
from vqlib.metrics.copies import (
    RUNGS,
    copied_patches,
    kinship_ladder,
    memorisation,
)
from vqlib.metrics.generation import (
    bounded,
    kid,
    precision_recall,
    principal_axes,
    texture_features,
    two_sample_accuracy,
)
from vqlib.metrics.similarity import Interval
from vqlib.models import Segmenter

BINS = 5  # of the position in the volume
PRESENT = 0.001  # share of the slice from which an organ counts as present
FEWEST = 8  # slices of a set


class Slices(NamedTuple):
    """A set of slices, as a generator would hand it in."""

    images: Tensor  # [N, 1, H, W]
    positions: Tensor | None = None  # [N]; None where the generator knows of none
    patients: np.ndarray | None = None  # [N], of slices from a data set
    labels: Tensor | None = None  # [N, H, W], the maps that they were drawn for


class Score(NamedTuple):
    """What one column of the card is."""

    title: str
    best: float | None  # the value of held-out slices; None: as high as the floor's


SCORES = {
    "texture": Score("KID, texture", 0.0),
    "shape": Score("KID, segmenter", 0.0),
    "precision": Score("precision", None),
    "recall": Score("recall", None),
    "areas": Score("organ areas", 0.0),
    "pieces": Score("organ pieces", 0.0),
    "places": Score("organ positions", 0.0),
    "agreement": Score("agreement", 1.0),
    "told apart": Score("told apart", 0.5),
    "prior apart": Score("told apart, both decoded", 0.5),
    "nearest": Score("nearest training slice", 1.0),
    "copies": Score("copies", 0.05),
    "patches": Score("copied patches", 0.05),
}
Card = dict[str, float | Interval | None]


def take(dataset: SliceDataset, n: int) -> Slices:
    """``n`` slices evenly through a split, or all where there are fewer."""
    rows = torch.linspace(0, len(dataset) - 1, min(n, len(dataset))).long()
    labels = None if dataset.labels is None else dataset.labels[rows]
    patients = dataset.patients[rows].numpy()
    return Slices(dataset.images[rows], dataset.positions[rows], patients, labels)


def make_judge(
    data: SliceData, segmenter: Segmenter | None, most: int = 600
) -> Callable[..., Card]:
    """A function ``judge(slices, seed=0, decoded=None)`` that gives a set of slices its
    `Card`.

    - ``texture``, ``shape``: `kid` to the test split, on the principal axes (of
      ``most`` train slices) of `texture_features` and of the segmenter's features,
      each `bounded`.
    - ``precision``, ``recall``: `precision_recall` on both sets of axes side by side.
    - ``areas``, ``pieces``, ``places``: `anatomy` beside the test split's.
    - ``agreement``: `dice` of the maps that the slices were drawn for and what the
      segmenter finds in them; the mean over organs, and beside it ``prostate`` alone.
    - ``told apart``: `two_sample_accuracy` on all features, beside the test split.
    - ``prior apart``: the same beside ``decoded``, the test slices as the decoder that
      drew this set draws them: so its prior is judged, and not the decoder.
    - ``nearest``, ``copies``, ``patches``: `memorisation` and `copied_patches` of the
      train split.

    A score without a meaning (no segmenter, no positions, no maps, train slices of one
    patient alone) is None. ``judge`` raises `UserError` for slices of another size than
    the data, and for fewer than 8.
    """

    def side_by_side(features: dict[str, np.ndarray]) -> np.ndarray:  # [N, F]
        return np.column_stack(list(features.values()))

    def features(images: Tensor) -> dict[str, np.ndarray]:  # name -> [N, F]
        found = {"texture": texture_features(images)}
        if segmenter is not None:
            found["shape"] = segmenter.features(images).double().numpy()
        return found

    train, test = data.train, data.test
    known, raw = features(take(train, most).images), features(test.images)
    axes = {name: principal_axes(x, name == "shape") for name, x in known.items()}
    truth = {name: axes[name](x) for name, x in raw.items()}
    unit = {name: np.sqrt(x.var(0).sum()) for name, x in truth.items()}
    theirs = {name: x / unit[name] for name, x in truth.items()}
    labels = None if segmenter is None else segmenter.segment(test.images)
    who, ladder = test.patients.numpy(), kinship_ladder(train)

    def judge(slices: Slices, seed: int = 0, decoded: Tensor | None = None) -> Card:
        _check(slices.images, test.images)
        card: Card = dict.fromkeys(SCORES)
        found = features(slices.images)
        ours = {name: axes[name](x) / unit[name] for name, x in found.items()}
        for name, x in ours.items():
            scale = np.sqrt(x.shape[1])  # so that x·x / F is about 1
            both = (bounded(scale * z) for z in (x, theirs[name]))
            card[name] = kid(*both, seed=seed)
        mine, other = side_by_side(ours), side_by_side(theirs)
        card |= precision_recall(mine, other, who, slices.patients, seed=seed)
        for name, beside in (("told apart", raw), ("prior apart", decoded)):
            if beside is not None:
                beside = features(beside) if name == "prior apart" else beside
                sets = side_by_side(found), side_by_side(beside)
                card[name] = two_sample_accuracy(*sets, who, slices.patients, seed=seed)
        if segmenter is not None:
            seen = segmenter.segment(slices.images)
            card |= anatomy(seen, labels, slices.positions, test.positions)
            if slices.labels is not None:
                agreement = dice(seen, slices.labels)
                card["agreement"] = agreement["mean"]
                card["prostate"] = agreement.get("prostate")
        if RUNGS[-1] in ladder:
            card |= memorisation(slices.images, train.images, ladder)
            copied = copied_patches(slices.images, train.images, train.patients)
            card["patches"] = copied
        return card

    return judge


def _check(images: Tensor, truth: Tensor) -> None:
    if images.shape[1:] != truth.shape[1:]:
        raise UserError(
            f"samples of {tuple(images.shape[1:])} cannot be scored against slices of "
            f"{tuple(truth.shape[1:])}; decode them at the size of the data"
        )
    if (n := min(len(images), len(truth))) < FEWEST:
        raise UserError(f"{n} slices are too few for a score card; give {FEWEST}")


def anatomy(
    labels: Tensor,
    truth: Tensor,
    positions: Tensor | None = None,
    true_positions: Tensor | None = None,
) -> dict[str, float | None]:
    """How far the label maps `[N, H, W]` of one set are from those `[M, H, W]` of
    another; positions `[N]`, `[M]` in [0, 1]. Each answer is 0 for equal sets.

    - ``areas``: Wasserstein-1 distance between the areas of an organ in the two sets,
      in mean areas of it in the second; the mean over labels but the background.
    - ``pieces``: difference in the mean number of connected pieces of each label in a
      slice, summed over labels but the background.
    - ``places``: difference between the shares of slices in which an organ is present,
      the mean over organs and five parts of the volume; None without positions.
    """
    ours, true = organ_areas(labels), organ_areas(truth)
    mean = true.mean(0)
    organs = np.flatnonzero(mean[1:] > 0) + 1  # that the second set has at all
    sizes = [wasserstein_distance(ours[:, o], true[:, o]) / mean[o] for o in organs]
    found = {
        "areas": float(np.mean(sizes)) if sizes else 0.0,
        "pieces": float(np.abs(_pieces(labels) - _pieces(truth)).sum()),
        "places": None,
    }
    if positions is not None and true_positions is not None:
        gap = _presence(ours, positions) - _presence(true, true_positions)
        found["places"] = float(np.nanmean(np.abs(gap)))
    return found


def organ_areas(labels: Tensor) -> np.ndarray:
    """Share of the slice that each label covers: `[N, H, W]` -> float64 `[N, 6]`."""
    maps = labels.cpu().flatten(1)
    shares = [(maps == k).double().mean(1) for k in range(len(LABEL_NAMES))]
    return torch.stack(shares, 1).numpy()


def _pieces(labels: Tensor) -> np.ndarray:
    """Mean number of connected pieces of each label but the background: `[5]`."""
    maps = labels.cpu().numpy()
    apart = np.zeros((3, 3, 3), bool)
    apart[1] = True  # neighbours within a slice, not from slice to slice
    counts = [ndimage.label(maps == k, apart)[1] for k in range(1, len(LABEL_NAMES))]
    return np.array(counts) / len(maps)


def _presence(areas: np.ndarray, positions: Tensor) -> np.ndarray:
    """Share of slices that hold each organ, in each part of the volume: areas
    `[N, 6]`, positions `[N]` -> `[BINS, 4]`; NaN where no slice lies in a part."""
    part = np.minimum((np.asarray(positions) * BINS).astype(int), BINS - 1)
    shares = np.full((BINS, areas.shape[1] - 2), np.nan)
    for b in np.unique(part):
        shares[b] = (areas[part == b, 2:] > PRESENT).mean(0)
    return shares


def dice(labels: Tensor, truth: Tensor) -> dict[str, float]:
    """Dice of each label of a whole set, ``2 |A ∩ B| / (|A| + |B|)``: `[N, H, W]` twice
    -> organ -> Dice; a label that neither has is left out. ``mean`` is over organs.

    >>> dice(torch.tensor([[[1, 1, 3]]]), torch.tensor([[[1, 3, 3]]]))["bladder"]
    0.6666666666666666
    """
    found = {}
    for value, name in enumerate(LABEL_NAMES[1:], 1):
        a, b = labels == value, truth == value
        if total := int(a.sum() + b.sum()):
            found[name] = 2 * int((a & b).sum()) / total
    return found | {"mean": float(np.mean(list(found.values()))) if found else 0.0}
