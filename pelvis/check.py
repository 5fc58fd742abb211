"""What is in a data folder, and everything that is wrong with it.

`check` reads every file once, on all cores. A **fault** makes loading fail, or would
spoil a result without a word: what `scan_folder`, `read_slice` and `read_label` refuse;
slices of one volume that differ in shape; slices that lose much of their anatomy when
they are cropped to native size, as transposed ones do; images that scaling makes white
or black; headers that cannot be, or do not say which side is left; a picture in two
splits. A **note** is worth knowing and needs no change.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from pelvis import SPACING_RANGE
from pelvis.report import Report, by, figures, grouped, notes, volumes
from vqlib.data.layout import NATIVE_SIZE, SPLITS, Fault, SliceRecord, scan_folder
from vqlib.data.slices import (
    as_labels,
    as_pixels,
    center_on_grid,
    read_array,
    slice_shape,
)
from vqlib.errors import UserError

MAY_LOSE = 0.25  # share of a volume's signal that the crop to native size may cut off
BLOCK = 4  # side of what `sketch` averages, in pixels
LEAST = 100  # blocks that detail has to be spread over, so that it can be recognised
# Correlation of two sketches from which on they are one picture. On 408 real coronal
# slices two of 17 patients reach 0.77; a copy that was shifted by a pixel, rescaled and
# made noisy keeps 0.86.
LIKE = 0.82


@dataclass
class Slice:
    """What is kept of a slice after its files were read, and its faults."""

    record: SliceRecord
    faults: list[Fault] = field(default_factory=list)
    size: str = ""  # such as 256x128; empty where the image cannot be read
    dtype: str = ""  # as stored
    spacing: str = ""  # mm, such as 1.68x1.56
    affine: np.ndarray | None = None  # None where the header has none
    axes: str = ""  # where the array's axes point, such as LSP; empty without affine
    low: float = 0.0  # the range of its grey values
    high: float = 0.0
    signal: tuple[float, float] = (0.0, 0.0)  # sum of grey values, and after the crop
    sketch: np.ndarray | None = None
    labels: tuple[int, ...] | None = None  # that occur; None without a readable map
    same_grid: bool = True  # False where affines of image and label disagree


def check(folder: str | Path, progress: bool = False) -> Report:
    """Read every slice and label map of a folder; what is wrong is in the report."""
    folder = Path(folder).expanduser()
    records, faults = scan_folder(folder)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        quiet = {"unit": "slice", "disable": not progress}
        work = pool.map(_examine, records)
        slices = list(tqdm(work, "reading", len(records), **quiet))
    finally:  # an interrupt must not wait for what is in the queue
        pool.shutdown(cancel_futures=True)
    splits = {name: [s for s in slices if s.record.split == name] for name in SPLITS}
    for name, part in splits.items():
        if records and not part and not (folder / f"keras_slices_{name}").is_dir():
            remedy = f"put the slices of the {name} patients there"
            faults.append(Fault(folder / f"keras_slices_{name}", "is missing", remedy))
    faults += [fault for s in slices for fault in s.faults]
    readable = [s for s in slices if s.size]
    faults += [*_faulty_volumes(readable), *_cropped(readable)]
    for copy, original, likeness in _copies(readable):
        same = f"{original.path.parent.name}/{original.path.name}"
        what = f"is the same picture as {same} (likeness {likeness:.2f})"
        faults.append(Fault(copy.path, what, "find out whose it is, and remove one"))
    table = {name: figures(part) for name, part in splits.items() if part}
    return Report(table, faults, notes(folder, slices))


def _examine(record: SliceRecord) -> Slice:
    """Read the image and the label map of a slice, once each. Raises nothing."""
    found = Slice(record)
    for path, look in ((record.path, _image), (record.label_path, _label)):
        if path is None:
            continue
        try:
            values, header, affine = read_array(path, slice_shape)
            placed = header["sform_code"] > 0 or header["qform_code"] > 0
            for fault in look(found, values, header, affine if placed else None):
                found.faults.append(Fault(path, *fault))
        except UserError as error:
            text = str(error).removeprefix(str(UserError(f"{path} ")))
            what, _, remedy = text.rpartition("; ")
            found.faults.append(Fault(path, what, remedy))
    return found


def _image(found: Slice, values, header, affine) -> Iterator[tuple[str, str]]:
    """Fills in what an image holds; yields what is wrong with it, and the remedy."""
    pixels = as_pixels(found.record.path, values)
    kept = center_on_grid(pixels)
    found.size, found.dtype = by(pixels.shape), header.get_data_dtype().name
    found.low, found.high = float(pixels.min()), float(pixels.max())
    found.signal = float(np.abs(pixels).sum()), float(np.abs(kept).sum())
    found.sketch = sketch(kept)
    # NIfTI's codes of metre and micrometre; the rest means mm
    unit = {1: 1e3, 3: 1e-3}.get(int(header["xyzt_units"]) & 7, 1.0)
    sides = header["pixdim"][1:3] * unit
    found.spacing, (low, high) = by(sides), SPACING_RANGE
    again = "or convert the volume again"
    if not low <= min(sides) <= max(sides) <= high:
        what = f"has a spacing of {found.spacing} mm, which cannot be"
        yield what, f"correct its header (pixdim), {again}"
    if affine is None:
        remedy = f"write it into the header (sform), {again}"
        yield "has no affine, so nothing says which side is left", remedy
    else:
        found.affine, axes = affine, affine[:3, :3]
        widths = np.linalg.norm(axes, axis=0)
        # the volume that the axes span, as a share of what right angles would span
        finite = np.isfinite(axes).all()
        if finite and abs(np.linalg.det(axes)) > 1e-3 * widths.prod():
            found.axes = "".join(nib.aff2axcodes(affine))
        else:
            remedy = f"correct its header (sform, qform), {again}"
            yield "has a singular affine: its axes span no volume", remedy
    if found.low == found.high != 0:
        yield f"is constant: every pixel is {found.low:g}", "export the slice again"


def _label(found: Slice, values, header, affine) -> Iterator[tuple[str, str]]:
    """The same for the label map of an image that was read before."""
    values = as_labels(found.record.label_path, values)
    found.labels = tuple(np.unique(values).tolist())
    if found.size not in ("", by(values.shape)):
        what = f"is {by(values.shape)}, but its image is {found.size}"
        yield what, "export both on the same grid"
    if found.affine is not None and affine is not None:
        found.same_grid = np.allclose(found.affine, affine, atol=0.01)


def _faulty_volumes(slices: list[Slice]) -> Iterator[Fault]:
    """Slices of one volume that differ in shape, and volumes that scale to black."""
    for (_, case, week), volume in volumes(slices).items():
        usual = Counter(s.size for s in volume).most_common(1)[0][0]
        for s in volume:
            if s.size != usual:
                what = f"is {s.size}, but its volume is {usual}"
                yield Fault(s.record.path, what, "convert the volume again")
        if all(s.high <= 0 for s in volume):
            scan = f"all of patient {case} week {week}"
            what = f"is, with {scan}, without a positive pixel"
            remedy = "export the volume again, or remove it"
            yield Fault(volume[0].record.path, what, remedy)


def _cropped(slices: list[Slice]) -> Iterator[Fault]:
    """Slices of which the crop to native size cuts off much that is not black."""
    groups = grouped(slices, lambda s: (s.record.path.parent, s.size))
    for (folder, size), some in groups.items():
        whole, kept = np.sum([s.signal for s in some], axis=0)
        if kept < (1 - MAY_LOSE) * whole:
            lost = f"{100 * (1 - kept / whole):.0f} %"
            crop = f"the crop to {by(NATIVE_SIZE)} cuts off {lost} of what they show"
            what = f"holds slices of {size} ({len(some)}), and {crop}"
            remedy = "transpose them if left–right is not their first axis, or convert "
            yield Fault(folder, what, remedy + "the scans with `vqlib data convert`")


def _copies(slices: list[Slice]) -> Iterator[tuple[SliceRecord, SliceRecord, float]]:
    """Slices that are also in an earlier split under another patient's number, as
    (copy, original, their likeness); saved again with other grey values, a little noise
    or a shift of a pixel, they are still found."""
    if not slices:
        return
    sketches = np.stack([s.sketch for s in slices])
    case = np.array([s.record.case for s in slices])
    split = np.array([SPLITS.index(s.record.split) for s in slices])
    for number in range(1, len(SPLITS)):
        early, late = (np.flatnonzero(x) for x in (split < number, split == number))
        likeness = sketches[late] @ sketches[early].T
        # a patient in two splits is another fault
        likeness[case[late][:, None] == case[early]] = 0
        for copy, row in zip(late, likeness, strict=True):
            if len(row) and row.max() >= LIKE:
                original = slices[early[row.argmax()]]
                yield slices[copy].record, original.record, row.max()


def sketch(pixels: np.ndarray) -> np.ndarray:
    """Detail of a slice `[256, 128]` as a unit vector `[2048]`, so that a scalar
    product is a correlation; zeros without much detail. Detail is what remains when a
    blurred copy is taken away: outline and coil's shading are alike in all bodies."""
    rows, columns = (side // BLOCK for side in NATIVE_SIZE)
    blocks = pixels.reshape(rows, BLOCK, columns, BLOCK).mean((1, 3))
    blocks = np.minimum(blocks, np.percentile(blocks, 99))  # bright fat, coil spots
    detail = (blocks - _blur(rows) @ blocks @ _blur(columns).T).ravel()
    length = np.linalg.norm(detail)
    enough = length**4 >= LEAST * (detail**4).sum()
    enough &= length > 1e-4 * np.linalg.norm(blocks)
    return detail / length if enough else 0 * detail


@cache
def _blur(side: int) -> np.ndarray:
    """A matrix that blurs along an axis, by a Gaussian of a block and a half."""
    apart = np.subtract.outer(np.arange(side), np.arange(side)) / 1.5
    weights = np.exp(-0.5 * apart**2).astype(np.float32)
    return weights / weights.sum(1, keepdims=True)
