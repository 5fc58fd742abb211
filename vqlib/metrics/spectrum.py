"""Detail by spatial frequency: Fourier transforms of slices, summed over rings.

The power spectral density does not depend on how many slices or pixels there are, so
that sets and sizes compare. Taught in notebook 02, section 2.9.
"""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

Spacing = tuple[float, float]  # size of a pixel along both axes


def spectrum(images: Tensor) -> Tensor:
    """Fourier transform of `[N, 1, H, W]` under a Hann window, which keeps the jump
    between opposite borders (anatomy goes on beyond the slice) out of it: complex
    `[N, H, W]`."""
    image = images[:, 0].double().cpu()
    image = image - image.mean((1, 2), keepdim=True)
    rows, columns = (
        torch.hann_window(n, dtype=torch.float64) for n in image.shape[-2:]
    )
    return torch.fft.fft2(image * rows[:, None] * columns)


def ring_totals(
    values: Tensor, spacing: Spacing, rings: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over rings of spatial frequency of `[N, H, W]`, in the order of the FFT.

    The middle of each ring (cycles per unit of ``spacing``) and the sum over all slices
    and frequencies in it, both `[rings]`. Rings are equally wide and end at the Nyquist
    frequency of the coarser axis; frequency 0 is left out.
    """
    height, width = values.shape[-2:]
    fy = torch.fft.fftfreq(height, spacing[0], dtype=torch.float64)[:, None]
    fx = torch.fft.fftfreq(width, spacing[1], dtype=torch.float64)[None, :]
    nyquist = 0.5 / max(spacing)
    radius = torch.hypot(fy, fx).flatten()
    ring = (radius / nyquist * rings).long()
    seen = (ring < rings) & (radius > 0)
    total = values.sum(0).flatten()[seen]
    zeros = torch.zeros(rings, dtype=torch.float64)
    middle = (np.arange(rings) + 0.5) / rings * nyquist
    return middle, zeros.index_add_(0, ring[seen], total).numpy()


def power_spectrum(
    images: Tensor, spacing: Spacing, rings: int = 24
) -> tuple[np.ndarray, np.ndarray]:
    """Radially averaged power spectral density of `[N, 1, H, W]`.

    Frequencies in cycles per unit of ``spacing`` and densities in grey value² times its
    area, both `[rings]`.
    """
    height, width = images.shape[-2:]
    power = spectrum(images).abs().square()  # [N, H, W]
    frequency, total = ring_totals(power, spacing, rings)
    _, count = ring_totals(torch.ones_like(power), spacing, rings)
    window = (3 / 8) ** 2 * height * width  # mean square of a Hann window, twice
    return frequency, total / np.maximum(count, 1) * spacing[0] * spacing[1] / window


def blurred(images: Tensor, sigma: float) -> Tensor:
    """A Gaussian filter, mirrored at the borders, as two matrix products: many times
    faster on a whole set than filtering slice by slice."""
    if sigma == 0:
        return images
    rows, columns = (
        torch.from_numpy(ndimage.gaussian_filter1d(np.eye(n), sigma, axis=0)).to(images)
        for n in images.shape[-2:]
    )
    return rows @ images @ columns.T
