"""How close reconstructions come, by one convention, with controls and intervals.

SSIM (Wang et al. 2004, doi 10.1109/TIP.2003.819861) with a Gaussian window of 11 and
sigma 1.5, ``data_range=1``, at the size of the run; MS-SSIM (Wang et al. 2003,
doi 10.1109/ACSSC.2003.1292216), PSNR and L1 beside it. All by torchmetrics, a value for
each slice: a mean of batch means would weigh the last batch too much.

Slices of one scan are alike, so intervals come from resampling patients, not slices
(the cluster bootstrap: Davison and Hinkley 1997, section 3.8). Taught in notebook 01.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from vqlib.data import SliceDataset

WINDOW, SIGMA = 11, 1.5  # torchmetrics derives the window from sigma: 2 * 5 + 1
PSNR_CAP = 100.0  # dB, a mean squared error of 1e-10
MS_SSIM_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from fine to coarse

Reconstruct = Callable[[Tensor], Tensor]


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def slice_scores(
    reconstruction: Tensor, target: Tensor, body: Tensor | None = None
) -> dict[str, Tensor]:
    """Scores of a batch, each `[B]`: ``ssim``, ``psnr``, ``ms_ssim``, ``l1`` and, where
    body masks are given, ``ssim_body``.

    Args:
        reconstruction: `[B, 1, H, W]`, scored as it is, not clipped.
        target: `[B, 1, H, W]` in [0, 1], both sides at least 11 pixels.
        body: bool `[B, H, W]`.

    What the definitions leave open:

    - SSIM is the mean of the map over *all* pixels. torchmetrics mirrors the image at
      its borders, where Wang's program and scikit-image drop the outermost 5 pixels.
    - MS-SSIM takes as many of its five scales as keep the window inside the image (3 at
      128 x 64, 4 at 256 x 128), their weights scaled to sum to 1; negative similarities
      count as 0.
    - PSNR is at most 100 dB, so that a perfect slice (a blank one, say) does not make
      the mean infinite.
    - ``ssim_body`` is the mean of the SSIM map inside the mask. A slice with an empty
      mask counts with its SSIM: every slice has a value.
    """
    _, ssim_map = structural_similarity_index_measure(
        reconstruction,
        target,
        sigma=SIGMA,
        kernel_size=WINDOW,
        data_range=1.0,
        reduction="none",
        return_full_image=True,
    )  # [B, 1, H, W]
    psnr = peak_signal_noise_ratio(
        reconstruction, target, data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    scores = {
        "ssim": ssim_map.mean((1, 2, 3)),
        "psnr": psnr.clamp(max=PSNR_CAP),
        "ms_ssim": ms_ssim(reconstruction, target),
        "l1": (reconstruction - target).abs().mean((1, 2, 3)),
    }
    if body is not None:
        inside = body.flatten(1).to(ssim_map.dtype)  # [B, H*W]
        area = inside.sum(1)
        summed = (ssim_map.flatten(1) * inside).sum(1)
        mean = summed / area.clamp(min=1)
        scores["ssim_body"] = torch.where(area > 0, mean, scores["ssim"])
    return scores


def ms_ssim_scales(size: tuple[int, int]) -> int:
    """Of the five scales of MS-SSIM, those at which the window fits."""
    side, scales = min(size), len(MS_SSIM_BETAS)
    while scales > 1 and (
        side >> (scales - 1) < WINDOW
        or side // (scales - 1) ** 2 < WINDOW  # torchmetrics asks for this as well
    ):
        scales -= 1
    return scales


def ms_ssim(reconstruction: Tensor, target: Tensor) -> Tensor:
    """The ``ms_ssim`` of `slice_scores` alone: `[B, 1, H, W]` twice → `[B]`."""
    betas = np.array(MS_SSIM_BETAS[: ms_ssim_scales(tuple(target.shape[-2:]))])
    score = multiscale_structural_similarity_index_measure(
        reconstruction,
        target,
        sigma=SIGMA,
        kernel_size=WINDOW,
        data_range=1.0,
        betas=tuple((betas / betas.sum()).tolist()),
        normalize="relu",
        reduction="none",
    )
    return score.reshape(-1)


@torch.no_grad()
def score(
    reconstruct: Reconstruct,
    dataset: SliceDataset,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    body: Tensor | None = None,
) -> dict[str, np.ndarray]:
    """`slice_scores` of every slice of a split: name → float64 `[N]`.

    ``reconstruct`` maps `[B, 1, H, W]` on ``device`` to the same shape. ``body`` is
    what `body_masks` gives for the data set, for callers that score it repeatedly.
    """
    body = body_masks(dataset) if body is None else body
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(dataset), batch_size):
        rows = slice(start, start + batch_size)
        target = dataset.images[rows].to(device)
        scores = slice_scores(reconstruct(target), target, body[rows].to(device))
        for name, values in scores.items():
            parts.setdefault(name, []).append(values.cpu())
    return {name: torch.cat(values).double().numpy() for name, values in parts.items()}


def body_masks(dataset: SliceDataset) -> Tensor:
    """Where the body is: bool `[N, H, W]`.

    Labels above 0 where the data set has labels. Else the largest connected region
    that is brighter than 0.1 after smoothing (the background of a magnitude image is
    dark), with its gaps of up to about 20 mm closed, as where dark cortical bone leaves
    the picture, and its holes filled. A slice without such a region has an empty mask.
    """
    if dataset.labels is not None:
        return dataset.labels > 0
    pixel = dataset.images.shape[-2] / 256  # of a native slice, in pixels of this size
    masks = [_largest_region(image, pixel) for image in dataset.images[:, 0].numpy()]
    return torch.from_numpy(np.stack(masks))


def _largest_region(image: np.ndarray, pixel: float) -> np.ndarray:
    regions, count = ndimage.label(ndimage.gaussian_filter(image, pixel) > 0.1)
    if count == 0:
        return np.zeros(image.shape, bool)
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0  # the background
    gap = max(1, round(6 * pixel))
    # repeated at the borders, or closing would eat what touches them
    region = np.pad(regions == sizes.argmax(), gap, mode="edge")
    region = ndimage.binary_closing(region, iterations=gap)[gap:-gap, gap:-gap]
    return ndimage.binary_fill_holes(region)


def patient_bootstrap(
    values: np.ndarray, patients: np.ndarray, n: int = 2000, seed: int = 0
) -> Interval:
    """The mean over every slice, with a 95 % interval by resampling patients.

    Each of the ``n`` resamples draws as many patients as there are, with replacement,
    and takes the mean over all their slices; the interval runs from the 2.5th to the
    97.5th percentile of those means. It speaks of other patients of the same kind, and
    with few patients it is too narrow; of one patient it has no width.

    Args:
        values: `[N]`, a score for each slice.
        patients: `[N]`, whose slice it is.
        n: resamples.
        seed: the same seed gives the same interval.
    """
    values = np.asarray(values, dtype=np.float64)
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    sums = np.bincount(owner, weights=values)  # by patient
    counts = np.bincount(owner)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(n, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)  # [n]
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, patients: np.ndarray, n: int = 2000, seed: int = 0
) -> Interval:
    """`patient_bootstrap` of the difference a − b on the same slices.

    What is hard about a patient is hard for both models and cancels: the interval is
    far narrower than those of the two scores suggest. Where it leaves out 0, the one
    model is better on such patients beyond the chance of who was scanned.
    """
    return patient_bootstrap(np.asarray(a) - np.asarray(b), patients, n, seed)


def mean_image_reconstruct(train: SliceDataset) -> Reconstruct:
    """The first control: answers every slice with the mean image of the train split.

    A score that a model has in common with it was earned by the data.
    """
    mean = train.images.double().mean(0, keepdim=True).float()  # [1, 1, H, W]

    def reconstruct(x: Tensor) -> Tensor:
        return mean.to(x).expand_as(x)

    return reconstruct
