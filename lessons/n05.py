"""Edits of label maps, which notebook 05 draws slices for."""

from torch import Tensor
from torch.nn.functional import max_pool2d


def grow(labels: Tensor, organ: int, pixels: int) -> Tensor:
    """A label map `[H, W]` whose organ reaches ``pixels`` further into the body and
    other soft organs; fewer than 0: that it draws back, and body is left."""
    other = labels.clone()
    mask = (labels == organ).float()[None, None]
    size = 2 * abs(pixels) + 1
    if pixels >= 0:
        wider = max_pool2d(mask, size, 1, abs(pixels))[0, 0] > 0
        other[wider & (labels != 0) & (labels != 2)] = organ
        return other
    kept = max_pool2d(1 - mask, size, 1, abs(pixels))[0, 0] == 0
    other[(labels == organ) & ~kept] = 1
    return other
