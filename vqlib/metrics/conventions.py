"""One pair of images, one formula, many values: SSIM by the conventions in use.

SSIM (Wang et al. 2004, doi 10.1109/TIP.2003.819861) leaves open which range the values
have, at which size and in which window they are compared, and over what the map is
averaged. Papers rarely say. The formula is written out here with everything that it
leaves open as an argument, so that nothing differs but the convention; the project's
own, `vqlib.metrics.slice_scores`, must agree with it. What goes wrong in practice:
Nilsson and Akenine-Möller 2020, arXiv 2006.13846; Venkataramanan et al. 2021,
doi 10.1109/ACCESS.2021.3056504.

Taught in notebook 01, section 1.13.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

OURS = "this project"


class Reading(NamedTuple):
    """What one convention says about a pair."""

    value: float
    remark: str  # whose habit, or what it does


def gaussian_window(sigma: float = 1.5, size: int = 11) -> Tensor:
    """The weights of the window, `[size, size]`, with sum 1."""
    bell = torch.exp(-((torch.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    return torch.outer(bell, bell) / bell.sum() ** 2


def flat_window(size: int = 7) -> Tensor:
    """Every pixel of the window weighs the same, `[size, size]`."""
    return torch.full((size, size), size**-2.0)


def ssim_map(
    x: Tensor, y: Tensor, data_range: float = 1.0, window: Tensor | None = None
) -> Tensor:
    """SSIM around each pixel of `[B, 1, H, W]`, borders mirrored; the same shape.

    Equation 13 of Wang et al. with c₁ = (0.01 L)², c₂ = (0.03 L)². The window is
    `gaussian_window` where none is given.
    """
    window = gaussian_window() if window is None else window
    margin = len(window) // 2

    def mean(image: Tensor) -> Tensor:
        padded = pad(image, (margin,) * 4, mode="reflect")
        return conv2d(padded, window[None, None].to(image))

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    brightness = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    return brightness * (2 * cov + c2) / (vx + vy + c2)


def ssim_by_conventions(
    reconstruction: Tensor, target: Tensor, body: Tensor
) -> dict[str, Reading]:
    """One pair by every convention: name → value and remark, ours first.

    Args:
        reconstruction: `[1, 1, H, W]`.
        target: `[1, 1, H, W]` in [0, 1], both sides even.
        body: bool `[H, W]`, where the body is; all of the slice where it is empty.
    """
    body = body if body.any() else torch.ones_like(body)
    pair = reconstruction, target
    signed = [2 * image - 1 for image in pair]
    scores = [(image - target.mean()) / target.std() for image in pair]
    bytes_ = [(255 * image).round() for image in pair]
    smaller = [avg_pool2d(image, 2) for image in pair]
    larger = [_resize(image, [2 * n for n in image.shape[-2:]]) for image in pair]
    square = [_resize(image, [max(image.shape)] * 2) for image in pair]
    whole = ssim_map(*pair)
    inner = whole[..., 5:-5, 5:-5]
    widest = max(_span(image) for image in pair)
    readings = {
        OURS: (whole, "[0, 1], L = 1, Gaussian 11, all pixels"),
        "L of the target": (
            ssim_map(*pair, _span(target)),
            "each slice has its own measure",
        ),
        "L of the reconstruction": (
            ssim_map(*pair, _span(reconstruction)),
            "the model sets its own measure",
        ),
        "L of whichever spans more": (
            ssim_map(*pair, widest),
            "a library's default, when L is not given",
        ),
        "L = 2 on [0, 1]": (
            ssim_map(*pair, 2),
            "code for [−1, 1], or an old default for floats",
        ),
        "L = 255 on [0, 1]": (ssim_map(*pair, 255), "code for bytes reused"),
        "L = 255 on bytes": (ssim_map(*bytes_, 255), "harmless: both are scaled"),
        "L = 2 on [−1, 1]": (ssim_map(*signed, 2), "brightness is shifted"),
        "L = 1 on [−1, 1]": (ssim_map(*signed, 1), "shifted, and L forgotten"),
        "z-scores, L of the target": (
            ssim_map(*scores, _span(scores[1])),
            "means near 0: signs matter",
        ),
        "z-scores, L = 1": (ssim_map(*scores, 1), "c₁ and c₂ near nothing"),
        "flat window of 7": (
            ssim_map(*pair, window=flat_window()),
            "another library's default",
        ),
        "borders dropped": (inner, "Wang's own program"),
        "at half the size": (ssim_map(*smaller), "fine errors averaged away"),
        "at twice the size": (ssim_map(*larger), "nothing added but pixels"),
        "stretched to a square": (ssim_map(*square), "anatomy out of shape"),
        "inside the body only": (whole[..., body], "air is left out"),
    }
    return {
        name: Reading(float(values.mean()), remark)
        for name, (values, remark) in readings.items()
    }


def mean_of_batch_means(values: Tensor, batch_size: int) -> float:
    """What a loop reports that averages the averages of its batches: the slices of a
    short last batch weigh more than all others."""
    return float(torch.stack([part.mean() for part in values.split(batch_size)]).mean())


def _span(image: Tensor) -> float:
    return float(image.max() - image.min())


def _resize(image: Tensor, size: list[int]) -> Tensor:
    return interpolate(image, size, mode="bilinear", antialias=True)
