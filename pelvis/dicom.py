"""A DICOM series as a volume.

A series is what shares a SeriesInstanceUID, wherever its files lie. It has to be one
block of parallel slices, evenly apart, of one scanner: localizers in three directions,
several echoes or b-values, and lost slices are refused. Readers of whole series, such
as SimpleITK's, take all of these without a word, so pydicom reads the images one by
one; enhanced multi-frame files are a series in one file (DICOM PS3.3, C.7.6.16).

Only positions and directions of the images are believed (ImagePosition- and
ImageOrientationPatient; PS3.3, C.7.6.2), never the order of files, SliceLocation or the
slice distance of the header: some scanners write these wrong.
"""

import logging
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.pixels import get_decoder

from vqlib.data.slices import MAX_SIDE, MAX_VOXELS
from vqlib.errors import UserError

EVEN = 0.1  # of the slice distance: how far it may vary
_PLACE = ("PlanePosition", "PlaneOrientation", "PixelMeasures")
_PLACE += ("PixelValueTransformation",)
logging.getLogger("pydicom").setLevel("CRITICAL")  # its remarks come as our one line


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


def read_series(paths: tuple[Path, ...]) -> tuple[str, np.ndarray, np.ndarray]:
    """One series as a volume.

    Returns its name for messages, the pixels `[rows, columns, slices]` (integers, or
    float32 where the header scales them) and the `[4, 4]` affine (mm, RAS+). Raises
    `UserError` for a series that is no single block of even, parallel grey slices, and
    for files that are damaged or compressed in a way that needs another package.
    """
    frames = []
    for path in paths:
        with reading(path):
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            frames += _frames(path, header)
            about = header.get("SeriesNumber"), header.get("SeriesDescription", "")
    about = " ".join(" ".join(map(str, about)).split())
    name = f"{paths[0].parent} (series {about})"
    _judge_alike(name, frames)
    frames = _in_order(name, frames)
    first, last = frames[0], frames[-1]
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[3:] * first.spacing[0]  # from row to row
    affine[:3, 1] = first.orientation[:3] * first.spacing[1]
    affine[:3, 2] = (last.position - first.position) / (len(frames) - 1)
    affine[:3, 3] = first.position
    # DICOM leads to the left and back, NIfTI to the right and front
    return name, _pixels(frames), np.diag([-1, -1, 1, 1]) @ affine


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
        what = f"{path} is truncated or no DICOM image ({reason})"
        raise UserError(f"{what}; get the file again") from None


def _frames(path: Path, header) -> list[Frame]:
    """The images of one file; its pixels are not read yet."""
    kind = header.PhotometricInterpretation
    if header.SamplesPerPixel != 1 or kind != "MONOCHROME2":
        raise UserError(f"{path} holds {kind} pixels, not grey; leave its series out")
    syntax = header.file_meta.TransferSyntaxUID
    try:
        plugin = "openjpeg" if "2000" in syntax.name else "libjpeg"
        remedy = f"install the decoder: pip install pylibjpeg pylibjpeg-{plugin}"
        readable = get_decoder(syntax).is_available
    except NotImplementedError:
        readable, remedy = False, "convert the series to NIfTI with dcm2niix"
    if not readable:
        raise UserError(f"{path} is compressed as {syntax.name}; {remedy}")
    shape = rows, columns = int(header.Rows), int(header.Columns)
    count = int(header.get("NumberOfFrames") or 1)
    if max(shape) > MAX_SIDE or min(shape) < 2 or count * rows * columns > MAX_VOXELS:
        size = f"{count} images of {rows} x {columns} pixels"
        raise UserError(f"{path} declares {size}; get the file again")
    scanner = (header.get("Manufacturer"), header.get("ManufacturerModelName"))
    frames = []
    for number in range(count):
        try:
            plane = _plane(header, number, count)
        except AttributeError as lacking:
            what = f"does not say how it lies in the patient ({lacking.name})"
            raise UserError(f"{path} {what}; leave its series out") from None
        if not np.isfinite(np.concatenate(plane)).all():
            raise ValueError("a place that is no number")
        frames.append(Frame(path, number, *plane, shape, scanner))
    return frames


def _plane(header, number: int, count: int) -> list[np.ndarray]:
    """Position, orientation, spacing and scale of one image of a file."""
    parts = [header] * 4
    if count > 1 or "PerFrameFunctionalGroupsSequence" in header:
        own = header.PerFrameFunctionalGroupsSequence[number]
        shared = header.SharedFunctionalGroupsSequence[0]
        names = [f"{name}Sequence" for name in _PLACE]
        empty = [pydicom.Dataset()]
        parts = [(own.get(name) or shared.get(name) or empty)[0] for name in names]
    position, orientation, measures, scale = parts
    plane = (
        (position.ImagePositionPatient, 3),
        (orientation.ImageOrientationPatient, 6),
        (measures.PixelSpacing, 2),
        ((scale.get("RescaleSlope", 1), scale.get("RescaleIntercept", 0)), 2),
    )
    return [np.array(values, float).reshape(size) for values, size in plane]


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
        pair = f"{first.path.name}, {frame.path.name}"
        raise UserError(f"{name} holds {fault} ({pair}); split it, or leave it out")
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
    """The images from end to end; raises `UserError` if they are not evenly apart."""
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


def _pixels(frames: list[Frame]) -> np.ndarray:
    """[rows, columns, slices]"""
    stored = {}
    for path in dict.fromkeys(frame.path for frame in frames):
        with reading(path):
            image = pydicom.dcmread(path, force=True).pixel_array
            stored[path] = image.reshape(-1, *frames[0].shape)
    volume = np.stack([stored[f.path][f.number] for f in frames], axis=-1)
    slope, intercept = np.array([f.scale for f in frames], np.float32).T
    if (slope == 1).all() and not intercept.any():
        return volume
    return volume * slope + intercept
