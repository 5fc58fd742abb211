"""Random changes to train slices that the next patient might have brought anyway.

A dozen men are few. Each effect here stands for a difference between real scans that
says nothing about anatomy, small enough that the result could have been scanned:

- **shift and rotation**: nobody lies twice in the same place. Patients are laid down
  with care, along the table and on their backs, so a few millimetres and degrees, not
  any angle: a pelvis on its side was never scanned, and to learn it costs capacity.
- **scale**: people differ in size, by some per cent, and all organs with them.
- **gamma**: sequences and scanners differ in contrast; a power of the grey value
  changes it and leaves black black and white white.
- **bias field**: the coil hears what is near it louder, and lies differently each time.
  A smooth factor over the slice does the same.
- **flip** of left and right is a choice, off by default: a mirrored pelvis looks human,
  and doubles the set, but the colon descends on the left in nearly everyone, so a
  model that is to generate people should not see it in a mirror.

For training only: validate and test are scored as they were scanned. The same effects,
among others, serve segmentation in nnU-Net (Isensee et al. 2021,
doi 10.1038/s41592-020-01008-z).
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from vqlib.data.layout import NATIVE_SIZE, PIXEL_MM
from vqlib.errors import UserError

BIAS_POINTS = (4, 3)  # of the bias field across the slice, 7 to 11 cm apart
GEOMETRY = 5  # random numbers: two shifts, rotation, scale, flip


@dataclass(frozen=True)
class Augment:
    """How much to change; each slice draws its own changes, evenly from ± these.

    Zeros (and ``flip=False``) return the images themselves. Raises `UserError` for a
    negative number.
    """

    shift_mm: float = 8.0  # along each axis, millimetres of the native grid
    rotate_degrees: float = 4.0  # in the plane of the slice, about its centre
    scale: float = 0.06  # of the logarithm of the size: 0.06 is 6 % either way
    gamma: float = 0.15  # of the logarithm of the exponent; moves greys by some 10 %
    bias: float = 0.15  # of the logarithm of the factor at each point of the field
    flip: bool = False  # mirror every second slice, by lot

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise UserError(
                    f"augmentation {field.name} is {value!r}; it is how far to go "
                    "either way, so give 0 or more"
                )

    def __call__(
        self, images: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Change slices `[B, 1, H, W]` in [0, 1], on their device; the same shape back.

        Deterministic in the generator (on the CPU, or wherever it lives), or in torch's
        own seed where none is given. Every effect draws its numbers whether it is on or
        not: to switch one off changes nothing about the others.
        """
        source = generator.device if generator is not None else "cpu"
        count = GEOMETRY + 1 + math.prod(BIAS_POINTS)
        drawn = torch.rand(len(images), count, generator=generator, device=source)
        drawn = (2 * drawn - 1).to(images.device)  # [B, count] in [-1, 1]
        geometry, gamma, bias = drawn.split([GEOMETRY, 1, math.prod(BIAS_POINTS)], 1)
        if self.flip:
            mirrored = geometry[:, 4].view(-1, 1, 1, 1) > 0
            images = torch.where(mirrored, images.flip(2), images)
        if self.shift_mm or self.rotate_degrees or self.scale:
            images = self._move(images, geometry)
        if self.gamma:
            images = images ** torch.exp(self.gamma * gamma).view(-1, 1, 1, 1)
        if self.bias:
            points = self.bias * bias.view(-1, 1, *BIAS_POINTS)
            field = interpolate(points, images.shape[-2:], mode="bicubic").exp()
            images = (images * field).clamp(max=1)  # as scaling clips what is brighter
        return images

    def _move(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Shift, rotate and scale in one resampling, so that nothing blurs twice.

        Cubic, because a linear one takes away half of the power of fine texture, which
        a model would then learn to leave out; it can overshoot, hence the clamp. What
        comes in from beyond the border is the slice mirrored there: bodies go on where
        the picture ends. The rotation is one of millimetres, not of pixels, which are
        not square.
        """
        half_z, half_x = (  # W and H of the frame, in the order of affine_grid
            NATIVE_SIZE[axis] * PIXEL_MM[axis] / 2 for axis in (1, 0)
        )
        angle = math.radians(self.rotate_degrees) * drawn[:, 2]
        shrink = torch.exp(-self.scale * drawn[:, 3])  # where to read: a larger body
        cos, sin = shrink * angle.cos(), shrink * angle.sin()
        move_z, move_x = (self.shift_mm * drawn[:, axis] for axis in (0, 1))
        theta = torch.stack(
            [
                torch.stack([cos, sin * half_x / half_z, move_z / half_z], 1),
                torch.stack([-sin * half_z / half_x, cos, move_x / half_x], 1),
            ],
            1,
        )  # [B, 2, 3]
        grid = affine_grid(theta.to(images.dtype), images.shape, align_corners=False)
        moved = grid_sample(
            images, grid, "bicubic", padding_mode="reflection", align_corners=False
        )
        return moved.clamp(0, 1)
