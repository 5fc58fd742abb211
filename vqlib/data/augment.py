"""Random changes to train slices that keep their anatomy.

Patients are few. Each effect stands for a difference between real scans that says
nothing about anatomy, small enough that the result could have been scanned: nobody lies
twice in the same place (shift, rotation), people differ in size (scale), sequences in
contrast (gamma), and a coil receives more from what is near it (bias field). The same
effects, among others, serve segmentation in nnU-Net (Isensee et al. 2021,
doi 10.1038/s41592-020-01008-z).

For training only: validate and test are scored as they were scanned. ``RandomAffine``
of torchvision draws one change for a whole batch, resamples linearly, which takes half
of the power of fine texture, and fills borders with black; hence ours.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from vqlib.data.layout import NATIVE_SIZE, PIXEL_MM

BIAS_POINTS = (4, 3)  # of the bias field across the slice, 7 to 11 cm apart


@dataclass(frozen=True)
class Augment:
    """How much to change; each slice draws its own changes, evenly from ± these.

    Zeros (and ``flip=False``) return the images themselves.

    >>> Augment(shift_mm=4)(torch.rand(4, 1, 128, 64)).shape
    torch.Size([4, 1, 128, 64])
    """

    shift_mm: float = 8.0  # along each axis, millimetres of the native grid
    rotate_degrees: float = 4.0  # in the plane of the slice, about its centre
    scale: float = 0.06  # of the logarithm of the size: 0.06 is 6 % either way
    gamma: float = 0.15  # of the logarithm of the exponent; moves greys by some 10 %
    bias: float = 0.15  # of the logarithm of the factor at each point of the field
    flip: bool = False  # mirror every second slice, by lot

    def __call__(self, images: Tensor) -> Tensor:
        """Change slices `[B, 1, H, W]` in [0, 1], on their device; the same shape back.

        Deterministic in torch's own seed. Every effect draws its numbers whether it is
        on or not.
        """
        counts = [5, 1, math.prod(BIAS_POINTS)]
        drawn = torch.rand(len(images), sum(counts), device="cpu")
        drawn = (2 * drawn - 1).to(images.device)  # in [-1, 1]
        geometry, gamma, bias = drawn.split(counts, 1)
        if self.flip:
            mirrored = geometry[:, 4].view(-1, 1, 1, 1) > 0
            images = torch.where(mirrored, images.flip(2), images)
        if self.shift_mm or self.rotate_degrees or self.scale:
            images = self._move(images, *geometry[:, :4].unbind(1))
        if self.gamma:
            images = images ** torch.exp(self.gamma * gamma).view(-1, 1, 1, 1)
        if self.bias:
            points = self.bias * bias.view(-1, 1, *BIAS_POINTS)
            field = interpolate(points, images.shape[-2:], mode="bicubic").exp()
            images = (images * field).clamp(max=1)  # as scaling clips what is brighter
        return images

    def _move(self, images, along_z, along_x, turn, size) -> Tensor:
        """Shift, rotate and scale in one resampling, so that nothing blurs twice.

        Cubic, which keeps fine texture and can overshoot, hence the clamp. What comes
        in from beyond the border is the slice mirrored there: bodies go on where the
        picture ends. The rotation is one of millimetres: pixels are not square.
        """
        half_x, half_z = (
            n * mm / 2 for n, mm in zip(NATIVE_SIZE, PIXEL_MM, strict=True)
        )
        angle = math.radians(self.rotate_degrees) * turn
        shrink = torch.exp(-self.scale * size)  # where to read: a larger body
        cos, sin = shrink * angle.cos(), shrink * angle.sin()
        move_z, move_x = self.shift_mm * along_z, self.shift_mm * along_x
        rows = [  # W, then H: the order of affine_grid
            torch.stack([cos, sin * half_x / half_z, move_z / half_z], 1),
            torch.stack([-sin * half_z / half_x, cos, move_x / half_x], 1),
        ]
        theta = torch.stack(rows, 1).to(images.dtype)  # [B, 2, 3]
        grid = affine_grid(theta, images.shape, align_corners=False)
        moved = grid_sample(
            images, grid, "bicubic", padding_mode="reflection", align_corners=False
        )
        return moved.clamp(0, 1)
