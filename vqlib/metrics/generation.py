"""Are generated slices any good? Scores of a set of samples, each by its formula.

A sample has no target, so sets are compared: by the kernel distance KID (Bińkowski et
al. 2018, arXiv 1801.01401), by precision and recall (Kynkäänniemi et al. 2019, arXiv
1904.06991), and by a classifier that has to tell them apart (Lopez-Paz & Oquab 2017,
arXiv 1610.06545). Whether samples are copies is in `vqlib.metrics.copies`. The features
are four plain families that a reader can name, not an Inception network that has seen
no MR: the values compare with each other, never with a published
KID. Taught in notebook 06.
"""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from vqlib.metrics.similarity import Interval

BANDS = 10  # of spatial frequency
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
SCALES = 3  # of gradient energy: the slice, and averaged over 2 x 2 and 4 x 4
CELLS = (8, 4)  # of the coarse grid
AXES = 12  # so many principal axes: well under half of a set of 64
FINEST = 0.02  # a difference in grey value or log power that nobody would mind
NEIGHBOURS = 3  # k of precision and recall


@torch.no_grad()
def texture_features(images: Tensor) -> np.ndarray:
    """Features of slices `[N, 1, H, W]` in [0, 1]: float64 `[N, 56]`.

    In this order: log mean power in 10 rings of spatial frequency up to Nyquist's
    (sharpness, noise); 8 quantiles of the grey values (contrast); log mean squared
    gradient along both axes at 3 scales (edges, seams); the means of 8 x 4 cells (where
    the anatomy lies). Both sides must be multiples of 8 and at least 32.
    """
    rows = [_features(batch.cpu().double()) for batch in images.split(256)]
    return torch.cat(rows).numpy()


def _features(x: Tensor) -> Tensor:
    gradients, small = [], x
    for scale in range(SCALES):
        small = avg_pool2d(small, 2) if scale else small
        for axis in (-2, -1):
            gradients.append(small.diff(dim=axis).square().mean((1, 2, 3)))
    levels = torch.tensor(QUANTILES, dtype=x.dtype, device=x.device)
    families = (
        _ring_power(x[:, 0]),  # [N, 10]
        torch.quantile(x.flatten(1), levels, dim=1).T,  # [N, 8]
        torch.log(torch.stack(gradients, 1) + 1e-6),  # [N, 6]
        adaptive_avg_pool2d(x, CELLS).flatten(1),  # [N, 32]
    )
    return torch.cat(families, dim=1)


def _ring_power(x: Tensor) -> Tensor:
    """Log mean power of `[N, H, W]` by distance from frequency 0, which is left out."""
    power = torch.fft.fft2(x, norm="ortho").abs().square().flatten(1)  # [N, H*W]
    ring = spectral_rings(x.shape[-2:], BANDS).to(x.device)
    sums = x.new_zeros(len(x), BANDS + 1).index_add_(1, ring, power)
    counts = torch.bincount(ring, minlength=BANDS + 1).clamp(min=1)
    return torch.log(sums / counts + 1e-6)[:, :BANDS]


