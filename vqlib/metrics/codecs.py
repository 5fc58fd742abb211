"""What general-purpose image formats need for a slice: a yardstick of code lengths.

PNG and lossless WebP keep every pixel of the 8-bit slice. A VQ-VAE does not, so its
fair opponent is a lossy format at the same number of bytes. Sizes are those of whole
files, headers included (some 60 bytes in a PNG, 30 in a WebP). Taught in notebook 05.
"""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

QUALITIES = range(0, 101, 5)  # of lossy WebP


def lossless_bytes(images: Tensor, form: str) -> np.ndarray:
    """Bytes of slices `[N, 1, H, W]` in [0, 1] as 8-bit files of ``form``, ``"PNG"`` or
    ``"WebP"``: `[N]`."""
    best = {"PNG": {"optimize": True}, "WebP": {"lossless": True, "quality": 100}}
    files = [_write(picture, form, **best[form]) for picture in _pictures(images)]
    return np.array([len(file) for file in files])


def webp_within(images: Tensor, limit: float) -> tuple[Tensor, np.ndarray]:
    """Slices `[N, 1, H, W]` through lossy WebP, each at the highest quality whose file
    has at most ``limit`` bytes (quality 0 where none has).

    Returns:
        what comes back, `[N, 1, H, W]`, and the bytes of each file `[N]`.
    """
    back, sizes = [], []
    for picture in _pictures(images):
        chosen = _write(picture, "WebP", quality=QUALITIES[0], method=6)
        low, high = 0, len(QUALITIES) - 1  # file sizes rise with the quality
        while low < high:
            middle = (low + high + 1) // 2
            file = _write(picture, "WebP", quality=QUALITIES[middle], method=6)
            if len(file) <= limit:
                chosen, low = file, middle
            else:
                high = middle - 1
        with Image.open(io.BytesIO(chosen)) as read:
            back.append(np.asarray(read.convert("L")))
        sizes.append(len(chosen))
    pixels = torch.from_numpy(np.stack(back)).float() / 255
    return pixels.unsqueeze(1), np.array(sizes)


def _pictures(images: Tensor) -> list[Image.Image]:
    grey = (images[:, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()
    return [Image.fromarray(slice_) for slice_ in grey]


def _write(picture: Image.Image, form: str, **settings) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **settings)
    return file.getvalue()
