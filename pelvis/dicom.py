"""A DICOM series as a volume: one block of parallel slices, evenly apart.

Localizers in three directions, several echoes, and lost slices are refused. Readers of
whole series, such as SimpleITK's, take these without a word, so pydicom reads images
one by one. Their positions and directions alone are believed (ImagePosition- and
ImageOrientationPatient; DICOM PS3.3, C.7.6.2), never the order of files, SliceLocation
or the slice distance of the header: some scanners write these wrong.
"""

import logging
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom

from vqlib.data.slices import MAX_SIDE, MAX_VOXELS
from vqlib.errors import UserError

EVEN = 0.1  # of the slice distance: how far a slice may lie from its place
logging.getLogger("pydicom").setLevel("CRITICAL")  # its remarks come as our one line


class Frame(NamedTuple):
    """One image of a series: where it lies and how it is stored."""

    path: Path
    position: np.ndarray  # [3], mm to the left, back and head, of the first pixel
    orientation: np.ndarray  # [2, 3], along a row, down a column
    spacing: np.ndarray  # [2], mm between rows, between columns
    scale: np.ndarray  # [2], slope and intercept
    shape: tuple[int, int]  # rows, columns


def read_series(paths: tuple[Path, ...]) -> tuple[str, np.ndarray, np.ndarray]:
    """A series: its name for messages, its pixels `[rows, columns, slices]` (integers,
    float32 where the header scales them), and its `[4, 4]` affine (mm, RAS+).

    Raises `UserError` for a series that is no single block of even, parallel grey
    slices, and for files that are damaged or compressed in a way that pydicom cannot
    read.
    """
    frames = []
    for path in paths:
        with reading(path):
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            frames.append(_frame(path, header))
    name = f"{paths[0].parent} (series {header.get('SeriesNumber')})"
    places = _in_order(name, frames)
    images = []
    for frame in frames:
        with reading(frame.path):
            image = pydicom.dcmread(frame.path, force=True).pixel_array
            images.append(image.reshape(frame.shape))
    pixels = np.stack(images, axis=-1)
    slope, intercept = np.array([f.scale for f in frames], np.float32).T
    if (slope != 1).any() or intercept.any():
        pixels = pixels * slope + intercept
    first, affine = frames[0], np.eye(4)
    affine[:3, 0] = first.orientation[1] * first.spacing[0]  # from row to row
    affine[:3, 1] = first.orientation[0] * first.spacing[1]
    affine[:3, 2] = (places[-1] - places[0]) / (len(frames) - 1)
    affine[:3, 3] = first.position
    # DICOM leads to the left and back, NIfTI to the right and front
    return name, pixels, np.diag([-1, -1, 1, 1]) @ affine


@contextmanager
def reading(path: Path):
    """Turns whatever a damaged file makes pydicom raise into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except OSError as fault:
        what = f"{path} cannot be read ({fault.strerror or fault})"
        raise UserError(f"{what}; change its permissions") from None
    except Exception as fault:  # a parser meets damage with any exception
        reason = " ".join(str(fault).split())[:120] or type(fault).__name__
        remedy = "get the file again, or convert the series to NIfTI with dcm2niix"
        what = f"{path} is truncated or no DICOM image that can be read ({reason})"
        raise UserError(f"{what}; {remedy}") from None


def _frame(path: Path, header) -> Frame:
    """The image of one file; its pixels are not read yet."""
    kind, shape = header.PhotometricInterpretation, (header.Rows, header.Columns)
    if header.SamplesPerPixel != 1 or kind != "MONOCHROME2":
        raise UserError(f"{path} holds {kind} pixels, not grey; leave its series out")
    if int(header.get("NumberOfFrames") or 1) != 1:
        remedy = "convert the series to NIfTI with dcm2niix"
        raise UserError(f"{path} declares {header.NumberOfFrames} images; {remedy}")
    if max(shape) > MAX_SIDE or min(shape) < 2:
        size = f"{shape[0]} x {shape[1]} pixels"
        raise UserError(f"{path} declares {size}; get the file again")
    scale = header.get("RescaleSlope", 1), header.get("RescaleIntercept", 0)
    plane = (
        np.array(header.ImagePositionPatient, float).reshape(3),
        np.array(header.ImageOrientationPatient, float).reshape(2, 3),
        np.array(header.PixelSpacing, float).reshape(2),
        np.array(scale, float),
    )
    if not all(np.isfinite(values).all() for values in plane):
        raise ValueError("a place that is no number")
    return Frame(path, *plane, shape)


def _in_order(name: str, frames: list[Frame]) -> np.ndarray:
    """Sorts images from end to end and returns their positions `[N, 3]`; raises
    `UserError` where they do not belong together or are not evenly apart."""
    first = frames[0]
    for frame in frames:
        for what, same in (
            ("sizes", frame.shape == first.shape),
            ("directions", np.allclose(frame.orientation, first.orientation, 0, 1e-3)),
            ("pixel spacings", np.allclose(frame.spacing, first.spacing, 1e-3)),
        ):
            if not same:
                pair = f"{first.path.name}, {frame.path.name}"
                fault = f"holds slices of several {what} ({pair})"
                raise UserError(f"{name} {fault}; split it, or leave it out")
    angles = first.orientation @ first.orientation.T
    if not np.allclose(angles, np.eye(2), atol=0.01) or first.spacing.min() <= 0:
        fault = "has no right angles or no positive pixel spacing"
        raise UserError(f"{name} {fault}; get it again")
    if not 2 <= len(frames) <= MAX_VOXELS // np.prod(first.shape):
        fault = f"has {len(frames)} slices, too few or too many for a volume"
        raise UserError(f"{name} {fault}; get the rest, or leave it out")
    normal = np.cross(*first.orientation)
    frames.sort(key=lambda frame: frame.position @ normal)
    places = np.array([frame.position for frame in frames])
    even = np.linspace(places[0], places[-1], len(places))
    step, off = (
        np.linalg.norm(x, axis=1) for x in (np.diff(even, axis=0), places - even)
    )
    if step[0] < 0.01 or off.max() > EVEN * step[0]:
        worst = f"{frames[off.argmax()].path.name} lies {off.max():.4g} mm off"
        fault = f"has slices that are not evenly apart ({worst})"
        remedy = "get what is lost, split several echoes, or leave it out"
        raise UserError(f"{name} {fault}; {remedy}")
    return places
