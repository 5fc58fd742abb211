"""The Fréchet distance between sets of features, without the bias of small sets.

``|m1 − m2|² + tr(C1 + C2 − 2 (C1 C2)^½)`` for Gaussians fitted to both sets (Dowson and
Landau 1982; for generated images Heusel et al. 2017, arXiv 1706.08500). Its estimate is
too large for small sets, by a bias that falls as 1/n (Chong and Forsyth 2020,
arXiv 1911.07023). They extrapolate a line through many sizes to 1/n = 0; two sizes
suffice for a line, so `unbiased_frechet` takes n and n/2. The law needs more slices
than features, hence `principal_axes`. Taught in notebook 05.
"""

from typing import NamedTuple

import numpy as np

AXES = 12  # so many principal axes: well under half of a set of 64
FINEST = 0.02  # a difference in grey value or log power that nobody would mind


class Axes(NamedTuple):
    """A few directions in which real slices differ most."""

    mean: np.ndarray  # [F]
    unit: np.ndarray  # [F]
    directions: np.ndarray  # [F, A], orthonormal


def principal_axes(
    features: np.ndarray, alike: bool = False, count: int = AXES
) -> Axes:
    """The first principal axes of features `[N, F]` of real slices.

    Each feature is divided by its standard deviation, if that is more than `FINEST`;
    where all are ``alike``, as in a layer of a network, by one number for all, so that
    one which hardly ever varies does not count as much as the others.
    """
    mean, unit = features.mean(0), features.std(0)
    if alike:
        unit = np.full_like(unit, np.sqrt(np.square(unit).mean()))
    unit = np.maximum(unit, FINEST)  # or what is nearly constant would decide all
    _, _, directions = np.linalg.svd((features - mean) / unit, full_matrices=False)
    return Axes(mean, unit, directions[:count].T)


def project(features: np.ndarray, axes: Axes) -> np.ndarray:
    """Features `[N, F]` on axes: `[N, A + 1]`.

    The last number is how far the slice lies from all the axes: what no real slice
    does shows there, where principal axes alone would be blind to it.
    """
    centred = (features - axes.mean) / axes.unit
    along = centred @ axes.directions  # [N, A]
    rest = np.linalg.norm(centred - along @ axes.directions.T, axis=1)
    return np.column_stack([along, rest])


def between_gaussians(
    mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray
) -> float:
    """Squared Fréchet distance of two Gaussians, means `[F]`, covariances `[F, F]`."""
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    overlap = np.linalg.eigvalsh(root @ cov_b @ root)  # those of cov_a @ cov_b
    trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(overlap.clip(0)).sum()
    return float(max(0.0, np.square(mean_a - mean_b).sum() + trace))


def unbiased_frechet(
    generated: np.ndarray, real: np.ndarray, repeats: int = 16, seed: int = 0
) -> float:
    """Squared Fréchet distance of `[N, F]`, `[M, F]`, extrapolated to endless sets.

    With n the even size that both can give, d(n) the mean distance of random subsets of
    that size and d = d(∞) + c/n, this is 2 d(n) − d(n/2). For two sets of one
    distribution it scatters around 0 and so can be negative. The bias that is removed
    is that of few slices; that of few patients stays, and shows in the floor.

    Raises ValueError where half a set has no more slices than features.
    """
    n = min(len(generated), len(real)) // 2 * 2
    if generated.shape[1:] != real.shape[1:] or n // 2 <= real.shape[1]:
        raise ValueError(
            f"sets of shapes {generated.shape} and {real.shape}: both need the same "
            "features, and more than twice as many rows"
        )
    rng, half = np.random.default_rng(seed), n // 2
    whole, halves = [], []
    for _ in range(repeats):
        a = generated[rng.permutation(len(generated))[:n]]
        b = real[rng.permutation(len(real))[:n]]
        whole.append(_fitted(a, b))
        halves += [_fitted(a[:half], b[:half]), _fitted(a[half:], b[half:])]
    return float(2 * np.mean(whole) - np.mean(halves))


def _fitted(a: np.ndarray, b: np.ndarray) -> float:
    return between_gaussians(
        a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False)
    )
