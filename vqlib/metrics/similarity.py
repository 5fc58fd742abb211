"""How close reconstructions come, by one convention, with controls and intervals.

SSIM (Wang et al. 2004, doi 10.1109/TIP.2003.819861) with a Gaussian window of 11 and
sigma 1.5, ``data_range=1``, at the size of the run; MS-SSIM (Wang et al. 2003,
doi 10.1109/ACSSC.2003.1292216), PSNR and L1 beside it. Every slice has its own value:
a mean of batch means would give the last batch too much weight.

Slices of one scan are alike, so intervals come from resampling patients, not slices
(the cluster bootstrap: Davison and Hinkley 1997, section 3.8). Taught in notebook 01.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from vqlib.data import SliceDataset
from vqlib.losses import similarity_maps

WINDOW, SIGMA = 11, 1.5
PSNR_CAP = 100.0  # dB, a mean squared error of 1e-10
MS_SSIM_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from fine to coarse
SLICE_SCORES = ("ssim", "psnr", "ms_ssim", "l1", "ssim_body")
Reconstruct = Callable[[Tensor], Tensor]


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def ssim(a: Tensor, b: Tensor, batch_size: int = 256) -> Tensor:
    """SSIM of each pair of slices in [0, 1]: `[N, 1, H, W]` twice -> `[N]`.

    The mean over *all* pixels of ``(2 μa μb + c1)(2 σab + c2) / ((μa² + μb² + c1)
    (σa² + σb² + c2))``, Wang et al. 2004, eq. 13. Images are mirrored at their borders
    as in torchmetrics; Wang's program and scikit-image leave the outer 5 pixels out.

    >>> ssim(torch.full((2, 1, 16, 16), 0.5), torch.full((2, 1, 16, 16), 0.5))
    tensor([1., 1.])
    """
    pairs = zip(a.split(batch_size), b.split(batch_size), strict=True)
    return torch.cat([_ssim_map(x, y).mean((1, 2)) for x, y in pairs])


def _ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """SSIM at every pixel: `[B, 1, H, W]` twice -> `[B, H, W]`."""
    a, b = (F.pad(x, (WINDOW // 2,) * 4, mode="reflect") for x in (a, b))
    luminance, structure = similarity_maps(a, b, SIGMA, WINDOW)
    return luminance * structure


def ms_ssim(reconstruction: Tensor, target: Tensor) -> Tensor:
    """MS-SSIM: `[B, 1, H, W]` twice -> `[B]`.

    As many of its five scales as keep the window inside the image (3 at 128 x 64, 4 at
    256 x 128), their weights scaled to sum to 1; negative similarities count as 0.
    """
    side = min(target.shape[-2:])
    fits = [n for n in range(1, 5) if min(side >> n, side // n**2) >= WINDOW]
    betas = MS_SSIM_BETAS[: 1 + max(fits, default=0)]  # n² is torchmetrics' demand
    return multiscale_structural_similarity_index_measure(
        reconstruction,
        target,
        sigma=SIGMA,
        kernel_size=WINDOW,
        data_range=1.0,
        betas=tuple(beta / sum(betas) for beta in betas),
        normalize="relu",
        reduction="none",
    ).reshape(-1)


def slice_scores(
    reconstruction: Tensor,
    target: Tensor,
    body: Tensor | None = None,
    names: Sequence[str] = SLICE_SCORES,
) -> dict[str, Tensor]:
    """Those of `SLICE_SCORES` that are wanted, name -> `[B]`.

    ``psnr`` is −10 log10 of the mean squared error, in dB, at most 100, so that a blank
    slice does not make the mean infinite; ``l1`` the mean absolute error; ``ssim_body``
    the mean of the SSIM map inside the body, or the SSIM where the mask is empty.

    Args:
        reconstruction: `[B, 1, H, W]`, scored as it is, not clipped.
        target: `[B, 1, H, W]` in [0, 1], both sides at least 11 pixels.
        body: bool `[B, H, W]`; without it there is no ``ssim_body``.
        names: no other score is computed.
    """
    scores, error = {}, reconstruction - target
    if "ssim" in names or "ssim_body" in names:
        similarity = _ssim_map(reconstruction, target)  # [B, H, W]
        scores["ssim"] = similarity.mean((1, 2))
    if "psnr" in names:
        mse = error.square().mean((1, 2, 3))
        scores["psnr"] = (-10 * mse.log10()).clamp(max=PSNR_CAP)
    if "ms_ssim" in names:
        scores["ms_ssim"] = ms_ssim(reconstruction, target)
    if "l1" in names:
        scores["l1"] = error.abs().mean((1, 2, 3))
    if "ssim_body" in names and body is not None:
        area = body.sum((1, 2))
        inside = (similarity * body).sum((1, 2)) / area.clamp(min=1)
        scores["ssim_body"] = torch.where(area > 0, inside, scores["ssim"])
    return {name: scores[name] for name in names if name in scores}


@torch.no_grad()
def score(
    reconstruct: Reconstruct,
    dataset: SliceDataset,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    body: Tensor | None = None,
    names: Sequence[str] = SLICE_SCORES,
) -> dict[str, np.ndarray]:
    """`slice_scores` of every slice of a split: name -> float64 `[N]`.

    ``reconstruct`` maps `[B, 1, H, W]` on ``device`` to the same shape; ``body`` is
    what `body_masks` gives, for callers that score a split repeatedly.
    """
    if body is None and "ssim_body" in names:
        body = body_masks(dataset)
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(dataset), batch_size):
        rows = slice(start, start + batch_size)
        target = dataset.images[rows].to(device)
        mask = None if body is None else body[rows].to(device)
        scores = slice_scores(reconstruct(target), target, mask, names)
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

    Each of ``n`` resamples draws as many patients as there are, with replacement, and
    takes the mean over all their slices; the interval runs from the 2.5th to the 97.5th
    percentile of those means. It speaks of other patients of the same kind, and with
    few patients it is too narrow. Values and patients are `[N]`, one for each slice.

    >>> print(patient_bootstrap(np.array([0.0, 0.0, 1.0, 1.0]), np.array([4, 4, 7, 7])))
    0.500 (0.000 to 1.000)
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
    """The first control: answers every slice with the mean image of the train split."""
    mean = train.images.double().mean(0, keepdim=True).float()  # [1, 1, H, W]
    return lambda x: mean.to(x).expand_as(x)
