"""How alike two kinds of slices are in brightness, texture and edges.

No pixel of one set belongs to a pixel of the other, so only distributions can be
compared: grey values in the body, power by spatial frequency, lengths of the intensity
gradient, and noise. `describe` sums up a set in a `Portrait`, a few hundred numbers
that can be stored and shared where the images may not; `distances` compares two.
Everything is measured in the middle three quarters of the width of those slices that
the body fills there, so that padding, the edge of the field of view and the amount of
air say nothing. Taught in notebook 01.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.stats import kurtosis
from sklearn.mixture import GaussianMixture
from torch import Tensor

from vqlib.data import LABEL_NAMES, PIXEL_MM
from vqlib.metrics.sharpness import gradient, ring_totals, spectrum

LEVELS = (np.arange(100) + 0.5) / 100  # of the quantiles: equal shares of the pixels
BAND = (0.02, 0.14)  # cycles per mm: structures 50 to 7 mm long, seen at either size
RINGS = 24  # of the power spectrum, up to the Nyquist frequency
EDGE_PER_MM = 0.05  # a gradient this steep is an edge: 1/20 of the bright fat per mm
WIDTH = 0.75  # share of the slice's left–right width that is looked at
FILLED = 0.9  # share of that field that the body must fill
CLUSTERS = ("dark", "middle", "bright")  # tissue without labels, by brightness


@dataclass(frozen=True)
class Portrait:
    """What `describe` finds in a set of slices; plain numbers, ready for JSON."""

    slices: int  # that the body fills, and that were measured
    spacing: tuple[float, float]  # mm, left–right and inferior–superior
    intensity: list[float]  # quantiles of the grey values in the body, at `LEVELS`
    tissues: dict[str, dict[str, float]]  # share, median, and spread (IQR) of each
    frequency: list[float]  # cycles per mm, middle of each ring
    power: list[float]  # density, grey value squared times mm²
    slope: float  # of log power on log frequency within `BAND`
    gradient: list[float]  # quantiles of the gradient's length per mm, at `LEVELS`
    edge_density: float  # share of the body's pixels with a gradient ≥ `EDGE_PER_MM`
    gradient_kurtosis: float  # excess; large where few sharp edges part flat regions
    noise_tissue: float  # white noise in the body, in grey values
    noise_air: float | None  # Rician sigma of the air; None where there is none

    def to_dict(self) -> dict:
        """For JSON; ``Portrait(**portrait.to_dict())`` gives it back."""
        return asdict(self)


def describe(
    images: Tensor,
    body: Tensor,
    labels: Tensor | None = None,
    spacing: tuple[float, float] | None = None,
) -> Portrait:
    """The portrait of slices `[N, 1, H, W]`, scaled to [0, 1] volume by volume.

    Args:
        images: float, H runs left–right.
        body: bool `[N, H, W]`, from `vqlib.metrics.body_masks`.
        labels: `[N, H, W]`; tissues are then the labelled ones, else three clusters.
        spacing: mm along H and W; by default that of HipMRI at this size.

    Raises `ValueError` where the body fills the field of no slice.
    """
    if spacing is None:
        spacing = tuple(mm * 256 / images.shape[-2] for mm in PIXEL_MM)
    noise_air = _air_noise(images, body)
    margin = round(images.shape[-2] * (1 - WIDTH) / 2)
    field = slice(margin, images.shape[-2] - margin)
    filled = body[:, field].float().mean((1, 2)) >= FILLED
    if not filled.any():
        raise ValueError("the body fills the field of no slice")
    images, body = images[filled][:, :, field], body[filled][:, field]
    grey = images[:, 0][body].double().cpu().numpy()
    tissue = (
        _by_label(images[:, 0], labels[filled][:, field])
        if labels is not None
        else _by_cluster(grey)
    )
    frequency, power = power_spectrum(images, spacing)
    steep = gradient_lengths(images, body, spacing)
    return Portrait(
        slices=len(images),
        spacing=spacing,
        intensity=_short(np.quantile(grey, LEVELS)),
        tissues=tissue,
        frequency=_short(frequency),
        power=_short(power),
        slope=spectral_slope(frequency, power),
        gradient=_short(np.quantile(steep, LEVELS)),
        edge_density=float((steep >= EDGE_PER_MM).mean()),
        gradient_kurtosis=float(kurtosis(steep)),
        noise_tissue=tissue_noise(images, body),
        noise_air=noise_air,
    )


def distances(ours: Portrait, real: Portrait) -> dict[str, float]:
    """How far ``ours`` is from ``real``; each is 0 between a set and itself.

    ``intensity`` and ``gradient`` are Wasserstein-1 distances, ∫|Q₁(u) − Q₂(u)| du for
    quantile functions Q (Ramdas et al. 2017, doi 10.3390/e19020047, prop. 1), in grey
    values and in grey values per mm; ``spectrum_db`` is the root mean square difference
    of the power spectra in decibels, over the frequencies that both have; ``slope``,
    ``edge_density`` (as a ratio, ours / real − 1), ``kurtosis`` and ``noise_tissue``
    are differences, ours − real.
    """
    top = min(ours.frequency[-1], real.frequency[-1])
    grid = np.linspace(BAND[0], top, 64)
    ours_db, real_db = (
        np.interp(grid, p.frequency, 10 * np.log10(np.maximum(p.power, 1e-12)))
        for p in (ours, real)
    )
    return {
        "intensity": _wasserstein(ours.intensity, real.intensity),
        "gradient": _wasserstein(ours.gradient, real.gradient),
        "spectrum_db": float(np.sqrt(np.square(ours_db - real_db).mean())),
        "slope": ours.slope - real.slope,
        "edge_density": ours.edge_density / max(real.edge_density, 1e-9) - 1,
        "kurtosis": ours.gradient_kurtosis - real.gradient_kurtosis,
        "noise_tissue": ours.noise_tissue - real.noise_tissue,
    }


def power_spectrum(
    images: Tensor, spacing: tuple[float, float], rings: int = RINGS
) -> tuple[np.ndarray, np.ndarray]:
    """Radially averaged power spectral density of `[N, 1, H, W]`, under a Hann window.

    Frequencies in cycles per mm and densities in grey value² mm², both `[rings]`. The
    density does not depend on the number of slices or pixels, so that sizes compare.
    """
    height, width = images.shape[-2:]
    power = spectrum(images).abs().square()  # [N, H, W]
    frequency, total = ring_totals(power, spacing, rings)
    _, count = ring_totals(torch.ones_like(power), spacing, rings)
    window = (3 / 8) ** 2 * height * width  # mean square of a Hann window, twice
    return frequency, total / np.maximum(count, 1) * spacing[0] * spacing[1] / window


def spectral_slope(
    frequency: np.ndarray, power: np.ndarray, band: tuple[float, float] = BAND
) -> float:
    """Least-squares slope of log power on log frequency within a band (cycles per mm).

    White noise has 0, natural images about −2 (Field 1987, doi 10.1364/JOSAA.4.002379).
    """
    inside = (frequency >= band[0]) & (frequency <= band[1])
    x, y = np.log(frequency[inside]), np.log(np.maximum(power[inside], 1e-12))
    return float(np.polyfit(x, y, 1)[0])


def gradient_lengths(
    images: Tensor, body: Tensor, spacing: tuple[float, float]
) -> np.ndarray:
    """Lengths of the intensity gradient of `[N, 1, H, W]`, per mm, inside ``body``
    `[N, H, W]` without its outermost pixels: float64, one for each such pixel."""
    inside = _inner(body)[:, :-1, :-1]
    per_mm = torch.tensor(spacing, dtype=images.dtype)[:, None, None]
    length = (gradient(images) / per_mm).square().sum(1).sqrt()  # [N, H-1, W-1]
    return length[inside].double().cpu().numpy()


def tissue_noise(images: Tensor, body: Tensor) -> float:
    """White noise inside the body, as a standard deviation.

    Immerkær's mask, the difference of two Laplacians, is blind to flat and to evenly
    rising intensity (1996, doi 10.1006/cviu.1996.0060); the median of its length
    ignores the few pixels on edges. Texture at the scale of a pixel counts as noise,
    and noise smoothed by interpolation counts less than it is.
    """
    mask = np.outer([1, -2, 1], [1, -2, 1])[None] / 6
    response = ndimage.convolve(images[:, 0].double().cpu().numpy(), mask)
    return float(np.median(np.abs(response[_inner(body).numpy()])) / 0.6745)


def _air_noise(images: Tensor, body: Tensor) -> float | None:
    """Sigma from the mean of the air, σ √(π/2), which is Rayleigh distributed
    (Gudbjartsson & Patz 1995); exact zeros are padding."""
    air = images[:, 0][~_grown(body)]
    air = air[air > 0].double()
    return float(air.mean() / np.sqrt(np.pi / 2)) if len(air) > 1000 else None


def _inner(body: Tensor) -> Tensor:
    """Without its outermost two pixels."""
    shape = np.ones((1, 5, 5), bool)
    return torch.from_numpy(ndimage.binary_erosion(body.cpu().numpy(), shape))


def _grown(body: Tensor) -> Tensor:
    shape = np.ones((1, 9, 9), bool)
    return torch.from_numpy(ndimage.binary_dilation(body.cpu().numpy(), shape))


def _by_label(images: Tensor, labels: Tensor) -> dict[str, dict[str, float]]:
    total = int((labels > 0).sum())
    found = {}
    for value, name in enumerate(LABEL_NAMES):
        grey = images[labels == value].double().cpu().numpy()
        if value and len(grey):
            found[name] = _summary(grey, len(grey) / total)
    return found


def _by_cluster(grey: np.ndarray, most: int = 50_000) -> dict[str, dict[str, float]]:
    """Three normal distributions fitted to the grey values, from dark to bright: air
    with gas, cortex and muscle tend to one end, fat and marrow to the other."""
    some = grey[:: max(1, len(grey) // most)][:, None]
    start = np.quantile(some, (0.1, 0.5, 0.9))[:, None]
    model = GaussianMixture(len(CLUSTERS), means_init=start, random_state=0).fit(some)
    rank = np.argsort(np.argsort(model.means_[:, 0]))
    owner = rank[model.predict(some)]
    return {
        name: _summary(some[owner == i, 0], float((owner == i).mean()))
        for i, name in enumerate(CLUSTERS)
        if (owner == i).any()
    }


def _summary(grey: np.ndarray, share: float) -> dict[str, float]:
    low, middle, high = np.quantile(grey, (0.25, 0.5, 0.75))
    return {"share": share, "median": float(middle), "spread": float(high - low)}


def _short(values: np.ndarray) -> list[float]:
    """Five digits are enough, and keep stored portraits small."""
    return [float(f"{value:.5g}") for value in values]


def _wasserstein(a: list[float], b: list[float]) -> float:
    return float(np.abs(np.subtract(a, b)).mean())
