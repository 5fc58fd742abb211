"""Slices as pictures for the browser: what a widget shows is one small PNG.

A matplotlib figure takes a tenth of a second or more, which is too slow to paint with;
an array takes a few milliseconds.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.image import imsave

from lessons.style import SLICE_MM, as_slices

ASPECT = SLICE_MM[0] / SLICE_MM[1]  # width / height of a slice on screen


def png(
    picture: np.ndarray, window: tuple[float, float] = (0.0, 1.0), cmap: str = "gray"
) -> bytes:
    """The bytes that a browser shows of values `[rows, columns]`."""
    file = io.BytesIO()
    imsave(file, picture, *window, cmap, "png")
    return file.getvalue()


def upright(image) -> np.ndarray:
    """A slice `[H, W]` (or `[1, 1, H, W]`) with the head end in the first row."""
    return as_slices(image)[0].T[::-1]


def sheet(patches: Sequence, columns: int) -> np.ndarray:
    """Patches `[n, a, b]` upright, side by side, each with a dark rim; the last row is
    filled up with grey."""
    patches = as_slices(patches)
    n, a, b = patches.shape
    rows = -(-n // columns)
    cells = np.full((rows * columns, b + 2, a + 2), 0.35)
    cells[:n] = 0.0
    cells[:n, 1:-1, 1:-1] = patches.swapaxes(1, 2)[:, ::-1]
    cells = cells.reshape(rows, columns, b + 2, a + 2).swapaxes(1, 2)
    return cells.reshape(rows * (b + 2), columns * (a + 2))


def to_cell(place: Sequence[int], grid: tuple[int, int]) -> list[int]:
    """Place (i, j) of a code grid → column and row on screen, and back."""
    return [int(place[0]), grid[1] - 1 - int(place[1])]
