"""What general-purpose image formats need for a slice: a yardstick of code lengths.

A VQ-VAE does not keep every pixel, so its fair opponents are lossy formats at the same
number of bytes: WebP, AVIF, JPEG 2000. Their files begin with headers that any file of
this size and format has (30 bytes for WebP, some 300 for AVIF), and a model that is
known to both sides has none; so a comparison takes them off.
"""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

# Pillow's name of the feature, and every setting from the smallest file to the largest
_PERCENT = range(0, 101, 2)
_AVIF = {"subsampling": "4:0:0", "speed": 4, "max_threads": 1}
_JPEG = {"no_jp2": True, "irreversible": True}  # the bare codestream
_LOSSY = {
    "WebP": ("webp", [{"quality": q, "method": 6} for q in _PERCENT]),
    "AVIF": ("avif", [{"quality": q, **_AVIF} for q in _PERCENT]),
    "JPEG 2000": (  # raw size over so much, 300 down to 1
        "jpg_2000",
        [{"quality_layers": [float(n)], **_JPEG} for n in np.geomspace(300, 1, 120)],
    ),
}
LOSSY_FORMS = tuple(_LOSSY)


class Coded(NamedTuple):
    """What lossy files make of slices within a limit."""

    images: Tensor  # [N, 1, H, W] as they come back
    sizes: np.ndarray  # [N] bytes of each file, less its header
    met: np.ndarray  # bool [N], whether the limit was met


def available(form: str) -> bool:
    """Whether this Pillow was built with the format, one of `LOSSY_FORMS`."""
    return bool(features.check(_LOSSY[form][0]))


def header_bytes(shape: tuple[int, int], form: str) -> int:
    """Bytes of the smallest file for `[H, W]`: that of a slice of one grey. It holds
    the header and hardly a byte of picture, so the format is rather favoured."""
    grey = Image.fromarray(np.full(shape, 128, np.uint8))
    settings = _LOSSY[form][1]
    return min(len(_write(grey, form, **settings[i])) for i in (0, -1))


def lossy_within(images: Tensor, limits: Sequence[float], form: str) -> list[Coded]:
    """Slices through a lossy format, each at the highest quality that keeps to a limit.

    Where no quality does, the smallest file is taken and ``met`` is false.

    Args:
        images: `[N, 1, H, W]` in [0, 1].
        limits: bytes per slice without the header, one for each answer.
        form: one of `LOSSY_FORMS`; JPEG 2000 as a bare codestream.
    """
    settings = _LOSSY[form][1]
    header = header_bytes(tuple(images.shape[-2:]), form)
    answers: list[list] = [[] for _ in limits]
    for picture in _pictures(images):
        files: dict[int, bytes] = {}

        def size(i, picture=picture, files=files) -> int:
            if i not in files:
                files[i] = _write(picture, form, **settings[i])
            return max(0, len(files[i]) - header)

        for answer, limit in zip(answers, limits, strict=True):
            low, high = 0, len(settings) - 1  # file sizes rise with the quality
            while low < high:
                middle = (low + high + 1) // 2
                if size(middle) <= limit:
                    low = middle
                else:
                    high = middle - 1
            answer.append((size(low), files[low]))
    return [
        _coded(*zip(*a, strict=True), n) for a, n in zip(answers, limits, strict=True)
    ]


def _coded(sizes: Sequence[int], files: Sequence[bytes], limit: float) -> Coded:
    back = []
    for file in files:
        with Image.open(io.BytesIO(file)) as read:
            back.append(np.asarray(read.convert("L")))
    pixels = torch.from_numpy(np.stack(back)).float() / 255
    return Coded(pixels[:, None], np.array(sizes), np.array(sizes) <= limit)


def _pictures(images: Tensor) -> list[Image.Image]:
    grey = (images[:, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()
    return [Image.fromarray(slice_) for slice_ in grey]


def _write(picture: Image.Image, form: str, **settings) -> bytes:
    file = io.BytesIO()
    picture.save(file, form.replace(" ", ""), **settings)
    return file.getvalue()
