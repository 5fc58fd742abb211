"""How blurred reconstructions are: edges and detail, measured against the truth.

A score such as SSIM mixes everything that can go wrong. These numbers ask one question:
how much of the truth's edges, and of its detail at each spatial frequency, comes back,
in its own place. What comes back in the wrong place (invented texture) is kept apart
from what is lost. Taught in notebook 02, section 2.8; used again in 03.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from vqlib.metrics.generation import spectral_rings

# sigmas tried by `equivalent_blur`, in pixels
BLURS = np.array([*np.arange(0.0, 2.0, 0.25), *np.arange(2.0, 6.1, 0.5)])
NO_EDGES = 1e-9  # mean squared gradient of a blank slice


class Detail(NamedTuple):
    """Detail of reconstructions by spatial frequency, as a share of the target's."""

    frequency: np.ndarray  # [bands] middle of each ring, cycles per unit of `spacing`
    power: np.ndarray  # [bands] power of the reconstruction / that of the target
    in_place: np.ndarray  # [bands] what of it agrees with the target


def edge_recovery(reconstruction: Tensor, target: Tensor) -> Tensor:
    """The share of the target's edges that is there in place, `[B]`: the least-squares
    slope of the reconstruction's gradients on the target's, Σ g_r · g_t / Σ |g_t|². 1
    for the target itself, ½ for an edge at half its height, 0 for a flat image; a
    target without edges gives 1."""
    ours, true = _gradient(reconstruction), _gradient(target)  # [B, 2, H-1, W-1]
    shared = (ours * true).mean((1, 2, 3))
    energy = true.square().mean((1, 2, 3))
    slope = shared / energy.clamp(min=NO_EDGES)
    return torch.where(energy > NO_EDGES, slope, torch.ones_like(slope))


def equivalent_blur(reconstruction: Tensor, target: Tensor) -> np.ndarray:
    """Blur as a length: the sigma in pixels, from 0 to 6, at which a Gaussian filter of
    the *target* has the `edge_recovery` of the reconstruction; float64 `[B]`."""
    recovery = edge_recovery(reconstruction, target).cpu().double().numpy()  # [B]
    truth = target.float().cpu()
    tried = [edge_recovery(blurred(truth, sigma), truth).numpy() for sigma in BLURS]
    falling = np.minimum.accumulate(np.stack(tried))  # [sigmas, B]
    return np.array(
        [
            np.interp(-value, -curve, BLURS)
            for value, curve in zip(recovery, falling.T, strict=True)
        ]
    )


def detail_by_frequency(
    reconstruction: Tensor,
    target: Tensor,
    spacing: tuple[float, float] = (1.0, 1.0),
    bands: int = 12,
) -> Detail:
    """Radial power spectrum of reconstructions against the truth `[N, 1, H, W]`, over a
    whole set, in ``bands`` rings up to the Nyquist frequency of the coarser axis.

    With Fourier transforms R and T, summed over a ring and all slices, ``power`` is
    Σ|R|² / Σ|T|² and ``in_place`` is Σ Re(R T*) / Σ|T|². Where they are equal, the rest
    is missing; where ``power`` is larger, the difference was invented.
    """
    ours, true = _spectrum(reconstruction), _spectrum(target)  # [N, H, W] complex
    ring = spectral_rings(target.shape[-2:], bands, spacing)
    energy, power, shared = (
        torch.zeros(bands + 1, dtype=torch.float64)
        .index_add_(0, ring, values.sum(0).flatten())[:bands]
        .numpy()
        for values in (true.abs() ** 2, ours.abs() ** 2, (ours * true.conj()).real)
    )
    frequency = (np.arange(bands) + 0.5) / bands * 0.5 / max(spacing)
    energy = energy.clip(1e-12)
    return Detail(frequency=frequency, power=power / energy, in_place=shared / energy)


def _spectrum(images: Tensor) -> Tensor:
    """Fourier transform of `[N, 1, H, W]` under a Hann window, which keeps the jump
    between opposite borders (anatomy goes on beyond the slice) out of it: complex
    `[N, H, W]`."""
    image = images[:, 0].cpu().double()
    image = image - image.mean((1, 2), keepdim=True)
    rows, columns = (
        torch.hann_window(n, dtype=torch.float64) for n in image.shape[-2:]
    )
    return torch.fft.fft2(image * rows[:, None] * columns)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """A Gaussian filter of `[N, 1, H, W]`, mirrored at the borders."""
    values = images.cpu().numpy()
    return torch.from_numpy(ndimage.gaussian_filter(values, sigma, axes=(2, 3)))


def _gradient(images: Tensor) -> Tensor:
    """Forward differences along both axes: [B, 1, H, W] -> [B, 2, H-1, W-1]."""
    image = images[:, 0]
    along_h = image[:, 1:, :-1] - image[:, :-1, :-1]
    along_w = image[:, :-1, 1:] - image[:, :-1, :-1]
    return torch.stack([along_h, along_w], dim=1)
