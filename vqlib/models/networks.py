"""Encoder and decoder, shared by every autoencoder here.

Both work at the resolution of the code grid: the encoder folds each patch of
f x f pixels into channels (pixel-unshuffle, Shi et al. 2016, arXiv 1609.05158), the
decoder unfolds them at the end. Convolutions at full resolution would cost most of the
arithmetic and gain little in the same time (``benchmarks/network.py`` measures it).
Taught in notebook 02, section 2.2, and notebook 03, section 3.2.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError


class ResidualBlock(nn.Module):
    """x + f(x) with two 3x3 convolutions; the skip path stays untouched."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Encoder(nn.Module):
    """Slices to a grid of vectors: [B, 1, H, W] -> [B, out_channels, H/f, W/f].

    Args:
        factor: f, pixels per grid position along each axis.
        out_channels: D for a VQ-VAE, 2 L for a VAE's mean and log-variance.
        width: channels inside.
        blocks: residual blocks.
    """

    def __init__(self, factor: int, out_channels: int, width: int, blocks: int):
        super().__init__()
        self.factor = factor
        self.net = nn.Sequential(
            nn.PixelUnshuffle(factor),
            nn.Conv2d(factor**2, width, 3, padding=1),
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.ReLU(),
            nn.Conv2d(width, out_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Raises `UserError` for a size that the factor does not divide."""
        if x.shape[-2] % self.factor or x.shape[-1] % self.factor:
            raise UserError(
                f"slices of {x.shape[-2]}x{x.shape[-1]} cannot be encoded: both sides "
                f"must be multiples of {self.factor}; crop or pad them"
            )
        return self.net(x)


class Decoder(nn.Module):
    """A grid of vectors to slices: [B, in_channels, h, w] -> [B, 1, f h, f w]."""

    def __init__(self, factor: int, in_channels: int, width: int, blocks: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1),
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.ReLU(),
            nn.Conv2d(width, factor**2, 3, padding=1),
            nn.PixelShuffle(factor),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)
