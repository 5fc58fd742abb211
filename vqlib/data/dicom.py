"""DICOM series: which are in a folder, and one of them as a volume.

Only positions and directions of the images themselves are believed (ImagePosition- and
ImageOrientationPatient), never the order of files, SliceLocation or the slice distance
that a header states: some scanners write these wrong. A series has to be one block of
parallel slices, evenly apart, of one scanner; whatever else shares its UID (localizers
in three directions, echoes, b-values, lost slices) is refused. Enhanced multi-frame
files are series in one file and are read alike.

Source of the geometry: DICOM PS3.3, C.7.6.2 (image plane) and C.7.6.16 (multi-frame).
"""

import logging
import warnings
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import get_decoder
from tqdm.auto import tqdm

from vqlib.data.nifti import MAX_SIDE, MAX_VOXELS
from vqlib.data.sources import Source, natural
from vqlib.errors import UserError

EVEN = 0.1  # of the slice distance: how far it may vary
_TAGS = (
    "SOPClassUID",
    "Modality",
    "Rows",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyDate",
    "StudyTime",
    "SeriesNumber",
)
logging.getLogger("pydicom").setLevel("CRITICAL")  # its remarks come as our one line


@dataclass(frozen=True)
class _Frame:
    """One image of a series: where it lies and how it is stored."""

    path: Path
    number: int  # within its file
    position: np.ndarray  # [3], mm to the left, back and head, of the first pixel
    orientation: np.ndarray  # [6], along a row, down a column
    spacing: np.ndarray  # [2], mm between rows, between columns
    shape: tuple[int, int]  # rows, columns
    scale: tuple[float, float]  # slope, intercept
    scanner: tuple[str | None, str | None]  # maker, model


def dicom_sources(
    folder: Path, paths: list[Path], progress: bool = True
) -> tuple[list[Source], list[str], int]:
    """The MR series among some files, a line for each damaged file, and the number of
    DICOM files that are no MR images. Files that are no DICOM at all are passed over.
    """
    series, faults, ignored = defaultdict(list), [], 0
    quiet = not (progress and paths)
    for path in tqdm(paths, "reading headers", disable=quiet, leave=False):
        try:
            header = _header(path)
        except UserError as fault:
            faults.append(str(fault))
            continue
        if header is None:
            continue
        if header["Modality"] != "MR" or not header["Rows"]:
            ignored += 1
        elif header["SeriesInstanceUID"]:
            series[header["SeriesInstanceUID"]].append((path, header))
        else:
            faults.append(f"{path} has no SeriesInstanceUID; get the file again")
    sources = []
    for uid, found in series.items():
        people = {_patient(header) for _, header in found}
        if len(people) > 1:
            faults.append(
                f"{found[0][0].parent} (series {uid}) belongs to {len(people)} "
                "patients; correct PatientID, or leave the series out"
            )
            continue
        files = tuple(path for path, _ in found)
        name = files[0].parent.relative_to(folder).as_posix()
        when = " ".join(found[0][1][key] for key in _TAGS[-3:])
        sources.append(
            Source(
                name,
                files,
                people.pop(),
                series=uid,
                when=tuple(natural(f"{when} {uid}")),
            )
        )
    return sources, faults, ignored


def read_series(paths: tuple[Path, ...]) -> tuple[str, np.ndarray, np.ndarray]:
    """One series as a volume.

    Returns its name for messages, the pixels `[rows, columns, slices]` (integers, or
    float32 where the header scales them) and the `[4, 4]` affine (mm, RAS+). Raises
    `UserError` for a series that is no single block of even, parallel grey slices, and
    for files that are damaged or compressed in a way that needs another package.
    """
    frames = []
    for path in paths:
        with _reading(path):
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            frames += _frames(path, header)
    about = f"{header.get('SeriesNumber', '')} {header.get('SeriesDescription', '')}"
    name = f"{paths[0].parent} (series {' '.join(about.split())})"
    _judge_alike(name, frames)
    frames = _in_order(name, frames)
    first, last = frames[0], frames[-1]
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[3:] * first.spacing[0]  # from row to row
    affine[:3, 1] = first.orientation[:3] * first.spacing[1]
    affine[:3, 2] = (last.position - first.position) / (len(frames) - 1)
    affine[:3, 3] = first.position
    affine = np.diag([-1, -1, 1, 1]) @ affine  # DICOM leads left and back, NIfTI not
    return name, _pixels(frames), affine


