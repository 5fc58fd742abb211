"""What is in a data folder, and everything that is wrong with it.

`audit` reads every file once, on all cores, and returns a `Report`. It tells faults
from notes. A **fault** makes loading fail, or would spoil a result without a word:

- what `scan_folder` finds by names: layout, pairs of image and label, shared patients;
- a split that is missing, and a file that `read_slice` or `read_label` refuses;
- slices of one volume, or an image and its label, that differ in shape;
- a constant image that is not blank, and a volume without a positive pixel: scaling
  makes them white and black;
- a spacing that cannot be (not finite, or outside 0.05 … 50 mm) and an affine that is
  singular: the header is damaged, and who knows what else;
- no affine: nothing says which side is left;
- a picture that is in two splits under two patients' numbers.

A **note** is worth knowing and needs no change: few slices in a volume, gaps in the
numbering, blank slices, several shapes, types, spacings or orientations, a spacing that
is not HipMRI's, pixels below zero, a picture twice in one split, labels in some splits
only, labels that occur nowhere or lie on another grid, files that are not read.
"""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from tqdm.auto import tqdm

from pelvis.duplicates import find_copies
from pelvis.examine import Examined, by, examine, possible
from pelvis.report import Report, count, listed, summary, volumes_of
from vqlib.data.layout import (
    LABEL_NAMES,
    NATIVE_SIZE,
    PIXEL_MM,
    SPLITS,
    Fault,
    scan_folder,
)


def audit(
    folder: str | Path, progress: bool = False, jobs: int | None = None
) -> Report:
    """Read every slice and label map of a folder, and report.

    ``jobs`` threads work at once, by default one a core. Whatever is wrong with the
    folder is in the report; nothing is raised.
    """
    folder = Path(folder).expanduser()
    records, faults = scan_folder(folder)
    pool = ThreadPoolExecutor(jobs or os.cpu_count() or 1)
    try:
        work = pool.map(examine, records)
        slices = list(
            tqdm(work, "reading", len(records), unit="slice", disable=not progress)
        )
        readable = [s for s in slices if s.shape is not None]
        copies = find_copies(
            [s.record for s in readable], [s.sketch for s in readable], pool
        )
    finally:  # an interrupt must not wait for what is in the queue
        pool.shutdown(cancel_futures=True)
    splits = {name: [s for s in slices if s.record.split == name] for name in SPLITS}
    for name, part in splits.items():
        if records and not part and not (folder / f"keras_slices_{name}").is_dir():
            remedy = f"put the slices of the {name} patients there"
            faults.append(Fault(folder / f"keras_slices_{name}", "is missing", remedy))
    faults += [fault for s in slices for fault in s.faults]
    faults += _faulty_volumes(readable)
    for copy, original, likeness in copies:
        same = f"{original.path.parent.name}/{original.path.name}"
        what = f"is the same picture as {same} (likeness {likeness:.2f})"
        faults.append(Fault(copy.path, what, "find out whose it is, and remove one"))
    return Report(
        str(folder),
        {name: summary(part) for name, part in splits.items() if part},
        faults,
        [*_notes_on_volumes(slices), *_notes(readable), *_unread(folder)],
    )


def _faulty_volumes(slices: list[Examined]) -> list[Fault]:
    """Slices of one volume that differ in shape, and volumes that scale to black."""
    faults = []
    for (_, case, week), volume in volumes_of(slices).items():
        usual = Counter(s.shape for s in volume).most_common(1)[0][0]
        for s in volume:
            if s.shape != usual:
                what = f"is {by(s.shape)}, but its volume is {by(usual)}"
                faults.append(Fault(s.record.path, what, "convert the volume again"))
        if all(s.high <= 0 for s in volume):
            what = (
                f"is, with all of patient {case} week {week}, without a positive pixel"
            )
            remedy = "export the volume again, or remove it"
            faults.append(Fault(volume[0].record.path, what, remedy))
    return faults


