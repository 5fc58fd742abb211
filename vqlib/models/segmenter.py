"""A small U-Net that names the organ at every pixel.

It is an instrument: where the score card asks whether a generated slice has a bladder,
and where, this network answers. Convolutions on ever coarser grids see ever more of the
slice; on the way back up, finer grids are concatenated with the coarse ones, so that
what was recognised has sharp borders (Ronneberger et al. 2015, arXiv 1505.04597).
Trained by its recipe, `vqlib.recipes.segmenter`. Taught in notebook 06.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.models.computing import at_least_float32, sharing
from vqlib.models.networks import Model, check_size


class Segmenter(Model):
    """Slices to organs: about 120,000 parameters.

    Trained by `vqlib.losses.SegmentationObjective`.

    Args:
        classes: labels, background included.
        widths: channels at each resolution, from fine to coarse.

    Raises:
        UserError: in all calls for a size that cannot be halved often enough.
    """

    def __init__(self, classes: int = 6, widths: tuple[int, ...] = (8, 16, 32, 64)):
        super().__init__()
        self.factor = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(_double(a, b) for a, b in pairwise((1, *widths)))
        self.up = nn.ModuleList(_double(a + b, a) for a, b in pairwise(widths))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, H, W] in [0, 1] -> logits [B, classes, H, W]."""
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
        """Means of the coarsest grid's channels over the left and right, upper and
        lower quarters of a slice: [N, 1, H, W] -> [N, 4 * widths[-1]]."""
        parts = [
            F.adaptive_avg_pool2d(self._pyramid(x)[-1], 2).flatten(1)
            for x in images.split(batch_size)
        ]
        return torch.cat(parts)

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        """[B, widths[i], H / 2^i, W / 2^i] for each i."""
        check_size(x.shape[-2:], self.factor)
        levels = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            levels.append(x)
        return levels


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation by mean and variance of the batch of all processes, so that
    training does not depend on how many share it. (torch's `SyncBatchNorm` does this on
    GPUs alone.) With one process it is torch's."""

    def forward(self, x: Tensor) -> Tensor:
        n = sharing()
        if n == 1 or not self.training:
            return super().forward(x)
        from torch.distributed.nn.functional import all_reduce  # not in every build

        y = at_least_float32(x)
        moments = torch.stack([y.mean((0, 2, 3)), y.square().mean((0, 2, 3))])  # [2, C]
        mean, square = all_reduce(moments) / n  # gradients go through all shares
        variance = (square - mean.square()).clamp_min(0)
        with torch.no_grad():
            count = n * y.numel() / y.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (y * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


def _double(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [
            nn.Conv2d(channels, after, 3, padding=1, bias=False),
            BatchNorm(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