def spectral_rings(
    size: tuple[int, int], rings: int, spacing: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """The ring of each spatial frequency of a slice, in the order of the FFT: `[H*W]`
    int64. Rings are equally wide and end at the Nyquist frequency of the coarser axis;
    frequency 0 and the corners beyond belong to none and have the number ``rings``."""
    fy, fx = (
        torch.fft.fftfreq(n, mm, dtype=torch.float64)
        for n, mm in zip(size, spacing, strict=True)
    )
    radius = torch.hypot(fy[:, None], fx).flatten() * 2 * max(spacing)  # 1: Nyquist's
    ring = (radius * rings).long().clamp(max=rings)
    return ring.masked_fill(radius == 0, rings)


def principal_axes(
    features: np.ndarray, alike: bool = False
) -> Callable[[np.ndarray], np.ndarray]:
    """The directions in which features `[N, F]` of training slices differ most, as a
    function that projects other features onto them: `[M, F]` -> `[M, 13]`.

    Each feature is divided by its standard deviation, or `FINEST` if that is more;
    where all are ``alike``, as in a layer of a network, by one number for all. The last
    column is how far a slice lies from all axes: what no training slice does.
    """
    mean, unit = features.mean(0), features.std(0)
    if alike:
        unit = np.full_like(unit, np.sqrt(np.square(unit).mean()))
    unit = np.maximum(unit, FINEST)  # or what hardly varies would decide all
    _, _, axes = np.linalg.svd((features - mean) / unit, full_matrices=False)
    axes = axes[:AXES].T  # [F, 12], orthonormal

    def project(features: np.ndarray) -> np.ndarray:
        centred = (features - mean) / unit
        along = centred @ axes
        rest = np.linalg.norm(centred - along @ axes.T, axis=1)
        return np.column_stack([along, rest])

    return project


def bounded(features: np.ndarray) -> np.ndarray:
    """Features `[N, F]` of about unit size, as ``x / √(1 + |x|² / F)``: none is
    longer than √F, or a cubic kernel would see little but the few oddest slices."""
    return features / np.sqrt(1 + np.square(features).mean(1, keepdims=True))


def kid(
    a: np.ndarray, b: np.ndarray, subsets: int = 100, size: int = 100, seed: int = 0
) -> Interval:
    """Kernel distance of features `[N, F]` and `[M, F]`, times 100: the squared maximum
    mean discrepancy, mean k(a, a') + mean k(b, b') − 2 mean k(a, b) over pairs of
    different slices, with the kernel (x·y / F + 1)³. Unbiased: 0 on average for sets of
    one distribution, and below by chance. The mean over ``subsets`` of ``size`` slices
    each (or half of the smaller set), and the range that 95 % of them lie in.

    >>> same = np.random.default_rng(0).normal(size=(2, 200, 4))
    >>> kid(*same).low < 0 < kid(*same).high
    True
    """
    rng, found = np.random.default_rng(seed), []
    size = min(size, len(a) // 2, len(b) // 2)
    for _ in range(subsets):
        x, y = (z[rng.choice(len(z), size, replace=False)] for z in (a, b))
        xx, yy, xy = (
            (p @ q.T / p.shape[1] + 1) ** 3 for p, q in ((x, x), (y, y), (x, y))
        )
        pairs = size * (size - 1)
        inside = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / pairs
        found.append(100 * (inside - 2 * xy.mean()))
    low, high = np.percentile(found, (2.5, 97.5))
    return Interval(float(np.mean(found)), float(low), float(high))


def two_sample_accuracy(
    generated: np.ndarray,
    held_out: np.ndarray,
    patients: np.ndarray,
    own: np.ndarray | None = None,
    seed: int = 0,
) -> float:
    """How often a logistic regression tells samples `[N, F]` from held-out slices
    `[M, F]` that it was not trained on: 0.5 for sets that it cannot tell apart, 1 for
    sets that it always can.

    Slices of one patient are never on both sides of a fold, or the classifier would
    know the patient. Whose slice it is say ``patients`` `[M]` and, where the first set
    is of patients as well, ``own`` `[N]`.
    """
    n, rng = min(len(generated), len(held_out)), np.random.default_rng(seed)
    ours, theirs = (rng.permutation(len(x))[:n] for x in (generated, held_out))
    x, y = np.concatenate([generated[ours], held_out[theirs]]), np.repeat([0, 1], n)
    owners = (
        _owners(own, len(generated))[ours],
        _owners(patients, len(held_out))[theirs],
    )
    groups = np.concatenate([owners[0], -1 - owners[1]])  # nobody is in both sets
    folds = min(5, *(len(np.unique(owner)) for owner in owners))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = cross_val_score(model, x, y, groups=groups, cv=split)
    return float(found.mean())


def precision_recall(
    generated: np.ndarray,
    held_out: np.ndarray,
    patients: np.ndarray,
    own: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Precision, the share of samples that lie in a ball around a held-out slice, and
    recall, the share of held-out slices that lie in a ball around a sample
    (Kynkäänniemi et al. 2019, eq. 1 and 2), in features `[N, F]` and `[M, F]`.

    A ball reaches to the third neighbour among *other patients*: slices of one patient
    are so alike that nobody else's would ever lie in their balls. Whose slice it is say
    ``patients`` `[M]` and, where the first set is of patients as well, ``own`` `[N]`; a
    set of one patient counts as if each slice were of its own. Both scores depend on
    the sizes of the sets, so equally many of each are drawn, eight times, and the
    means returned.
    """
    own, patients = _owners(own, len(generated)), _owners(patients, len(held_out))
    n, rng = min(len(generated), len(held_out)), np.random.default_rng(seed)
    found = []
    for _ in range(8):
        g, r = (rng.permutation(len(x))[:n] for x in (generated, held_out))
        apart = _distances(generated[g], held_out[r])
        around_held_out = apart < _radii(held_out[r], patients[r])
        around_samples = apart < _radii(generated[g], own[g])[:, None]
        found.append((around_held_out.any(1).mean(), around_samples.any(0).mean()))
    precision, recall = np.mean(found, 0).tolist()
    return {"precision": precision, "recall": recall}


def _owners(patients: np.ndarray | None, count: int) -> np.ndarray:
    """Whose each slice is; where that is not known, or all are of one, its own."""
    if patients is not None and len(np.unique(patients)) > 1:
        return np.asarray(patients)
    return np.arange(count if patients is None else len(patients))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).numpy()


def _radii(points: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Distance of each point to its k-th neighbour in other groups, or to the farthest
    where there are fewer: `[N]`."""
    apart = _distances(points, points)
    apart[groups[:, None] == groups[None]] = np.inf
    near = np.sort(apart, 1)[:, :NEIGHBOURS]
    return np.where(np.isfinite(near), near, -np.inf).max(1)