def _notes(slices: list[Examined]) -> list[str]:
    """What is worth knowing about the slices that can be read."""
    notes = _notes_on_labels(slices)
    native, usual = by(NATIVE_SIZE), by(PIXEL_MM)
    sized: dict[str, list[Examined]] = {}
    for s in slices:
        if s.shape != NATIVE_SIZE:
            sized.setdefault(by(s.shape), []).append(s)
    for size, some in sized.items():
        known = " (HipMRI has one such scan)" if size == "256x144" else ""
        text = (
            f"slices of {size}{known}, cropped or padded to {native} about the centre"
        )
        notes += _some(text, some)
    odd = [s for s in slices if possible(s.spacing) and by(s.spacing) != usual]
    spacings = _kinds(by(s.spacing) for s in odd)
    notes += _some(f"slices not of {usual} mm as figures assume, but {spacings}", odd)
    axes = {s.axes for s in slices} - {""}
    if any(not a.startswith("LS") for a in axes):
        kinds = _kinds(s.axes for s in slices if s.axes)
        notes.append(
            f"axes point to {kinds}; only LS… is shown upright, left on the right"
        )
    if len({s.dtype for s in slices}) > 1:
        notes.append(f"types of image files: {_kinds(s.dtype for s in slices)}")
    notes += _some("blank slices", [s for s in slices if s.blank])
    below = [s for s in slices if s.low < 0]
    notes += _some("slices with pixels below 0, which scaling makes 0", below)
    first: dict[tuple, Examined] = {}
    again = []
    for s in slices:
        if s.sketch.any() and first.setdefault(_picture(s), s) is not s:
            again.append(s)
    return notes + _some("slices that repeat another one of their split", again)


def _picture(s: Examined) -> tuple:
    return s.record.split, s.low, s.high, s.sketch.tobytes()


def _notes_on_volumes(slices: list[Examined]) -> list[str]:
    volumes = list(volumes_of(slices).values())
    half = median(map(len, volumes)) / 2 if volumes else 0
    few = [volume for volume in volumes if len(volume) < half]
    gaps = [volume for volume in volumes if _lacking(volume) is not None]
    return [
        *_some("volumes with less than half as many slices as most", few, _scan),
        *_some(
            "volumes with gaps in the numbering of their slices",
            gaps,
            lambda volume: f"{_scan(volume)} lacks {_lacking(volume)}",
        ),
    ]


def _lacking(volume: list[Examined]) -> int | None:
    """The first number below the last slice's that no slice has."""
    numbers = {s.record.slice for s in volume}
    first = next(n for n in range(len(numbers) + 1) if n not in numbers)
    return first if first < max(numbers) else None


def _notes_on_labels(slices: list[Examined]) -> list[str]:
    maps = [s for s in slices if s.labels is not None]
    if not maps:
        return []
    notes = []
    having = {s.record.split for s in maps}
    lacking = {s.record.split for s in slices} - having
    if lacking:
        given, none = (
            ", ".join(x for x in SPLITS if x in y) for y in (having, lacking)
        )
        notes.append(f"labels in {given}, none in {none}")
    found = {value for s in maps for value in s.labels}
    never = [n for value, n in enumerate(LABEL_NAMES) if value not in found]
    if never:
        notes.append(f"labels that occur nowhere: {', '.join(never)}")
    empty = [s for s in maps if s.labels == (0,) and not s.blank]
    elsewhere = [s for s in maps if not s.same_grid]
    return [
        *notes,
        *_some("slices that are not blank, but whose label map is", empty),
        *_some("label maps whose affine is not their image's", elsewhere),
    ]


def _some(what: str, which: list, name=lambda s: s.record.path.name) -> list[str]:
    """A note on some slices or volumes, with the first of them; none if none."""
    if not which:
        return []
    more = ", …" if len(which) > 1 else ""
    return [f"{what}: {len(which)} ({name(which[0])}{more})"]


def _scan(volume: list[Examined]) -> str:
    record = volume[0].record
    return f"patient {record.case} week {record.week}"


def _kinds(values) -> str:
    return listed(count(values))


def _unread(folder: Path) -> list[str]:
    """Notes on what lies in the folder and is not read."""
    known = {f"keras_slices_{kind}{name}" for kind in ("", "seg_") for name in SPLITS}
    notes = []
    for path in sorted(folder.glob("keras_slices_*")):
        if path.name not in known:
            notes.append(f"{path.name} is not read; the splits are {', '.join(SPLITS)}")
            continue
        others = [
            file
            for file in sorted(path.glob("[!.]*"))
            if not file.name.lower().endswith((".nii", ".nii.gz"))
        ]
        what = f"files in {path.name} that are not read"
        notes += _some(what, others, lambda file: file.name)
    return notes
