"""What a prior is given: where the slice lies, and what is in it.

The condition s of every prior is the slice's relative position in its volume, and where
there is one a *context*: planes on the grid of the latents, made of a label map
(`map_planes`), or of the top codes of a VQ-VAE-2. While training it is replaced by a
null embedding for some slices, which classifier-free guidance needs (Ho & Salimans
2022, arXiv 2207.12598). Taught in notebook 05.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError
from vqlib.models.sharp import map_channels

FREQUENCIES = 8  # of the Fourier features of a position: details of 1/16 volume
DETAIL = 4  # a plane of the context sees 1/4 of a grid position along each axis


class Conditioning(nn.Module):
    """Position [B] and context [B, C, h, w] -> [B, dim, h, w]; without a context
    [B, dim, 1, 1].

    Args:
        dim: width of the network that is conditioned.
        context_channels: C, or 0 where there is no context.
    """

    def __init__(self, dim: int, context_channels: int = 0):
        super().__init__()
        self.context_channels = context_channels
        self.position = nn.Linear(2 * FREQUENCIES, dim)
        self.null = nn.Parameter(0.02 * torch.randn(dim, 1, 1))
        if context_channels:
            self.context = nn.Sequential(
                nn.Conv2d(context_channels, dim, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(dim, dim, 3, padding=1),
            )

    def forward(
        self,
        position: Tensor,
        context: Tensor | None = None,
        unconditional: Tensor | None = None,
    ) -> Tensor:
        found = self.position(fourier(position, FREQUENCIES))[:, :, None, None]
        if context is not None:
            found = found + self.context(context)
        if unconditional is None:
            return found
        return torch.where(unconditional.view(-1, 1, 1, 1), self.null, found)

    def check(self, position: Tensor, context: Tensor | None) -> None:
        """Raise `UserError` for a condition that this network cannot take."""
        if not (position.min() >= 0 and position.max() <= 1):
            raise UserError("a slice position lies outside [0, 1]; it is relative")
        if (context is not None) != bool(self.context_channels):
            raise UserError(
                "this prior was trained without label maps or top codes and takes none"
                if context is not None
                else "this prior draws given a label map or top codes: pass its context"
            )


def fourier(x: Tensor, count: int) -> Tensor:
    """sin and cos of π k x, k = 1 … count: [B] -> [B, 2 count]."""
    angles = x[:, None] * (math.pi * torch.arange(1, count + 1, device=x.device))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def map_planes(labels: Tensor, grid: tuple[int, int], count: int) -> Tensor:
    """A label map as a context: the share of each label in 4 x 4 parts of every grid
    position, [B, H, W] -> [B, 16 count, h, w].

    >>> import torch
    >>> map_planes(torch.zeros(2, 128, 64), grid=(16, 8), count=6).shape
    torch.Size([2, 96, 16, 8])
    """
    fine = tuple(DETAIL * side for side in grid)
    shares = F.adaptive_avg_pool2d(map_channels(labels, count), fine)
    return F.pixel_unshuffle(shares, DETAIL)
