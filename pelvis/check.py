"""What is in a data folder, and everything that is wrong with it.

`check` reads every file once, on all cores, and returns a `Report`. A **fault** makes
loading fail, or would spoil a result without a word: what `scan_folder`, `read_slice`
and `read_label` refuse; slices of one volume that differ in shape; slices that lose
much of their anatomy when they are cropped to native size, as transposed ones do;
images that scaling makes white or black; headers that cannot be, or do not say which
side is left; a picture in two splits. A **note** (`pelvis.report.notes`) is worth
knowing and needs no change.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from pelvis.duplicates import find_copies, sketch
from pelvis.report import Report, by, grouped, notes, summary, volumes_of
from vqlib.data.layout import NATIVE_SIZE, SPLITS, Fault, SliceRecord, scan_folder
from vqlib.data.slices import (
    as_labels,
    as_pixels,
    center_on_grid,
    read_array,
    slice_shape,
)
from vqlib.errors import UserError

SPACING_RANGE = (0.05, 50.0)  # mm; a pixel of another size is a damaged header
MAY_LOSE = 0.25  # share of a volume's signal that the crop to native size may cut off


@dataclass
class Slice:
    """What is kept of a slice after its files were read, and its faults."""

    record: SliceRecord
    faults: list[Fault] = field(default_factory=list)
    shape: tuple[int, ...] = ()  # empty where the image cannot be read
    dtype: str = ""  # as stored
    spacing: tuple[float, ...] = ()  # mm
    possible: bool = False  # whether a pixel may have these sides
    affine: np.ndarray | None = None  # None where the header has none
    axes: str = ""  # where the array's axes point, such as LSP; empty without affine
    low: float = 0.0  # the range of its grey values
    high: float = 0.0
    signal: tuple[float, float] = (0.0, 0.0)  # sum of grey values, and after the crop
    sketch: np.ndarray | None = None  # see `pelvis.duplicates`
    labels: tuple[int, ...] | None = None  # that occur; None without a readable map
    label_dtype: str = ""
    same_grid: bool = True  # False where affines of image and label disagree

    @property
    def blank(self) -> bool:
        """Whether every pixel is zero."""
        return self.low == self.high == 0


def check(folder: str | Path, progress: bool = False) -> Report:
    """Read every slice and label map of a folder; what is wrong is in the report."""
    folder = Path(folder).expanduser()
    records, faults = scan_folder(folder)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        quiet = {"unit": "slice", "disable": not progress}
        work = pool.map(_examine, records)
        slices = list(tqdm(work, "reading", len(records), **quiet))
        readable = [s for s in slices if s.shape]
        sketches = [s.sketch for s in readable]
        copies = find_copies([s.record for s in readable], sketches, pool)
    finally:  # an interrupt must not wait for what is in the queue
        pool.shutdown(cancel_futures=True)
    splits = {name: [s for s in slices if s.record.split == name] for name in SPLITS}
    for name, part in splits.items():
        if records and not part and not (folder / f"keras_slices_{name}").is_dir():
            remedy = f"put the slices of the {name} patients there"
            faults.append(Fault(folder / f"keras_slices_{name}", "is missing", remedy))
    faults += [fault for s in slices for fault in s.faults]
    faults += [*_faulty_volumes(readable), *_cropped(readable)]
    for copy, original, likeness in copies:
        same = f"{original.path.parent.name}/{original.path.name}"
        what = f"is the same picture as {same} (likeness {likeness:.2f})"
        faults.append(Fault(copy.path, what, "find out whose it is, and remove one"))
    figures = {name: summary(part) for name, part in splits.items() if part}
    return Report(str(folder), figures, faults, notes(folder, slices))


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
    found.shape, found.dtype = pixels.shape, header.get_data_dtype().name
    found.low, found.high = float(pixels.min()), float(pixels.max())
    found.sketch = sketch(pixels)
    if pixels.shape != NATIVE_SIZE:
        kept = center_on_grid(pixels)
        found.signal = float(np.abs(pixels).sum()), float(np.abs(kept).sum())
    # NIfTI's codes of metre and micrometre; the rest means mm
    unit = {1: 1e3, 3: 1e-3}.get(int(header["xyzt_units"]) & 7, 1.0)
    found.spacing = tuple((header["pixdim"][1:3] * unit).tolist())
    low, high = SPACING_RANGE
    found.possible = all(low <= side <= high for side in found.spacing)
    again = "or convert the volume again"
    if not found.possible:
        what = f"has a spacing of {by(found.spacing)} mm, which cannot be"
        yield what, f"correct its header (pixdim), {again}"
    if affine is None:
        remedy = f"write it into the header (sform), {again}"
        yield "has no affine, so nothing says which side is left", remedy
    else:
        found.affine, axes = affine, affine[:3, :3]
        sides = np.linalg.norm(axes, axis=0)
        # the volume that the axes span, as a share of what right angles would span
        if np.isfinite(sides).all() and abs(np.linalg.det(axes)) > 1e-3 * sides.prod():
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
    found.label_dtype = header.get_data_dtype().name
    if found.shape and values.shape != found.shape:
        what = f"is {by(values.shape)}, but its image is {by(found.shape)}"
        yield what, "export both on the same grid"
    if found.affine is not None and affine is not None:
        found.same_grid = np.allclose(found.affine, affine, atol=0.01)


def _faulty_volumes(slices: list[Slice]) -> Iterator[Fault]:
    """Slices of one volume that differ in shape, and volumes that scale to black."""
    for (_, case, week), volume in volumes_of(slices).items():
        usual = Counter(s.shape for s in volume).most_common(1)[0][0]
        for s in volume:
            if s.shape != usual:
                what = f"is {by(s.shape)}, but its volume is {by(usual)}"
                yield Fault(s.record.path, what, "convert the volume again")
        if all(s.high <= 0 for s in volume):
            scan = f"all of patient {case} week {week}"
            what = f"is, with {scan}, without a positive pixel"
            remedy = "export the volume again, or remove it"
            yield Fault(volume[0].record.path, what, remedy)


def _cropped(slices: list[Slice]) -> Iterator[Fault]:
    """Slices of which the crop to native size cuts off much that is not black."""
    other = [s for s in slices if s.shape != NATIVE_SIZE]
    groups = grouped(other, lambda s: (s.record.path.parent, s.shape))
    for (folder, shape), some in groups.items():
        whole, kept = np.sum([s.signal for s in some], axis=0)
        if kept < (1 - MAY_LOSE) * whole:
            lost = f"{1 - kept / whole:.0%}".replace("%", " %")
            crop = f"the crop to {by(NATIVE_SIZE)} cuts off {lost} of what they show"
            what = f"holds slices of {by(shape)} ({len(some)}), and {crop}"
            remedy = "transpose them if left–right is not their first axis, or convert "
            yield Fault(folder, what, remedy + "the scans with `vqlib data convert`")
