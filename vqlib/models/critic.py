"""The critic: a small network that tells decoded slices from those of the data.

It looks at patches (PatchGAN: Isola et al. 2017, arXiv 1611.07004, section 3.2), so it
judges texture, not anatomy. Spectral normalisation keeps its slope bounded (Miyato et
al. 2018, arXiv 1802.05957). Its features serve as a perceptual distance that needs no
downloaded network (feature matching: Larsen et al. 2016, arXiv 1512.09300, eq. 4).
Taught in notebook 05.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vqlib.models.networks import Model
from vqlib.models.sharp import map_channels

GAIN = 8.0  # of fine detail, which a network of bounded slope would hardly see


def fine_detail(x: Tensor) -> Tensor:
    """What 3 x 3 means leave of slices: [B, 1, H, W] -> [B, 1, H, W]."""
    return x - F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)


class Critic(Model):
    """Slices, and the label maps that they were drawn for, to a score of each patch.

    Beside a slice it sees its fine detail, as in a narrow window: the noise of air and
    the grain of bone are small beside the step from air to fat.

    Args:
        labels: how many labels a map has; 0: there are no maps.
        width: channels of the first layer.

    >>> import torch
    >>> scores, features = Critic(width=8)(torch.rand(2, 1, 64, 32))
    >>> scores.shape, len(features)
    (torch.Size([2, 1, 8, 4]), 4)
    """

    def __init__(self, labels: int = 0, width: int = 32):
        super().__init__()
        self.labels, w = labels, width
        shapes = [
            (2 + labels, w, 4, 2),
            (w, 2 * w, 4, 2),
            (2 * w, 4 * w, 4, 2),
            (4 * w, 4 * w, 3, 1),
        ]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, kernel, stride, padding=1))
            for a, b, kernel, stride in shapes
        )
        self.head = spectral_norm(nn.Conv2d(4 * w, 1, 1))

    def forward(
        self, x: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """[B, 1, H, W], [B, H, W] -> scores [B, 1, H/8, W/8], above 0 for what looks
        like data, and the features of each layer."""
        planes = [map_channels(labels, self.labels)] if self.labels else []
        x = torch.cat([x, GAIN * fine_detail(x), *planes], dim=1)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.head(x), features
