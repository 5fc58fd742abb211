"""Fidelity and variety told apart: where do two sets of slices overlap?

A Fréchet distance is large for ugly samples and for samples that are all alike. Here
each set is a cloud of balls that reach to the k-th neighbour: *precision* is the share
of samples in the cloud of real slices, *recall* the share of real slices in the cloud
of samples (Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1 and 2); *density* counts
in how many real balls a sample lies, *coverage* which real balls hold a sample at all
(Naeem et al. 2020, arXiv 2002.09797, eq. 4 and 5).

One thing is different here. Slices of one man are so alike that his k-th neighbour is
himself, and no other man would ever lie in his balls. So a ball reaches to the k-th
neighbour among *other patients*. Taught in notebook 05.
"""

import numpy as np
import torch
from torch import Tensor

from vqlib.metrics.similarity import ms_ssim

NEIGHBOURS = 3  # k


def overlap(
    generated: np.ndarray,
    real: np.ndarray,
    patients: np.ndarray,
    own: np.ndarray | None = None,
    k: int = NEIGHBOURS,
    repeats: int = 8,
    seed: int = 0,
) -> dict[str, float]:
    """``precision``, ``recall``, ``density`` and ``coverage`` of features `[N, F]`
    against those of real slices `[M, F]`.

    All four depend on the sizes of the sets, so equally many real slices are drawn,
    ``repeats`` times, and the means returned.

    Args:
        generated: `[N, F]`.
        real: `[M, F]`, in the same units.
        patients: `[M]`, whose slice it is.
        own: `[N]`, likewise, where the first set is real as well (for a floor).
        k: which neighbour.
        repeats: draws.
        seed: of the draws.
    """
    own = np.arange(len(generated)) if own is None else np.asarray(own)
    patients, rng = np.asarray(patients), np.random.default_rng(seed)
    n, found = min(len(generated), len(real)), []
    for _ in range(repeats):
        g = rng.permutation(len(generated))[:n]
        r = rng.permutation(len(real))[:n]
        found.append(
            _overlap(generated[g], real[r], _radii(generated[g], own[g], k),
                     _radii(real[r], patients[r], k), k)
        )  # fmt: skip
    names = ("precision", "recall", "density", "coverage")
    return dict(zip(names, np.mean(found, 0).tolist(), strict=True))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).numpy()


def _radii(points: np.ndarray, groups: np.ndarray, k: int) -> np.ndarray:
    """Distance of each point to its k-th neighbour in other groups, `[N]`."""
    apart = _distances(points, points)
    apart[groups[:, None] == groups[None]] = np.inf
    if not np.isfinite(np.sort(apart, 1)[:, k - 1]).all():
        raise ValueError(f"a slice has fewer than {k} slices of other patients")
    return np.sort(apart, 1)[:, k - 1]


def _overlap(generated, real, generated_radii, real_radii, k: int) -> tuple:
    apart = _distances(generated, real)  # [N, M]
    in_real = apart < real_radii[None]
    in_generated = apart < generated_radii[:, None]
    return (
        in_real.any(1).mean(),
        in_generated.any(0).mean(),
        in_real.sum() / (k * len(generated)),
        in_real.any(0).mean(),
    )


@torch.no_grad()
def likeness(
    images: Tensor, groups: np.ndarray | None = None, pairs: int = 200, seed: int = 0
) -> float:
    """Mean MS-SSIM of random pairs of slices `[N, 1, H, W]` of different groups `[N]`.

    1 where one slice is made again and again. Read beside that of real slices, as in
    Odena et al. 2017 (arXiv 1610.09585, section 4.2).
    """
    groups = np.arange(len(images)) if groups is None else np.asarray(groups)
    first, second = np.nonzero(groups[:, None] < groups[None])
    chosen = np.random.default_rng(seed).permutation(len(first))[:pairs]
    return float(ms_ssim(images[first[chosen]], images[second[chosen]]).mean())