def _header(path: Path) -> dict[str, str] | None:
    """What tells whose image a file is; None where it is no DICOM."""
    named = path.suffix.lower() in (".dcm", ".ima")
    with _reading(path):
        with path.open("rb") as file:
            dicom = file.read(132)[128:] == b"DICM"
        if not (dicom or named) or path.name.upper() == "DICOMDIR":
            return None
        header = pydicom.dcmread(
            path, stop_before_pixels=True, force=True, specific_tags=list(_TAGS)
        )
        found = {key: " ".join(str(header.get(key, "")).split()) for key in _TAGS}
        if not (found["SOPClassUID"] or found["Modality"]):
            raise ValueError("no image in it")
        return found


def _patient(header: dict[str, str]) -> str:
    """PatientID, or the study where that was removed."""
    return header["PatientID"].lower() or f"study {header['StudyInstanceUID']}"


@contextmanager
def _reading(path: Path):
    """Turns whatever a damaged file makes pydicom raise into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its remarks come as our one line
            yield
    except UserError:
        raise
    except OSError as fault:
        raise UserError(
            f"{path} cannot be read ({fault.strerror or fault}); check its permissions "
            "or get it again"
        ) from None
    except Exception as fault:  # a parser meets damage with any exception
        reason = " ".join(str(fault).split())[:120] or type(fault).__name__
        raise UserError(
            f"{path} is truncated or no DICOM image ({reason}); get the file again"
        ) from None


def _frames(path: Path, header) -> list[_Frame]:
    grey = header.SamplesPerPixel == 1
    if not grey or header.PhotometricInterpretation != "MONOCHROME2":
        raise UserError(
            f"{path} holds {header.PhotometricInterpretation} pixels; only grey values "
            "(MONOCHROME2) are converted, leave its series out"
        )
    _judge_syntax(path, header.file_meta.TransferSyntaxUID)
    shape = (int(header.Rows), int(header.Columns))
    count = int(header.get("NumberOfFrames") or 1)
    if max(shape) > MAX_SIDE or min(shape) < 2 or count * np.prod(shape) > MAX_VOXELS:
        raise UserError(
            f"{path} declares {count} images of {shape[0]} x {shape[1]} pixels; the "
            "header is damaged, get the file again"
        )
    scanner = (header.get("Manufacturer"), header.get("ManufacturerModelName"))
    frames = []
    for number in range(count):
        try:
            plane = _plane(header, number, count)
        except AttributeError as lacking:
            raise UserError(
                f"{path} does not say how it lies in the patient "
                f"({str(lacking).split()[-1]}); leave its series out"
            ) from None
        position, orientation, spacing, scale = (np.array(v, float) for v in plane)
        if not np.isfinite(np.r_[position, orientation, spacing, scale]).all():
            raise ValueError("a place that is no number")
        frames.append(
            _Frame(
                path,
                number,
                position.reshape(3),
                orientation.reshape(6),
                spacing.reshape(2),
                shape,
                tuple(scale),
                scanner,
            )
        )
    return frames


def _plane(header, number: int, count: int) -> tuple:
    """Position, orientation, spacing and scale of one image of a file."""
    if count > 1 or "PerFrameFunctionalGroupsSequence" in header:
        own = header.PerFrameFunctionalGroupsSequence[number]
        shared = header.SharedFunctionalGroupsSequence[0]

        def group(name: str):
            return (own.get(name) or shared.get(name) or [pydicom.Dataset()])[0]

        position = group("PlanePositionSequence")
        orientation = group("PlaneOrientationSequence")
        measures = group("PixelMeasuresSequence")
        scale = group("PixelValueTransformationSequence")
    else:
        position = orientation = measures = scale = header
    return (
        position.ImagePositionPatient,
        orientation.ImageOrientationPatient,
        measures.PixelSpacing,
        (scale.get("RescaleSlope", 1), scale.get("RescaleIntercept", 0)),
    )


def _judge_syntax(path: Path, syntax) -> None:
    """Raises `UserError` where pixels are compressed and the decoder is missing."""
    try:
        if get_decoder(syntax).is_available:
            return
        plugin = "openjpeg" if "2000" in syntax.name else "libjpeg"
        remedy = f"install the decoder: pip install pylibjpeg pylibjpeg-{plugin}"
    except NotImplementedError:
        remedy = "convert the series to NIfTI with dcm2niix"
    raise UserError(f"{path} is compressed as {syntax.name}; {remedy}")


def _judge_alike(name: str, frames: list[_Frame]) -> None:
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
    if not np.allclose(lengths, 1, atol=0.01) or first.spacing.min() <= 0:
        raise UserError(
            f"{name} has directions that are not at right angles, or a pixel spacing "
            "that is not positive; get it again"
        )
    if len(frames) * np.prod(first.shape) > MAX_VOXELS:
        raise UserError(
            f"{name} has {len(frames)} slices of {first.shape[0]} x {first.shape[1]}, "
            "too many for one volume; split it, or leave it out"
        )


def _in_order(name: str, frames: list[_Frame]) -> list[_Frame]:
    """The images from one end to the other; raises `UserError` where they are not
    evenly apart."""
    if len(frames) < 2:
        raise UserError(
            f"{name} has 1 slice, which is no volume; get the rest, or leave it out"
        )
    normal = np.cross(frames[0].orientation[:3], frames[0].orientation[3:])
    frames = sorted(frames, key=lambda frame: frame.position @ normal)
    places = np.array([frame.position for frame in frames])
    apart = np.diff(places @ normal)
    usual = np.median(apart)
    for before, after, gap in zip(frames, frames[1:], apart, strict=False):
        pair = f"{before.path.name} and {after.path.name}"
        if gap < 0.01 or gap < EVEN * usual:
            raise UserError(
                f"{name} has two slices in one place ({pair}): a copy, or several "
                "echoes or b-values; keep one of each place"
            )
        if gap > usual * (1 + EVEN):
            raise UserError(
                f"{name} lacks slices between {pair}, which are {gap:.4g} mm apart and "
                f"the others {usual:.4g}; get them, or leave the series out"
            )
        if gap < usual * (1 - EVEN):
            raise UserError(
                f"{name} has uneven slices: {pair} are {gap:.4g} mm apart and others "
                f"{usual:.4g}; split it, or leave it out"
            )
    line = np.linspace(places[0], places[-1], len(places))
    if np.abs(places - line).max() > EVEN * usual:
        raise UserError(
            f"{name} has slices that are shifted against each other; leave it out"
        )
    return frames


def _pixels(frames: list[_Frame]) -> np.ndarray:
    """[rows, columns, slices]"""
    stored = {}
    for path in dict.fromkeys(frame.path for frame in frames):
        with _reading(path):
            image = pydicom.dcmread(path, force=True).pixel_array
            stored[path] = image.reshape(
                -1, *frames[0].shape
            )  # [frames, rows, columns]
    volume = np.stack([stored[f.path][f.number] for f in frames], axis=-1)
    if all(frame.scale == (1.0, 0.0) for frame in frames):
        return volume
    slope, intercept = np.array([frame.scale for frame in frames], np.float32).T
    return volume * slope + intercept
