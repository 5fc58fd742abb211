"""One slice, examined: what its files hold, and what is wrong with them."""

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from pelvis.duplicates import sketch
from vqlib.data.layout import Fault, SliceRecord
from vqlib.data.slices import as_labels, as_pixels, read_array, slice_shape
from vqlib.errors import UserError

SPACING_RANGE = (0.05, 50.0)  # mm; a pixel of another size is a damaged header

_MM = {1: 1e3, 3: 1e-3}  # NIfTI's codes of metre and micrometre; the rest means mm


@dataclass
class Examined:
    """What is kept of a slice after its files were read, and its faults."""

    record: SliceRecord
    faults: list[Fault] = field(default_factory=list)
    shape: tuple[int, ...] | None = None  # None where the image cannot be read
    dtype: str = ""  # as stored
    spacing: tuple[float, ...] = ()  # mm
    axes: str = ""  # where the array's axes point, such as LSP; empty without affine
    low: float = 0.0  # the range of its grey values
    high: float = 0.0
    sketch: np.ndarray | None = None  # see `pelvis.duplicates`
    labels: tuple[int, ...] | None = None  # that occur; None without a readable map
    label_dtype: str = ""
    same_grid: bool = True  # False where affines of image and label disagree

    @property
    def blank(self) -> bool:
        """Whether every pixel is zero."""
        return self.low == self.high == 0


def examine(record: SliceRecord) -> Examined:
    """Read the image and the label map of a slice, once each. Raises nothing."""
    found = Examined(record)
    placed = None
    try:
        values, header, affine = read_array(record.path, slice_shape)
        pixels = as_pixels(record.path, values)
        found.shape, found.dtype = pixels.shape, header.get_data_dtype().name
        found.low, found.high = float(pixels.min()), float(pixels.max())
        found.sketch = sketch(pixels)
        placed = affine if _placed(header) else None
        _judge_header(found, header, placed)
        if found.low == found.high != 0:
            what = f"is constant: every pixel is {found.low:g}"
            found.faults.append(Fault(record.path, what, "export the slice again"))
    except UserError as error:
        found.faults.append(as_fault(record.path, error))
    if record.label_path is not None:
        try:
            _examine_label(found, placed)
        except UserError as error:
            found.faults.append(as_fault(record.label_path, error))
    return found


def _examine_label(found: Examined, placed: np.ndarray | None) -> None:
    path = found.record.label_path
    values, header, affine = read_array(path, slice_shape)
    values = as_labels(path, values)
    found.labels = tuple(np.unique(values).tolist())
    found.label_dtype = header.get_data_dtype().name
    if found.shape is None:
        return
    if values.shape != found.shape:
        what = f"is {by(values.shape)}, but its image is {by(found.shape)}"
        found.faults.append(Fault(path, what, "export both on the same grid"))
    if placed is not None and _placed(header):
        found.same_grid = np.allclose(placed, affine, atol=0.01)


def _judge_header(found: Examined, header, affine: np.ndarray | None) -> None:
    """Spacing and orientation, and the faults of a header that holds neither."""
    path = found.record.path
    scale = _MM.get(int(header["xyzt_units"]) & 7, 1.0)
    found.spacing = tuple((header["pixdim"][1:3] * scale).tolist())
    if not possible(found.spacing):
        what = f"has a spacing of {by(found.spacing)} mm, which cannot be"
        remedy = "correct its header (pixdim), or convert the volume again"
        found.faults.append(Fault(path, what, remedy))
    if affine is None:
        what = "has no affine, so nothing says which side is left"
        remedy = "write it into the header (sform), or convert the volume again"
        found.faults.append(Fault(path, what, remedy))
        return
    axes = affine[:3, :3]
    sides = np.linalg.norm(axes, axis=0)
    # the volume that the axes span, as a share of what right angles would span
    if not (np.isfinite(axes).all() and abs(np.linalg.det(axes)) > 1e-3 * sides.prod()):
        what = "has a singular affine: its axes span no volume"
        remedy = "correct its header (sform, qform), or convert the volume again"
        found.faults.append(Fault(path, what, remedy))
    else:
        found.axes = "".join(nib.aff2axcodes(affine))


def possible(spacing: tuple[float, ...]) -> bool:
    """Whether a pixel may have these sides (mm)."""
    return all(SPACING_RANGE[0] <= side <= SPACING_RANGE[1] for side in spacing)


def _placed(header: nib.Nifti1Header) -> bool:
    """Whether a header says where its slice lies."""
    return bool(header["sform_code"] > 0 or header["qform_code"] > 0)


def as_fault(path: Path, error: UserError) -> Fault:
    """A refusal of one file, "path what; remedy", in its parts."""
    text = str(error).removeprefix(str(UserError(f"{path} ")))
    what, _, remedy = text.rpartition("; ")
    return Fault(path, what, remedy)


def by(sides) -> str:
    """256x128, 1.68x1.56"""
    return "x".join(f"{side:.4g}" for side in sides)
