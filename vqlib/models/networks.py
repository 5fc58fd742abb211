"""Encoder and decoder, shared by every autoencoder here.

Strided convolutions halve the slice down to the code grid, residual blocks work there,
transposed convolutions double it up again: the network of the first VQ-VAE (van den
Oord et al. 2017, arXiv 1711.00937, section 4.1), narrower and with two full 3x3
convolutions per block. ``benchmarks/results/network.json`` compares it with others at
equal processor time. Taught in notebook 02, section 2.1, and notebook 03, section 3.2.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError


class Model(nn.Module):
    """A module whose weights all lie on one device."""

    @property
    def device(self) -> torch.device:
        """Where the weights are, and inputs have to be."""
        return next(self.parameters()).device


class ResidualBlock(nn.Module):
    """x + f(x) with two 3x3 convolutions; the skip path stays untouched."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Encoder(nn.Module):
    """Slices to a grid of vectors: [B, in_channels, H, W] -> [B, D, H/f, W/f].

    Args:
        factor: f, pixels per grid position along each axis; a power of two.
        out_channels: D for a VQ-VAE, 2 L for a VAE's mean and log-variance.
        width: channels on the grid; half as many one step up.
        blocks: residual blocks.
        in_channels: 1 for a greyscale slice.

    Raises:
        UserError: for another factor, and in ``forward`` for a size that the factor
            does not divide.

    >>> import torch
    >>> encoder = Encoder(factor=4, out_channels=8, width=64, blocks=1)
    >>> encoder(torch.rand(2, 1, 64, 32)).shape
    torch.Size([2, 8, 16, 8])
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
        self.factor, self.in_channels = factor, in_channels
        self.out_channels = out_channels
        layers: list[nn.Module] = []
        for before, after in pairwise([in_channels, *_widths(factor, width)]):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        self.net = nn.Sequential(
            *layers[:-1],  # a residual block begins with a ReLU of its own
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.ReLU(),
            nn.Conv2d(width, out_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        check_size(x.shape[-2:], self.factor)
        return self.net(x)  # [B, D, h, w]


class Decoder(nn.Module):
    """A grid of vectors to slices: [B, D, h, w] -> [B, out_channels, f h, f w].

    Args:
        factor, width, blocks: see `Encoder`.
        in_channels: D.
        out_channels: 1 for a greyscale slice.
    """

    def __init__(
        self,
        factor: int,
        in_channels: int,
        width: int,
        blocks: int,
        out_channels: int = 1,
    ):
        super().__init__()
        self.factor, self.in_channels = factor, in_channels
        self.out_channels = out_channels
        layers: list[nn.Module] = []
        for before, after in pairwise([*_widths(factor, width)[::-1], out_channels]):
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


def check_size(size: tuple[int, int], factor: int) -> None:
    """Raise `UserError` unless both sides of slices are multiples of a factor."""
    height, width = size
    if height % factor or width % factor:
        raise UserError(
            f"slices of {height}x{width} do not fit the network: both sides must be "
            f"multiples of {factor}; crop or pad them"
        )


def check_parts(encoder: nn.Module, decoder: nn.Module, encoded: int, decoded: int):
    """Raise `UserError` where ready parts do not fit: an encoder has to give
    ``encoded`` channels, a decoder to take ``decoded``, at one factor. A module of
    another kind, which does not state its channels, is taken as it is."""
    gives = getattr(encoder, "out_channels", encoded)
    takes = getattr(decoder, "in_channels", decoded)
    if gives != encoded or takes != decoded:
        raise UserError(
            f"the encoder gives {gives} channels and the decoder takes {takes}, but "
            f"the model between them needs {encoded} and {decoded}"
        )
    down, up = (getattr(part, "factor", None) for part in (encoder, decoder))
    if None not in (down, up) and down != up:
        raise UserError(
            f"the encoder shrinks slices by {down} and the decoder enlarges them by "
            f"{up}; give both one factor"
        )


def _widths(factor: int, width: int) -> list[int]:
    """Channels after each halving: full width on the grid, half of it one step up."""
    if factor < 2 or factor & (factor - 1):
        raise UserError(
            f"factor {factor} is not a power of two; choose 2, 4, 8 or another one"
        )
    halvings = factor.bit_length() - 1
    return [max(min(8, width), width >> (halvings - 1 - i)) for i in range(halvings)]
