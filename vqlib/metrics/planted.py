"""Things planted into slices, to find out whether a likelihood notices them.

Four kinds, each somewhere inside the body: a *lesion* (a soft dark or bright blob), an
*artefact* (a band of stripes, as from interference), an *implant* (a signal void with a
bright rim, as metal leaves it) and a *misplaced* patch (true tissue from elsewhere in
the slice, turned upside down). They are caricatures: what is found here may be missed
in a clinic. Taught in notebook 05.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

KINDS = ("lesion", "artefact", "implant", "misplaced")


class Planted(NamedTuple):
    """Slices with something in them, and where it is."""

    images: Tensor  # [N, 1, H, W]
    masks: Tensor  # [N, H, W] bool


def plant(
    images: Tensor, body: Tensor, kind: str, seed: int = 0, strength: float = 0.3
) -> Planted:
    """One thing of a kind in each slice.

    Args:
        images: `[N, 1, H, W]` in [0, 1].
        body: `[N, H, W]` bool, where it may lie.
        kind: one of `KINDS`.
        seed: of the places and signs.
        strength: how far grey values are moved, at most.

    Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {KINDS}")
    rng = np.random.default_rng(seed)
    slices, masks = images[:, 0].double().numpy().copy(), []
    for slice_, inside in zip(slices, body.numpy(), strict=True):
        radius = max(2.0, slice_.shape[0] / 18)
        centre = _somewhere(inside, radius, rng)
        rows, columns = np.indices(slice_.shape)
        far = np.hypot(rows - centre[0], columns - centre[1]) / radius
        mask, new = _KINDS[kind](slice_, far, centre, radius, strength, rng)
        mask = mask & inside if kind == "artefact" else mask
        slice_[mask] = new[mask].clip(0, 1)
        masks.append(mask)
    found = torch.from_numpy(slices).to(images.dtype).unsqueeze(1)
    return Planted(found, torch.from_numpy(np.array(masks)))


def _somewhere(inside: np.ndarray, radius: float, rng) -> tuple[int, int]:
    """A place in the body, deep enough where the body is thick enough."""
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    deep = np.argwhere(depth >= min(1.5 * radius, depth.max()))
    return tuple(deep[rng.integers(len(deep))])


def _lesion(slice_, far, centre, radius, strength, rng):
    mask = far < 1
    sign = -1 if slice_[mask].mean() > 0.5 else 1  # away from black and white
    return mask, slice_ + sign * strength * np.cos(far.clip(0, 1) * np.pi / 2)


def _artefact(slice_, far, centre, radius, strength, rng):
    rows, columns = np.indices(slice_.shape)
    mask = np.abs(columns - centre[1]) < max(2, radius / 3)  # a band across the body
    return mask, slice_ + strength * np.where(rows // 2 % 2, 1, -1)


def _implant(slice_, far, centre, radius, strength, rng):
    return far < 1, np.where(far < 0.7, 0.0, 1.0)


def _misplaced(slice_, far, centre, radius, strength, rng):
    moved = np.roll(slice_[:, ::-1], slice_.shape[0] // 3, axis=0)
    return far < 1.2, moved


_KINDS = dict(zip(KINDS, (_lesion, _artefact, _implant, _misplaced), strict=True))


def on_codes(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Share of each code's patch that lies in a mask: `[N, H, W]` → `[N, h, w]`."""
    return adaptive_avg_pool2d(masks.float().unsqueeze(1), grid)[:, 0]


def auc(scores: Tensor, masks: Tensor, body: Tensor) -> float:
    """Area under the ROC curve of a score of each code, `[N, h, w]`, for planted codes
    against the other codes of the body; 0.5 is chance, 1 perfect.

    Codes that are covered by less than half, or lie outside the body, are not asked.
    Masks and body are `[N, H, W]` bool. NaN where nothing is left to compare.
    """
    covered = on_codes(masks, scores.shape[1:])
    hit = covered >= 0.5
    asked = hit | ((covered == 0) & (on_codes(body, scores.shape[1:]) >= 0.5))
    truth = hit[asked].numpy()
    if truth.all() or not truth.any():
        return float("nan")
    return float(roc_auc_score(truth, scores[asked].numpy()))
