"""A scan in whatever orientation becomes upright slices on one grid.

The affine alone is believed. *Left is left*: the first axis of a coronal or axial slice
runs towards the patient's left, so that on an upright picture (``img.T`` with
``origin="lower"``) it is on the right, as on a radiologist's screen.

The field of view keeps its centre, what the grid has beyond it is 0. As a rule slices
follow *the axes of the patient*, whatever the tilt. *The slices of the scanner* are
kept where a scan is a stack of thick slices (`THICK`) within `MAX_TILT` of the plane
asked for: between them there is nothing to interpolate from. They are turned within
their own plane until the head is up, and their affine says how they are tilted.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

# where rows, columns and slices lead: left, superior, posterior, anterior
PLANES = {"coronal": "LSP", "axial": "LAS", "sagittal": "PSL"}
# in NIfTI's world, whose axes lead right, anterior and superior
_TOWARDS = {"L": (-1, 0, 0), "P": (0, -1, 0), "A": (0, 1, 0), "S": (0, 0, 1)}
MAX_TILT = 30  # degrees between thick slices and the plane that they are taken for
THICK = 2.05  # slice distance in pixel widths; 2 and the rounding of a header
SAME_SPACING = 0.01  # pixels this close to the grid's size keep their own
ANATOMY = 0.05  # of the fullest slice's bright pixels: fewer hold no anatomy


class Slice(NamedTuple):
    pixels: np.ndarray  # int16 or float32 [X, Z] (coronal), scanner's units
    labels: np.ndarray | None  # uint8 [X, Z]
    affine: np.ndarray  # [4, 4], mm


def cut(
    pixels: np.ndarray,
    labels: np.ndarray | None,
    affine: np.ndarray,
    plane: str = "coronal",
    grid: tuple[int, int] = (256, 128),
    spacing: tuple[float, float] = (1.68, 1.56),
    slices: int | None = 60,
) -> list[Slice]:
    """Cut a volume `[I, J, K]` with its `[4, 4]` affine (mm, RAS+) into slices.

    Coronal slices run from front to back, axial ones from the feet to the head,
    sagittal ones from right to left. ``slices`` (``None``: all) are spread evenly from
    the first to the last that holds anatomy. Images are smoothed as far as the grid is
    coarser than the scan, so that fine structure does not alias (Cardoso et al. 2015,
    Scale factor point spread function matching), and interpolated linearly; labels take
    the nearest voxel. Whole numbers of 16 bits stay so. Pixels within 1 % of the grid's
    size are not resized: a volume on the grid comes out as it went in.
    """
    frame, count = _frame(affine, pixels.shape, plane, grid, spacing)
    # from (row, column, slice); rounded, so that an exact half or border stays one
    to_voxels = (np.linalg.inv(affine) @ frame).round(9)
    image = _antialias(pixels, to_voxels)
    chosen = _choose(image, to_voxels, grid, count, slices)
    gap = np.diff(chosen).mean() if len(chosen) > 1 else 1
    low, high = pixels.min(), pixels.max()
    whole = pixels.dtype.kind in "iu" and -(2**15) <= low <= high < 2**15
    found = []
    for s in chosen:
        picture = _sample(image, to_voxels, grid, s, order=1)
        if whole:
            picture = np.rint(picture).astype(np.int16)
        shown = None if labels is None else _sample(labels, to_voxels, grid, s, order=0)
        at = frame.copy()
        at[:3, 3] += s * frame[:3, 2]
        at[:3, 2] *= gap  # mm between neighbours that are kept
        found.append(Slice(picture, shown, at))
    return found


def _frame(affine, shape, plane, grid, spacing) -> tuple[np.ndarray, int]:
    """Affine of (row, column, slice) of all slices on offer, and their number."""
    rows, columns, through = (np.array(_TOWARDS[c], float) for c in PLANES[plane])
    axes = affine[:3, :3]
    width = np.linalg.norm(axes, axis=0)  # mm of a voxel
    thick = _thick_axis(axes, width, through)
    if thick is None:
        k = int(np.argmax(np.abs(through @ (axes / width))))
        step = through * width[k]
        extent = np.abs(through @ axes) @ shape  # of the whole box, mm
        count = max(1, int(extent / width[k] + 1e-3))
    else:
        step = axes[:, thick] * np.sign(through @ axes[:, thick])
        count = shape[thick]
        normal = np.cross(*np.delete(axes, thick, axis=1).T)
        normal /= np.linalg.norm(normal)
        columns = columns - (columns @ normal) * normal
        columns /= np.linalg.norm(columns)
        rows = rows - (rows @ normal) * normal - (rows @ columns) * columns
        rows /= np.linalg.norm(rows)
    sides = []
    for direction, size in zip((rows, columns), spacing, strict=True):
        own = width[np.argmax(np.abs(direction @ (axes / width)))]
        sides.append(direction * (own if abs(own / size - 1) < SAME_SPACING else size))
    frame = np.eye(4)
    frame[:3, :3] = np.column_stack([*sides, step])
    centre = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    frame[:3, 3] = centre - frame[:3, :3] @ ((np.array([*grid, count]) - 1) / 2)
    return frame, count


def _thick_axis(axes, width, through) -> int | None:
    """The axis that leads from one thick slice to the next, where they lie in the
    plane whose normal is ``through``."""
    k = int(np.argmax(width))
    others = np.delete(axes, k, axis=1)
    if width[k] <= THICK * np.linalg.norm(others, axis=0).max():
        return None
    normal = np.cross(*others.T)
    tilt = np.abs(normal @ through) / np.linalg.norm(normal)
    return k if tilt >= np.cos(np.radians(MAX_TILT)) else None


def _antialias(pixels, to_voxels) -> np.ndarray:
    """Smoothed along each axis to the sharpness of the grid where that is coarser."""
    image = pixels.astype(np.float32)
    steps = np.abs(to_voxels[:3, :2]).max(axis=1)  # voxels from pixel to pixel
    # widths at half height add as squares: of a voxel, 1, and of a pixel, step
    sigma = np.sqrt(np.maximum(steps**2 - 1, 0)) / np.sqrt(8 * np.log(2))
    return gaussian_filter(image, sigma, mode="nearest")


def _choose(image, to_voxels, grid, count, slices) -> np.ndarray:
    """Numbers of the slices to keep, in order."""
    coarse = to_voxels.copy()
    coarse[:3, :2] *= 4  # every fourth row and column is enough to see a body
    size = (*(max(1, side // 4) for side in grid), count)
    low, high = np.percentile(image, [5, 99.5])
    place = coarse[:3, :3], coarse[:3, 3], size
    look = affine_transform(image, *place, order=0, mode="constant", cval=low)
    bright = (look > low + 0.1 * (high - low)).sum(axis=(0, 1))
    held = np.flatnonzero(bright > ANATOMY * bright.max())
    if not held.size:
        return held
    first, last = held[0], held[-1]
    wanted = min(slices or count, last - first + 1)
    return np.rint(np.linspace(first, last, wanted)).astype(int)


def _sample(volume, to_voxels, grid, number, order) -> np.ndarray:
    """One slice `[X, Z]`; half a voxel beyond the last centre is still seen."""
    offset = to_voxels[:3, 3] + number * to_voxels[:3, 2]
    place = to_voxels[:3, :3], offset, (*grid, 1)
    how = {"order": order, "mode": "grid-constant", "prefilter": False}
    return affine_transform(volume, *place, **how)[:, :, 0]
