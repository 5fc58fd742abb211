"""Encoder and decoder, shared by every autoencoder here.

Strided convolutions halve the slice down to the code grid, residual blocks work there,
transposed convolutions double it up again: the network of the first VQ-VAE (van den
Oord et al. 2017, arXiv 1711.00937, section 4.1), narrower and with two full 3x3
convolutions per block. ``benchmarks/network.py`` compares it with others at equal
processor time: a wider network, or patches folded into channels at once, learn less in
the same time; a shallower one leads in a short one. Taught in notebook 02, section 2.2,
and notebook 03, section 3.2.
"""

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError


def _widths(factor: int, width: int) -> list[int]:
    """Channels after each halving: full width on the grid, half of it one step up."""
    halvings = int(math.log2(factor))
    return [max(8, width >> (halvings - 1 - i)) for i in range(halvings)]


class ResidualBlock(nn.Module):
    """x + f(x) with two 3x3 convolutions; the skip path stays untouched."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


def check_size(x: Tensor, factor: int) -> None:
    """Raise `UserError` unless both sides of [B, C, H, W] are multiples of a factor."""
    height, width = x.shape[-2:]
    if height % factor or width % factor:
        raise UserError(
            f"slices of {height}x{width} cannot be encoded: both sides must be "
            f"multiples of {factor}; crop or pad them"
        )


class Encoder(nn.Module):
    """Slices to a grid of vectors: [B, 1, H, W] -> [B, out_channels, H/f, W/f].

    Args:
        factor: f, pixels per grid position along each axis; a power of two.
        out_channels: D for a VQ-VAE, 2 L for a VAE's mean and log-variance.
        width: channels inside.
        blocks: residual blocks.
        in_channels: of what is encoded, where it is no slice.
    """

    def __init__(
        self,
        factor: int,
        out_channels: int,
        width: int,
        blocks: int,
        in_channels: int = 1,
    ):
        super().__init__()
        self.factor = factor
        channels = [in_channels, *_widths(factor, width)]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        self.net = nn.Sequential(
            *layers[:-1],  # a residual block begins with a ReLU of its own
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.ReLU(),
            nn.Conv2d(width, out_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Raises `UserError` for a size that the factor does not divide."""
        check_size(x, self.factor)
        return self.net(x)


class Decoder(nn.Module):
    """A grid of vectors to slices: [B, in_channels, h, w] -> [B, 1, f h, f w]; with
    ``out_channels`` to something else of that size."""

    def __init__(
        self,
        factor: int,
        in_channels: int,
        width: int,
        blocks: int,
        out_channels: int = 1,
    ):
        super().__init__()
        channels = [*_widths(factor, width)[::-1], out_channels]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [
                nn.ReLU(),
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1),
            ]
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1),
            *(ResidualBlock(width) for _ in range(blocks)),
            *layers,
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)
