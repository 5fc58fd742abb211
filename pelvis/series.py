"""Images of a DICOM series as one block: do they belong together, and how does it lie.

Only positions and directions of the images themselves are believed (ImagePosition- and
ImageOrientationPatient), never the order of files, SliceLocation or the slice distance
that a header states: some scanners write these wrong.

Source of the geometry: DICOM PS3.3, C.7.6.2 (image plane).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqlib.data.slices import MAX_VOXELS
from vqlib.errors import UserError

EVEN = 0.1  # of the slice distance: how far it may vary


class Frame(NamedTuple):
    """One image of a series: where it lies and how it is stored."""

    path: Path
    number: int  # within its file
    position: np.ndarray  # [3], mm to the left, back and head, of the first pixel
    orientation: np.ndarray  # [6], along a row, down a column
    spacing: np.ndarray  # [2], mm between rows, between columns
    scale: np.ndarray  # [2], slope and intercept
    shape: tuple[int, int]  # rows, columns
    scanner: tuple[str | None, str | None]  # maker, model


def as_block(name: str, frames: list[Frame]) -> tuple[list[Frame], np.ndarray]:
    """The images from one end to the other, and the `[4, 4]` affine of
    `[rows, columns, slices]` (mm, RAS+). Raises `UserError`, with the name of the
    series, where they are no block of even, parallel slices of one scanner."""
    _judge_alike(name, frames)
    frames = _in_order(name, frames)
    first, last = frames[0], frames[-1]
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[3:] * first.spacing[0]  # from row to row
    affine[:3, 1] = first.orientation[:3] * first.spacing[1]
    affine[:3, 2] = (last.position - first.position) / (len(frames) - 1)
    affine[:3, 3] = first.position
    # DICOM leads to the left and back, NIfTI to the right and front
    return frames, np.diag([-1, -1, 1, 1]) @ affine


def _judge_alike(name: str, frames: list[Frame]) -> None:
    """Raises `UserError` where the images of a series do not belong together."""
    first = frames[0]
    for frame in frames:
        if not np.allclose(frame.orientation, first.orientation, atol=1e-3):
            fault = "slices of several directions, as a localizer has"
        elif frame.shape != first.shape:
            fault = "slices of several sizes"
        elif not np.allclose(frame.spacing, first.spacing, rtol=1e-3):
            fault = "slices with several pixel spacings"
        elif frame.scanner != first.scanner:
            fault = "slices of several scanners"
        else:
            continue
        raise UserError(
            f"{name} holds {fault} ({first.path.name}, {frame.path.name}); split it, "
            "or leave it out"
        )
    along, down = first.orientation[:3], first.orientation[3:]
    lengths = [*np.linalg.norm([along, down], axis=1), 1 + along @ down]
    rows, columns = first.shape
    if not np.allclose(lengths, 1, atol=0.01) or first.spacing.min() <= 0:
        fault = "no right angles or no positive pixel spacing; get it again"
    elif len(frames) * rows * columns > MAX_VOXELS:
        fault = f"{len(frames)} slices of {rows} x {columns}, too many; split it"
    elif len(frames) < 2:
        fault = "1 slice, which is no volume; get the rest, or leave it out"
    else:
        return
    raise UserError(f"{name} has {fault}")


def _in_order(name: str, frames: list[Frame]) -> list[Frame]:
    """The images from one end to the other; raises `UserError` where they are not
    evenly apart."""
    normal = np.cross(frames[0].orientation[:3], frames[0].orientation[3:])
    frames = sorted(frames, key=lambda frame: frame.position @ normal)
    places = np.array([frame.position for frame in frames])
    gaps = np.diff(places @ normal)
    usual = np.median(gaps)
    odd = np.flatnonzero((np.abs(gaps - usual) > EVEN * usual) | (gaps < 0.01))
    line = np.linspace(places[0], places[-1], len(places))
    if odd.size:
        gap = gaps[odd[0]]
        pair = " and ".join(f.path.name for f in frames[odd[0] : odd[0] + 2])
        apart = f"{pair} are {gap:.4g} mm apart, others {usual:.4g}"
        if gap < max(0.01, EVEN * usual):
            fault = f"has two slices in one place ({pair}), as of two echoes; keep one"
        elif gap > usual:
            fault = f"lacks slices between {apart}; get them, or leave it out"
        else:
            fault = f"has uneven slices: {apart}; split it, or leave it out"
    elif np.abs(places - line).max() > EVEN * usual:
        fault = "has slices that are shifted against each other; leave it out"
    else:
        return frames
    raise UserError(f"{name} {fault}")
