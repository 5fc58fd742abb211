"""One 3D scan, read and judged: one line says what is wrong with it."""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from pelvis import SPACING_RANGE
from pelvis.dicom import read_series
from pelvis.scans import Source
from vqlib.data.slices import MAX_SIDE, MAX_VOXELS, as_labels, read_array
from vqlib.errors import UserError

SAME_PLACE = 0.1  # voxels: how far a label map may lie from its image, sform from qform
SAME_WAY = 0.1  # of a voxel: how far axes of sform and qform may differ, 6 degrees
_DEFLATE = 1032  # gzip shrinks nothing further than this
_UNKNOWN = "so left and right are unknown; export it from DICOM with dcm2niix"


class Volume(NamedTuple):
    """One scan, read."""

    pixels: np.ndarray  # integers or float32 [I, J, K], finite, not constant
    labels: np.ndarray | None  # uint8 [I, J, K]
    affine: np.ndarray  # float64 [4, 4]: voxel -> mm to the right, front and head
    note: str = ""  # what the user should know of it


def read_volume(source: Source) -> Volume:
    """Read one scan and its label map.

    Raises `UserError` for what `vqlib.data.slices.read_array` refuses; for what is not
    three-dimensional, grey, finite and of more than one value; for sizes, spacings or
    an affine that cannot be; for a label map on another grid or with other values than
    `LABEL_NAMES`; for a DICOM series that is no volume (`pelvis.dicom.read_series`).
    """
    path, labels, note = source.files[0], None, ""
    if source.series:
        path, pixels, affine = read_series(source.files)
        _judge_affine(path, affine)
    else:
        pixels, affine, note = _read(path)
    if source.label is not None:
        labels, where, _ = _read(source.label)
        apart = np.abs((affine - where)[:3] * [*pixels.shape, 1]).sum(axis=1).max()
        width = np.linalg.norm(affine[:3, :3], axis=0).min()
        if labels.shape != pixels.shape or apart > SAME_PLACE * width:
            fault = f"is not on the grid of {path.name} (other size or affine)"
            raise UserError(f"{source.label} {fault}; resample the label to its image")
        labels = as_labels(source.label, labels)
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite
            pixels = pixels.astype(np.float32)
        if not np.isfinite(pixels).all():
            raise UserError(f"{path} has NaN or infinite voxels; export it again")
    if pixels.min() == pixels.max():
        what = f"has the value {pixels.flat[0]:g} everywhere"
        raise UserError(f"{path} {what}; export it again")
    return Volume(pixels, labels, affine, note)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, str]:
    """The voxels and the affine of a file whose header says where they lie; a note."""
    values, header, affine = read_array(path, _volume_shape)
    codes = int(header["sform_code"]), int(header["qform_code"])
    if max(codes) <= 0:
        raise UserError(f"{path} has no sform or qform code, {_UNKNOWN}")
    declared, widths = header["pixdim"][1:4].copy(), _judge_affine(path, affine)
    if not np.allclose(widths, declared, rtol=0.02):
        one, two = ("x".join(f"{w:.3g}" for w in x) for x in (declared, widths))
        sizes = f"voxels of {one} mm in pixdim but {two} mm in its affine"
        raise UserError(f"{path} declares {sizes}; export it again")
    if min(codes) <= 0:
        return values, affine, ""
    try:
        header["pixdim"][0] = header["pixdim"][0] or 1  # as the standard reads a 0
        apart = np.abs(affine - header.get_qform())[:3]
    except (ValueError, HeaderDataError):  # a quaternion longer than 1
        apart = np.full((3, 4), np.nan)
    # not > : what is not finite differs, too
    if not (apart[:, :3] / widths).max() <= SAME_WAY:
        ways = "has sform and qform that point different ways"
        raise UserError(f"{path} {ways}, {_UNKNOWN}")
    if apart[:, 3].max() <= SAME_PLACE * widths.min():
        return values, affine, ""
    shift = f"has sform and qform that lie {apart[:, 3].max():.3g} mm apart"
    return values, affine, f"{path} {shift}; its slices lie where the sform says"


def _volume_shape(path: Path, header: nib.Nifti1Header) -> tuple[int, int, int]:
    """The shape that a header declares; refuses what is no volume of grey values, and
    what would take memory that the file cannot fill."""
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    size = " x ".join(map(str, shape))
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 2:
        raise UserError(f"{path} is {size}, not a 3D volume; give a file for each scan")
    voxels = int(np.prod(shape, dtype=np.int64))
    held = path.stat().st_size * (_DEFLATE if path.name.lower().endswith("gz") else 1)
    if max(shape) > MAX_SIDE or voxels > MAX_VOXELS or voxels * dtype.itemsize > held:
        fault = f"declares {size} voxels, more than it can hold"
        raise UserError(f"{path} {fault}; get the file again")
    if dtype.kind not in "iuf":
        kind = "complex" if dtype.kind == "c" else "colour"
        raise UserError(f"{path} holds {kind} voxels; export it as grey values")
    return shape


def _judge_affine(name: str | Path, affine: np.ndarray) -> np.ndarray:
    """The sides of a voxel in mm; raises `UserError` for an affine that is not finite
    or singular, and for sides that no scanner makes."""
    finite = np.isfinite(affine).all()
    widths = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = SPACING_RANGE
    if finite and not low <= widths.min() <= widths.max() <= high:
        sizes = " x ".join(f"{width:g}" for width in widths)
        raise UserError(f"{name} has voxels of {sizes} mm; export it again")
    # 1 for a box, 0 for one that is flat
    if not finite or abs(np.linalg.det(affine[:3, :3])) < 0.1 * np.prod(widths):
        fault = "has an affine that is singular or not finite"
        raise UserError(f"{name} {fault}; export it again")
    return widths
