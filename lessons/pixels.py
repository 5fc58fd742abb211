"""Slices as pixels for the browser: what a widget shows is one small PNG.

A matplotlib figure takes a tenth of a second or more, which is too slow to paint with;
an array takes a few milliseconds. Slices `[H, W]` are turned upright here: pictures are
`[rows, columns, 3]`, uint8, with the head end in the first row.
"""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from lessons.style import CHANGE, LABEL_COLOURS, SLICE_MM, as_slices
from vqlib.data import LABEL_NAMES

ASPECT = SLICE_MM[0] / SLICE_MM[1]  # width / height of a slice on screen


def grey(image, window: tuple[float, float] = (0.0, 1.0), scale: int = 1) -> np.ndarray:
    """A slice `[H, W]` (or `[1, 1, H, W]`), each pixel ``scale`` x ``scale``."""
    low, high = window
    values = (_upright(as_slices(image)[0], scale) - low) / max(high - low, 1e-6)
    return np.repeat(_bytes(values)[..., None], 3, axis=2)


def heat(values, top: float | None = None) -> np.ndarray:
    """A map `[h, w]` from 0 to ``top`` (its maximum when not given), in viridis."""
    values = np.asarray(values, dtype=float)
    top = max(values.max() if top is None else top, 1e-12)
    return _bytes(matplotlib.colormaps["viridis"](_upright(values) / top)[..., :3])


def change(difference, limit: float = 0.5) -> np.ndarray:
    """More (red) or less (blue) signal `[H, W]`, white where it stays."""
    values = _upright(as_slices(difference)[0]) / (2 * limit) + 0.5
    return _bytes(matplotlib.colormaps[CHANGE](values)[..., :3])


def fill(picture: np.ndarray, where, colour: str, alpha: float = 0.6) -> np.ndarray:
    """A picture with the cells of a mask `[h, w]` filled; the picture's size must be a
    multiple of the mask's."""
    where = _upright(np.asarray(where, dtype=bool))
    rows, columns = (
        n // k for n, k in zip(picture.shape[:2], where.shape, strict=True)
    )
    where = where.repeat(rows, 0).repeat(columns, 1)
    mixed = (1 - alpha) * picture[where] + alpha * 255 * np.array(to_rgb(colour))
    picture = picture.copy()
    picture[where] = mixed.astype(np.uint8)
    return picture


def with_labels(picture: np.ndarray, labels, alpha: float = 0.5) -> np.ndarray:
    """A picture with its label map `[H, W]`: the body outlined, the rest filled."""
    labels = np.asarray(labels)
    for value, name in enumerate(LABEL_NAMES):
        if value > 1:  # neither background nor body
            picture = fill(picture, labels == value, LABEL_COLOURS[name], alpha)
    scale = picture.shape[0] // labels.shape[1]
    body = np.pad(_upright(labels > 0, scale), 1)
    inside = body[1:-1, 1:-1]
    for shift in (-1, 1):
        for axis in (0, 1):
            inside = inside & np.roll(body, shift, axis)[1:-1, 1:-1]
    edge = body[1:-1, 1:-1] & ~inside
    picture[edge] = _bytes(np.array(to_rgb(LABEL_COLOURS["body"])))
    return picture


def sheet(patches: Sequence, columns: int) -> np.ndarray:
    """Patches `[n, a, b]` side by side, each with a dark rim; the last row is filled up
    with grey. Grey values in [0, 1]."""
    patches = as_slices(patches)
    n, a, b = patches.shape
    rows = -(-n // columns)
    cells = np.full((rows * columns, b + 2, a + 2), 0.35, dtype=float)
    cells[:n] = 0.0
    cells[:n, 1:-1, 1:-1] = patches.swapaxes(1, 2)[:, ::-1]
    cells = cells.reshape(rows, columns, b + 2, a + 2).swapaxes(1, 2)
    values = cells.reshape(rows * (b + 2), columns * (a + 2))
    return np.repeat(_bytes(values)[..., None], 3, axis=2)


def png(picture: np.ndarray) -> bytes:
    """The bytes that a browser shows."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def to_cell(place: tuple[int, int], grid: tuple[int, int]) -> list[int]:
    """Place (i, j) of a code grid → column and row on screen."""
    return [int(place[0]), grid[1] - 1 - int(place[1])]


def to_place(cell: Sequence[int], grid: tuple[int, int]) -> tuple[int, int]:
    """Column and row on screen → place (i, j) of a code grid."""
    return int(cell[0]), grid[1] - 1 - int(cell[1])


def _upright(values: np.ndarray, scale: int = 1) -> np.ndarray:
    turned = values.T[::-1]
    return turned.repeat(scale, 0).repeat(scale, 1) if scale > 1 else turned


def _bytes(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
