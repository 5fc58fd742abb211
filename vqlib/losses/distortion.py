"""How far a reconstruction is from its slice: L1, SSIM, likelihoods. Taught in
notebooks 01 and 02."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vqlib.models.computing import at_least_float32, full_precision, of_whole_batch


def ssim(x: Tensor, y: Tensor, sigma: float = 1.5, window: int = 11) -> Tensor:
    """Mean structural similarity of [B, 1, H, W] images in [0, 1]: a scalar.

    Wang et al. 2004 (doi 10.1109/TIP.2003.819861), eq. 13, at each place where the
    Gaussian window fits. What is reported, `vqlib.metrics.ssim`, is made of the same
    maps, of images that are mirrored at their borders as torchmetrics does.

    >>> import torch
    >>> x = torch.rand(2, 1, 32, 16)
    >>> round(ssim(x, x).item(), 4)
    1.0
    """
    luminance, structure = similarity_maps(x, y, sigma, window)
    return (luminance * structure).mean()


def similarity_maps(
    x: Tensor, y: Tensor, sigma: float = 1.5, window: int = 11
) -> tuple[Tensor, Tensor]:
    """The two factors of SSIM at each place where the window fits: that of the mean,
    l, and that of contrast and structure together, cs; each [B, H', W']. The window is
    applied as two one-dimensional filters to all five moments at once."""
    t = torch.arange(window, device=x.device, dtype=x.dtype) - window // 2
    g = torch.exp(-0.5 * (t / sigma) ** 2)
    g = (g / g.sum()).expand(5, 1, window)
    moments = torch.cat([x, y, x * x, y * y, x * y], dim=1)  # [B, 5, H, W]
    moments = F.conv2d(moments, g.unsqueeze(3), groups=5)
    moments = F.conv2d(moments, g.unsqueeze(2), groups=5)
    mx, my, xx, yy, xy = moments.unbind(1)
    c1, c2 = 0.01**2, 0.03**2
    structure = (2 * (xy - mx * my) + c2) / (xx - mx * mx + yy - my * my + c2)
    return (2 * mx * my + c1) / (mx * mx + my * my + c1), structure


def distortion(reconstruction: Tensor, x: Tensor, ssim_weight: float) -> Tensor:
    """How far a reconstruction is from its slice: L1 + w · (1 − SSIM), a scalar.

    The same for every autoencoder that is compared (Zhao et al. 2017, arXiv 1511.08861,
    section III-D, measured it as the better of the plain choices).
    """
    # 16 bits are too few for SSIM, whose variances are differences of like numbers
    with full_precision(x.device):
        reconstruction = at_least_float32(reconstruction)
        loss = F.l1_loss(reconstruction, x)
        if ssim_weight:
            loss = loss + ssim_weight * (1 - ssim(reconstruction, x))
    return loss


def gaussian_nll(reconstruction: Tensor, x: Tensor) -> Tensor:
    """−log p(x|z) in nats per slice for a Gaussian likelihood with the best shared σ.

    For a fixed reconstruction the likelihood is largest at σ² = mean squared error,
    which leaves P/2 · (log 2πσ² + 1) for P pixels (σ-VAE: Rybkin et al. 2021, arXiv
    2006.13202): nothing to tune by hand, and never a σ that is wrong for the data.
    [B, 1, H, W] twice -> scalar.
    """
    pixels = x[0].numel()
    variance = of_whole_batch(F.mse_loss(at_least_float32(reconstruction), x))
    variance = variance.clamp_min(1e-8)
    return 0.5 * pixels * (torch.log(2 * math.pi * variance) + 1)


def laplace_nll(reconstruction: Tensor, x: Tensor) -> Tensor:
    """−log p(x|z) in nats per slice for a Laplace likelihood with the best shared b.

    The width b of exp(−|x − x̂| / b) / 2b is best at the mean absolute error, which
    leaves P · (log 2b + 1) for P pixels. Under a Gaussian the best reconstruction is
    the mean of what z leaves open, here it is the median of each pixel.
    [B, 1, H, W] twice -> scalar.
    """
    pixels = x[0].numel()
    scale = of_whole_batch(F.l1_loss(at_least_float32(reconstruction), x))
    scale = scale.clamp_min(1e-4)
    return pixels * (torch.log(2 * scale) + 1)
