"""From a volume's stored pixels to what a model sees: grey values, and the size.

Each volume (patient and week) is divided by the 99.5th percentile of its own non-zero
pixels, at native resolution, and clipped to [0, 1]: scanners give arbitrary units, and
one bright coil spot must not darken a whole scan. Then every slice is cropped or
padded about its centre to 256 x 128 and area-averaged down to the size of the profile.
Taught in notebook 01.
"""

import numpy as np

from vqlib.data.layout import LABEL_NAMES
from vqlib.errors import UserError

NATIVE_SIZE = (256, 128)  # left–right x inferior–superior
PIXEL_MM = (1.68, 1.56)  # of a slice at native size
PERCENTILE = 99.5


def scale_volume(slices: np.ndarray) -> np.ndarray:
    """Scale a volume `[S, X, Z]` of arbitrary units to [0, 1].

    Divides by the 99.5th percentile of the volume's non-zero pixels and clips. What is
    blank stays 0.
    """
    slices = np.asarray(slices, dtype=np.float32)
    bright = _percentile(slices[slices != 0])
    if bright <= 0:
        return np.zeros_like(slices)
    scaled = slices / np.float32(bright)
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def _percentile(values: np.ndarray) -> float:
    """`np.percentile` of `[N]`, to the bit and three times as fast; 0 of nothing.

    NumPy partitions by four places at once, and is far faster with one. The last step
    is left to it. Reorders ``values``.
    """
    if values.size < 2:
        return float(values.sum())
    place = (values.size - 1) * (PERCENTILE / 100)  # between two of the sorted values
    lower = int(place)
    values.partition(lower)
    pair = np.array([values[lower], values[lower + 1 :].min()])
    return np.quantile(pair, place - lower)


def center_on_grid(image: np.ndarray) -> np.ndarray:
    """Bring `[..., X, Z]` to `[..., 256, 128]` about its centre, with no resampling.

    What is larger is cropped and what is smaller is padded with 0, evenly on both ends
    (an odd pixel as torchvision's ``center_crop`` has it). The choice is made for
    HipMRI, where one volume of 211 has slices of 256 x 144: it loses 8 pixels, 12 mm,
    at the feet and at the head. Padding the other 210 instead would teach every model a
    black rim, and resampling would give that one man another pixel size.
    """
    if tuple(image.shape[-2:]) == NATIVE_SIZE:
        return image
    crop, margins = [], [(0, 0)] * (image.ndim - 2)
    for wanted, has in zip(NATIVE_SIZE, image.shape[-2:], strict=True):
        less, more = max(has - wanted, 0), max(wanted - has, 0)
        crop.append(slice(round(less / 2), round(less / 2) + min(has, wanted)))
        margins.append((more // 2, more - more // 2))
    return np.pad(image[..., *crop], margins)


def fit_to(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring `[..., X, Z]` to a size `[..., H, W]`.

    Crops or pads to 256 x 128 (see `center_on_grid`), then shrinks both sides by one
    whole number. Floating-point images are area-averaged. Integer arrays are label
    maps: each block takes its most frequent label, and the higher one of a tie, so that
    a small organ does not lose to the body around it. Raises `UserError` for a size
    that is not 256 x 128 divided by a whole number.
    """
    factor = NATIVE_SIZE[0] // size[0] if size[0] > 0 else 0
    if factor < 1 or (size[0] * factor, size[1] * factor) != NATIVE_SIZE:
        raise UserError(
            f"size {size[0]}x{size[1]} is not 256x128 divided by a whole number; "
            "choose 256x128, 128x64, 64x32 or 32x16"
        )
    image = center_on_grid(image)
    if factor == 1:
        return image
    flat = image.reshape(-1, *NATIVE_SIZE)
    shrink = _average if np.issubdtype(image.dtype, np.floating) else _majority
    return shrink(flat, factor).reshape(*image.shape[:-2], *size)


def _average(images: np.ndarray, factor: int) -> np.ndarray:
    """The mean of each block: `[N, 256, 128]` → `[N, H, W]`."""
    total = np.zeros_like(images[:, ::factor, ::factor])
    for i in range(factor):
        for j in range(factor):
            total += images[:, i::factor, j::factor]
    return total / images.dtype.type(factor**2)


def _majority(labels: np.ndarray, factor: int) -> np.ndarray:
    """The most frequent label of each block: `[N, 256, 128]` → `[N, H, W]`."""
    n, height, width = labels.shape
    rows = (n * height // factor, factor, width)
    votes_type = np.uint8 if factor < 16 else np.uint16  # a block has factor² votes
    winner = np.zeros((rows[0], width // factor), labels.dtype)
    most = np.zeros(winner.shape, votes_type)
    for value in range(len(LABEL_NAMES)):
        is_value = (labels == value).astype(votes_type).reshape(rows)
        tall = sum(is_value[:, i] for i in range(factor))  # [N*H, 128]
        votes = sum(tall[:, i::factor] for i in range(factor))  # [N*H, W]
        np.copyto(winner, value, where=votes >= most)
        np.maximum(most, votes, out=most)
    return winner.reshape(n, height // factor, width // factor)
