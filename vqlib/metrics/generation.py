"""Is the generator any good? Distances between sets of slices.

There is no target to compare a sample with, so sets are compared: the Fréchet distance
between Gaussians fitted to features of real and of generated slices (Heusel et al.
2017, arXiv 1706.08500).

The features are not those of an Inception network, which needs a download and has seen
no MR. They are four plain families that a reader can name: power by spatial frequency
(sharpness, noise), grey-value quantiles (contrast), gradient energy at three scales
(edges, seams) and the mean of each cell of a coarse grid (where the anatomy lies). So
the values are comparable with each other, never with a published FID. Taught in
notebook 05.
"""

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from vqlib.metrics.frechet import between_gaussians

BANDS = 10  # of spatial frequency
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
SCALES = 3  # of gradient energy: the slice, and averaged over 2 x 2 and 4 x 4
CELLS = (8, 4)  # of the coarse grid


@torch.no_grad()
def texture_features(images: Tensor, batch_size: int = 256) -> np.ndarray:
    """Features of slices `[N, 1, H, W]` in [0, 1]: float64 `[N, 56]`.

    In this order: log mean power in 10 rings of spatial frequency up to Nyquist's; 8
    quantiles of the grey values; log mean squared gradient along both axes at 3 scales;
    the means of 8 x 4 cells. Both sides must be multiples of 8 and at least 32.
    """
    rows = [_features(batch.double()) for batch in images.split(batch_size)]
    return torch.cat(rows).cpu().numpy()


def _features(x: Tensor) -> Tensor:
    gradients, small = [], x
    for scale in range(SCALES):
        small = avg_pool2d(small, 2) if scale else small
        for axis in (-2, -1):
            gradients.append(small.diff(dim=axis).square().mean((1, 2, 3)))
    levels = torch.tensor(QUANTILES, dtype=x.dtype, device=x.device)
    return torch.cat(
        [
            _ring_power(x[:, 0]),  # [N, 10]
            torch.quantile(x.flatten(1), levels, dim=1).T,  # [N, 8]
            torch.log(torch.stack(gradients, 1) + 1e-6),  # [N, 6]
            adaptive_avg_pool2d(x, CELLS).flatten(1),  # [N, 32]
        ],
        dim=1,
    )


def _ring_power(x: Tensor) -> Tensor:
    """Log mean power of `[N, H, W]` by distance from frequency 0, which is left out."""
    height, width = x.shape[-2:]
    power = torch.fft.fft2(x, norm="ortho").abs().square().flatten(1)  # [N, H*W]
    fy = torch.fft.fftfreq(height, device=x.device)[:, None]
    fx = torch.fft.fftfreq(width, device=x.device)[None, :]
    radius = torch.hypot(fy, fx).flatten() / 0.5  # 1 at Nyquist's frequency
    ring = (radius * BANDS).long().clamp(max=BANDS)  # corners beyond 1: dropped
    ring[radius == 0] = BANDS
    sums = x.new_zeros(len(x), BANDS + 1).index_add_(1, ring, power)
    counts = torch.bincount(ring, minlength=BANDS + 1).clamp(min=1)
    return torch.log(sums / counts + 1e-6)[:, :BANDS]


def frechet_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets `[N, F]`, `[M, F]`.

    ``|m1 − m2|² + tr(C1 + C2 − 2 (C1 C2)^½)``. Every feature is first divided by its
    standard deviation over the real set, so that no family counts more for its unit.

    Small samples: covariances are shrunk towards a multiple of the identity (Ledoit and
    Wolf 2004, doi 10.1016/S0047-259X(03)00096-4), which keeps them of full rank with
    fewer slices than features. The value still falls with the number of slices. Compare
    sets of one size, and read a value beside that of real slices of other patients.
    Raises ValueError for sets of fewer than two or of unlike features.
    """
    a, b = np.asarray(generated, np.float64), np.asarray(real, np.float64)
    if min(len(a), len(b)) < 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"cannot compare sets of shapes {a.shape} and {b.shape}")
    unit = b.std(0)
    unit[unit < 1e-6] = 1.0  # what never varies in the real set keeps its own unit
    a, b = a / unit, b / unit
    cov_a, cov_b = ledoit_wolf(a)[0], ledoit_wolf(b)[0]
    return between_gaussians(a.mean(0), cov_a, b.mean(0), cov_b)
