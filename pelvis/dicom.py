"""DICOM series: which are in a folder, and one of them as a volume.

A series is what shares a SeriesInstanceUID, wherever its files lie. It has to be one
block of parallel slices, evenly apart, of one scanner (`pelvis.series`): localizers in
three directions, several echoes or b-values, and lost slices are refused. Readers of
whole series, such as SimpleITK's, take all of these without a word, so pydicom reads
the images one by one. Enhanced multi-frame files are a series in one file and are read
alike (DICOM PS3.3, C.7.6.16).
"""

import logging
import warnings
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import get_decoder
from tqdm.auto import tqdm

from pelvis.series import Frame, as_block
from pelvis.sources import Source, natural, printable
from vqlib.data.slices import MAX_SIDE, MAX_VOXELS
from vqlib.errors import UserError

_WHEN = ("StudyDate", "StudyTime", "SeriesNumber")
_TAGS = ("SOPClassUID", "Modality", "Rows", "PatientID", "StudyInstanceUID")
_TAGS += ("SeriesInstanceUID", *_WHEN)
logging.getLogger("pydicom").setLevel("CRITICAL")  # its remarks come as our one line


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
        files = tuple(path for path, _ in found)
        patients = {  # the study's, where PatientID was removed
            header["PatientID"].lower() or f"study {header['StudyInstanceUID']}"
            for _, header in found
        }
        if len(patients) > 1:
            what = (
                f"{files[0].parent} (series {uid}) belongs to {len(patients)} patients"
            )
            faults.append(f"{what}; correct PatientID, or leave it out")
            continue
        name = printable(files[0].parent.relative_to(folder))
        when = natural(" ".join([*(found[0][1][key] for key in _WHEN), uid]))
        source = Source(name, files, patients.pop(), series=uid, when=tuple(when))
        sources.append(source)
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
            about = (
                f"{header.get('SeriesNumber')} {header.get('SeriesDescription', '')}"
            )
    name = f"{paths[0].parent} (series {' '.join(about.split())})"
    frames, affine = as_block(name, frames)
    return name, _pixels(frames), affine


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
            f"{path} cannot be read ({fault.strerror or fault}); change its permissions"
        ) from None
    except Exception as fault:  # a parser meets damage with any exception
        reason = " ".join(str(fault).split())[:120] or type(fault).__name__
        raise UserError(
            f"{path} is truncated or no DICOM image ({reason}); get the file again"
        ) from None


def _header(path: Path) -> dict[str, str] | None:
    """What says whose image a file is; None where it is no DICOM."""
    with _reading(path):
        with path.open("rb") as file:
            dicom = file.read(132)[128:] == b"DICM"
        if not (dicom or path.suffix.lower() in (".dcm", ".ima")):
            return None
        if path.name.upper() == "DICOMDIR":
            return None
        header = pydicom.dcmread(
            path, stop_before_pixels=True, force=True, specific_tags=list(_TAGS)
        )
        found = {key: " ".join(str(header.get(key, "")).split()) for key in _TAGS}
        if not (found["SOPClassUID"] or found["Modality"]):
            raise ValueError("no image in it")
        return found


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
    shape = (int(header.Rows), int(header.Columns))
    count = int(header.get("NumberOfFrames") or 1)
    if max(shape) > MAX_SIDE or min(shape) < 2 or count * np.prod(shape) > MAX_VOXELS:
        size = f"{count} images of {shape[0]} x {shape[1]} pixels"
        raise UserError(f"{path} declares {size}; get the file again")
    scanner = (header.get("Manufacturer"), header.get("ManufacturerModelName"))
    frames = []
    for number in range(count):
        try:
            plane = _plane(header, number, count)
        except AttributeError as lacking:
            what = f"does not say how it lies in the patient ({lacking.name})"
            raise UserError(f"{path} {what}; leave its series out") from None
        sizes = (3, 6, 2, 2)
        plane = [np.array(v, float).reshape(n) for v, n in zip(plane, sizes)]  # noqa: B905
        if not np.isfinite(np.concatenate(plane)).all():
            raise ValueError("a place that is no number")
        frames.append(Frame(path, number, *plane, shape, scanner))
    return frames


def _plane(header, number: int, count: int) -> tuple:
    """Position, orientation, spacing and scale of one image of a file."""
    position = orientation = measures = scale = header
    if count > 1 or "PerFrameFunctionalGroupsSequence" in header:
        own = header.PerFrameFunctionalGroupsSequence[number]
        shared = header.SharedFunctionalGroupsSequence[0]
        position, orientation, measures, scale = (
            (own.get(name) or shared.get(name) or [pydicom.Dataset()])[0]
            for name in (
                "PlanePositionSequence",
                "PlaneOrientationSequence",
                "PixelMeasuresSequence",
                "PixelValueTransformationSequence",
            )
        )
    return (
        position.ImagePositionPatient,
        orientation.ImageOrientationPatient,
        measures.PixelSpacing,
        (scale.get("RescaleSlope", 1), scale.get("RescaleIntercept", 0)),
    )


def _pixels(frames: list[Frame]) -> np.ndarray:
    """[rows, columns, slices]"""
    stored = {}
    for path in dict.fromkeys(frame.path for frame in frames):
        with _reading(path):
            image = pydicom.dcmread(path, force=True).pixel_array
            stored[path] = image.reshape(
                -1, *frames[0].shape
            )  # [frames, rows, columns]
    volume = np.stack([stored[f.path][f.number] for f in frames], axis=-1)
    slope, intercept = np.array([f.scale for f in frames], np.float32).T
    if (slope == 1).all() and not intercept.any():
        return volume
    return volume * slope + intercept
