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

SAME_GRID = 0.1  # voxels: how far a label map may lie from its image
SAME_WAY = 0.1  # of a voxel: how far axes of sform and qform may differ, 6 degrees
_DEFLATE = 1032  # gzip shrinks nothing further than this
_UNKNOWN = "so left and right are unknown; export it from DICOM with dcm2niix"


class Volume(NamedTuple):
    """One scan, read."""

    pixels: np.ndarray  # integers or float32 [I, J, K], finite, not constant
    labels: np.ndarray | None  # uint8 [I, J, K]
    affine: np.ndarray  # float64 [4, 4]: voxel -> mm to the right, front and head


def read_volume(source: Source) -> Volume:
    """Read one scan and its label map.

    Raises `UserError` for what `vqlib.data.slices.read_array` refuses; for what is not
    three-dimensional, grey, finite and of more than one value; for sizes, spacings or
    an affine that cannot be; for a label map on another grid or with other values than
    `LABEL_NAMES`; for a DICOM series that is no volume (`pelvis.dicom.read_series`).
    """
    if source.series:
        name, pixels, affine = read_series(source.files)
        _judge_affine(name, affine)
        return Volume(_judge_pixels(name, pixels), None, affine)
    path, labels = source.files[0], None
    pixels, affine = _read(path)
    if source.label is not None:
        labels, where = _read(source.label)
        apart = np.abs((affine - where)[:3] * [*pixels.shape, 1]).sum(axis=1).max()
        width = np.linalg.norm(affine[:3, :3], axis=0).min()
        if labels.shape != pixels.shape or apart > SAME_GRID * width:
            fault = f"is not on the grid of {path.name} (other size or affine)"
            raise UserError(f"{source.label} {fault}; resample the label to its image")
        labels = as_labels(source.label, labels)
    return Volume(_judge_pixels(path, pixels), labels, affine)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The voxels and the affine of a file whose header says where they lie."""
    values, header, affine = read_array(path, _volume_shape)
    codes = int(header["sform_code"]), int(header["qform_code"])
    if max(codes) <= 0:
        raise UserError(f"{path} has no sform or qform code, {_UNKNOWN}")
    declared, widths = header["pixdim"][1:4].copy(), _judge_affine(path, affine)
    if not np.allclose(widths, declared, rtol=0.02):
        one, two = ("x".join(f"{w:.3g}" for w in x) for x in (declared, widths))
        sizes = f"voxels of {one} mm in pixdim but {two} mm in its affine"
        raise UserError(f"{path} declares {sizes}; export it again")
    if min(codes) > 0:
        try:
            header["pixdim"][0] = header["pixdim"][0] or 1  # as the standard reads a 0
            other = header.get_qform()
        except (ValueError, HeaderDataError):  # a quaternion longer than 1
            other = np.full((4, 4), np.nan)
        # not > : what is not finite differs, too
        if not (np.abs(affine - other)[:3, :3] / widths).max() <= SAME_WAY:
            ways = "has sform and qform that point different ways"
            raise UserError(f"{path} {ways}, {_UNKNOWN}")
    return values, affine


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


def _judge_pixels(name: str | Path, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise UserError(f"{name} has NaN or infinite voxels; export it again")
    if values.min() == values.max():
        value = values.flat[0]
        raise UserError(f"{name} has the value {value:g} everywhere; export it again")
    return values
