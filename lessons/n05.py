"""What notebook 05 measures by itself: scores on trial, and a likelihood on trial.

A score that does not move when slices are made worse sees nothing. *Harms* make a set
of slices worse in known ways, each with a severity from 0 (as it was) to 1, and do one
thing: to the picture, to the anatomy, to the variety, or to the honesty of a set. A
score sees a harm where its badness never falls from step to step. `MUST_SEE` says which
scores exist to see which harm; that some are blind to others is no fault, as long as it
is known.

*Planted* things, each somewhere inside the body, try whether a likelihood notices them.
They are caricatures: what is found here may be missed in a clinic.
"""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from lessons.sharpness import blurred
from vqlib.data import SliceDataset
from vqlib.metrics.scorecard import SCORES, Card, Slices

PATCH = 4  # pixels: what one code draws in the quick profile
SEVERITIES = (0.25, 0.5, 1.0)
MUST_SEE = {
    "blur": ("texture", "precision"),
    "dropped modes": ("texture", "shape", "recall"),
    "shuffled patches": ("texture", "shape", "precision", "pieces"),
    "wrong anatomy": ("shape", "places"),
    "copied training slices": ("nearest", "copies"),
}
KINDS = ("lesion", "artefact", "implant", "misplaced")


def blur(slices: Slices, severity: float, train: SliceDataset, seed: int) -> Slices:
    """A Gaussian filter of up to 1.5 pixels."""
    return slices._replace(images=blurred(slices.images, 1.5 * severity))


