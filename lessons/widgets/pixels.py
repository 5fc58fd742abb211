"""Slices as pixels for the browser: what a widget shows is one small PNG.

A matplotlib figure takes a tenth of a second or more, which is too slow to paint with;
an array takes a few milliseconds. Slices `[H, W]` are turned upright here: pictures are
`[rows, columns, 3]`, uint8, with the head end in the first row.
"""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image

from lessons.style import CHANGE, SLICE_MM, as_slices

ASPECT = SLICE_MM[0] / SLICE_MM[1]  # width / height of a slice on screen


def grey(image) -> np.ndarray:
    """A slice `[H, W]` (or `[1, 1, H, W]`) with grey values in [0, 1]."""
    return _grey(as_slices(image)[0].T[::-1])


def change(difference, limit: float = 0.5) -> np.ndarray:
    """More (red) or less (blue) signal `[H, W]`, white where it stays."""
    values = as_slices(difference)[0].T[::-1] / (2 * limit) + 0.5
    return _bytes(matplotlib.colormaps[CHANGE](values)[..., :3])


def sheet(patches: Sequence, columns: int) -> np.ndarray:
    """Patches `[n, a, b]` side by side, each with a dark rim; the last row is filled up
    with grey. Grey values in [0, 1]."""
    patches = as_slices(patches)
    n, a, b = patches.shape
    rows = -(-n // columns)
    cells = np.full((rows * columns, b + 2, a + 2), 0.35)
    cells[:n] = 0.0
    cells[:n, 1:-1, 1:-1] = patches.swapaxes(1, 2)[:, ::-1]
    cells = cells.reshape(rows, columns, b + 2, a + 2).swapaxes(1, 2)
    return _grey(cells.reshape(rows * (b + 2), columns * (a + 2)))


def png(picture: np.ndarray) -> bytes:
    """The bytes that a browser shows."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def to_cell(place: Sequence[int], grid: tuple[int, int]) -> list[int]:
    """Place (i, j) of a code grid → column and row on screen, and back."""
    return [int(place[0]), grid[1] - 1 - int(place[1])]


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(_bytes(values)[..., None], 3, axis=2)


def _bytes(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
