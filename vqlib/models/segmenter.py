"""A small U-Net that names the organ at every pixel.

It is an instrument: where the score card asks whether a generated slice has a bladder,
and where, this network answers. Convolutions on ever coarser grids see ever more of the
slice; on the way back up, the finer grids are laid beside the coarse ones, so that what
was recognised is drawn with sharp borders (Ronneberger et al. 2015, arXiv 1505.04597).
Trained by its recipe, `vqlib.recipes.segmenter`. Taught in notebook 05.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError
from vqlib.models.networks import Model


def _double(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [
            nn.Conv2d(channels, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class Segmenter(Model):
    """Slices to organs: about 120,000 parameters.

    Args:
        classes: labels, background included.
        widths: channels at each resolution, from fine to coarse.
    """

    def __init__(self, classes: int = 6, widths: tuple[int, ...] = (8, 16, 32, 64)):
        super().__init__()
        self.factor = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(_double(a, b) for a, b in pairwise((1, *widths)))
        self.up = nn.ModuleList(_double(a + b, a) for a, b in pairwise(widths))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        """[B, widths[i], H / 2^i, W / 2^i] for each i."""
        if x.shape[-2] % self.factor or x.shape[-1] % self.factor:
            raise UserError(
                f"slices of {x.shape[-2]}x{x.shape[-1]} cannot be segmented: both "
                f"sides must be multiples of {self.factor}; crop or pad them"
            )
        levels = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            levels.append(x)
        return levels

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, H, W] in [0, 1] -> logits [B, classes, H, W].

        Raises `UserError` for a size that cannot be halved often enough.
        """
        *finer, x = self._pyramid(x)
        for skip, block in zip(finer[::-1], list(self.up)[::-1], strict=True):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([skip, x], dim=1))
        return self.head(x)

    @torch.no_grad()
    def segment(self, images: Tensor, batch_size: int = 64) -> Tensor:
        """The likeliest label of each pixel: [N, 1, H, W] -> [N, H, W] uint8."""
        parts = [self(x).argmax(1).byte() for x in images.split(batch_size)]
        return torch.cat(parts)

    @torch.no_grad()
    def features(self, images: Tensor, batch_size: int = 64) -> Tensor:
        """What the coarsest grid says of a slice: its channels' means over the left and
        right, upper and lower quarters, [N, 1, H, W] -> [N, 4 * widths[-1]]."""
        parts = [
            F.adaptive_avg_pool2d(self._pyramid(x)[-1], 2).flatten(1)
            for x in images.split(batch_size)
        ]
        return torch.cat(parts)