def drop_modes(
    slices: Slices, severity: float, train: SliceDataset, seed: int
) -> Slices:
    """Only slices from an ever narrower middle part of the volume, some repeatedly, at
    the positions where they belong; at worst from a tenth of it."""
    off = (slices.positions - 0.5).abs()
    reach = 0.5 * (1 - 0.9 * severity)
    kept = torch.nonzero(off <= max(reach, float(off.min())))[:, 0]
    rows = kept[torch.arange(len(off)) * len(kept) // len(off)]
    owners = slices.patients if slices.patients is None else slices.patients[rows]
    return Slices(slices.images[rows], slices.positions[rows], owners)


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


def copy_training(
    slices: Slices, severity: float, train: SliceDataset, seed: int
) -> Slices:
    """A share of the slices replaced by training slices at the same positions."""
    images = slices.images.clone()
    for i in _chosen(slices, severity, seed):
        images[i] = train.images[(train.positions - slices.positions[i]).abs().argmin()]
    return slices._replace(images=images)


HARMS: dict[str, Callable] = {
    "blur": blur,
    "dropped modes": drop_modes,
    "shuffled patches": shuffle_patches,
    "wrong anatomy": join_halves,
    "copied training slices": copy_training,
}


def _chosen(slices: Slices, share: float, seed: int) -> np.ndarray:
    """Rows to change; those of a larger share contain those of a smaller one."""
    n = len(slices.images)
    return np.random.default_rng(seed).permutation(n)[: round(share * n)]


def badness(name: str, value: float, floor: float) -> float:
    """How far a score is from that of held-out slices: 0 is best.

    For a score with a known best value (see `SCORES`) the distance from it, on either
    side; for precision and recall how much it is below the floor. A Fréchet distance
    under 0 is an estimate of 0.
    """
    if name in ("texture", "shape"):
        return max(value, 0.0)
    best = SCORES[name].best
    return max(floor - value, 0.0) if best is None else abs(value - best)


def trial(
    harm: str, slices: Slices, judge: Callable, train: SliceDataset, floor: Card
) -> dict[float, Card]:
    """Severity → the card of slices with a harm done to them; ``floor`` is the card of
    the slices as they are."""
    worse = {s: HARMS[harm](slices, s, train, 0) for s in SEVERITIES}
    return {0.0: floor} | {s: judge(x) for s, x in worse.items()}


def order(cards: dict[float, Card]) -> dict[str, float | None]:
    """Rank correlation of severity and badness: score → gamma in [-1, 1], the share of
    pairs in the right order less that in the wrong one (Goodman and Kruskal 1954,
    doi 10.1080/01621459.1954.10501231).

    Pairs of equal badness count neither way, so that a score is not blamed for having
    reached its end. 0 where it does not move at all, None where it has no value.
    """
    severities, floor = sorted(cards), cards[min(cards)]
    found: dict[str, float | None] = dict.fromkeys(SCORES)
    for name in SCORES:
        values = [cards[s][name] for s in severities]
        if None not in values:
            bad = [badness(name, v, floor[name]) for v in values]
            signs = [np.sign(b - a) for a, b in combinations(bad, 2)]
            found[name] = float(np.sum(signs) / max(np.count_nonzero(signs), 1))
    return found


class Planted(NamedTuple):
    """Slices with something in them, and where it is."""

    images: Tensor  # [N, 1, H, W]
    masks: Tensor  # [N, H, W] bool


def plant(
    images: Tensor, body: Tensor, kind: str, seed: int = 0, strength: float = 0.3
) -> Planted:
    """One thing of a kind in each slice: a *lesion* (a soft dark or bright blob), an
    *artefact* (a band of stripes, as from interference), an *implant* (a signal void
    with a bright rim, as metal leaves it) or a *misplaced* patch (tissue from elsewhere
    in the slice, turned upside down).

    Args:
        images: `[N, 1, H, W]` in [0, 1].
        body: `[N, H, W]` bool, where it may lie.
        kind: one of `KINDS`.
        seed: of the places and signs.
        strength: how far grey values are moved, at most.
    """
    rng = np.random.default_rng(seed)
    slices, masks = images[:, 0].double().numpy().copy(), []
    rows, columns = np.indices(slices.shape[1:])
    radius = max(2.0, slices.shape[1] / 18)
    for slice_, inside in zip(slices, body.numpy(), strict=True):
        # deep enough in the body, where the body is thick enough
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        deep = np.argwhere(depth >= min(1.5 * radius, depth.max()))
        row, column = deep[rng.integers(len(deep))]
        far = np.hypot(rows - row, columns - column) / radius
        if kind == "lesion":
            mask = far < 1
            sign = -1 if slice_[mask].mean() > 0.5 else 1  # away from black and white
            new = slice_ + sign * strength * np.cos(far.clip(0, 1) * np.pi / 2)
        elif kind == "artefact":
            mask = (np.abs(columns - column) < max(2, radius / 3)) & inside
            new = slice_ + strength * np.where(rows // 2 % 2, 1, -1)
        elif kind == "implant":
            mask, new = far < 1, np.where(far < 0.7, 0.0, 1.0)
        elif kind == "misplaced":
            mask = far < 1.2
            new = np.roll(slice_[:, ::-1], slice_.shape[0] // 3, axis=0)
        else:
            raise ValueError(f"{kind!r} is none of {KINDS}")
        slice_[mask] = new[mask].clip(0, 1)
        masks.append(mask)
    found = torch.from_numpy(slices).to(images.dtype).unsqueeze(1)
    return Planted(found, torch.from_numpy(np.array(masks)))


def on_codes(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Share of each code's patch that lies in a mask: `[N, H, W]` → `[N, h, w]`."""
    return adaptive_avg_pool2d(masks.float().unsqueeze(1), grid)[:, 0]


def auc(scores: Tensor, masks: Tensor, body: Tensor) -> float:
    """Area under the ROC curve of a score of each code, `[N, h, w]`, for planted codes
    against the other codes of the body; 0.5 is chance, 1 perfect.

    Codes that are covered by less than half, or lie outside the body, are left out.
    Masks and body are `[N, H, W]` bool. NaN where nothing is left to compare.
    """
    covered = on_codes(masks, scores.shape[1:])
    hit = covered >= 0.5
    asked = hit | ((covered == 0) & (on_codes(body, scores.shape[1:]) >= 0.5))
    truth = hit[asked].numpy()
    if truth.all() or not truth.any():
        return float("nan")
    return float(roc_auc_score(truth, scores[asked].numpy()))
