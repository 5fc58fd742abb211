"""The HipMRI slice layout: who is in the folder, which scan, which slice.

A data folder holds ``keras_slices_train``, ``keras_slices_validate`` and
``keras_slices_test`` with one file for each coronal slice, named
``case_NNN_week_W_slice_S.nii.gz``. Where there are labels, they lie beside, in
``keras_slices_seg_train`` and so on, named ``seg_NNN_week_W_slice_S.nii.gz``.

`SliceIndex` reads the names, in natural order (slice 2 before slice 10), and refuses a
folder that would spoil an experiment, above all one with a patient in two splits.

The layout is that of the processed slices of the HipMRI Study on Prostate Cancer; the
volumes are Dowling & Greer (2021), doi 10.25919/45t8-p065. Taught in notebook 01.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from vqlib.errors import UserError, one_line

SPLITS = ("train", "validate", "test")
NATIVE_SIZE = (256, 128)  # of a slice: left–right x inferior–superior
PIXEL_MM = (1.68, 1.56)  # of a slice at native size
LABEL_NAMES = ("background", "body", "bone", "bladder", "rectum", "prostate")
FOLDERS = tuple(f"keras_slices_{kind}{s}" for s in SPLITS for kind in ("", "seg_"))
NO_FILE = "is a folder, a pipe or a broken link, not a file"

_NAME = re.compile(
    r"(case|seg)_(\d{1,9})_week_(\d{1,9})_slice_(\d{1,9})(_synthetic)?\.nii(\.gz)?",
    re.ASCII,
)

# subfolder → its files by name: (name, bytes, time of change in nanoseconds);
# bytes are −1 for what is no file
Listing = dict[str, list[tuple[str, int, int]]]


class Fault(NamedTuple):
    """One thing that is wrong; as text, one line."""

    file: Path
    what: str
    remedy: str

    def __str__(self) -> str:
        return one_line(f"{self.file} {self.what}; {self.remedy}")


@dataclass(frozen=True)
class SliceRecord:
    """One slice: whose it is, and where its files lie."""

    split: str  # one of SPLITS
    case: int  # patient
    week: int  # scan of that patient
    slice: int  # number within the scan, counted from 0
    path: Path
    label_path: Path | None = None  # None where the folder has no labels


@dataclass(frozen=True)
class SliceIndex:
    """All slices of a folder, or of one split of it, in natural order: made by
    `SliceIndex.from_folder`."""

    folder: Path
    listing: Listing

    @classmethod
    def from_folder(cls, folder: str | Path) -> "SliceIndex":
        """Index a data folder; hidden files and files that are no NIfTI are ignored.
        Raises `UserError` for what `scan_folder` finds, for its names when `records`
        are first asked for: to parse them takes longer than to open a folder again."""
        listing, faults = _list(Path(folder))
        _refuse(faults)
        return cls(Path(folder), listing)

    @cached_property
    def records(self) -> list[SliceRecord]:
        """All slices by split, case, week and slice; raises `UserError`."""
        records, faults = _scan(self.folder, self.listing)
        _refuse(faults)
        return records

    def __len__(self) -> int:
        return len(self.records)

    def split(self, name: str) -> "SliceIndex":
        """The part of the index that belongs to one split; raises `UserError`."""
        names = (f"keras_slices_{name}", f"keras_slices_seg_{name}")
        listing = {k: files for k, files in self.listing.items() if k in names}
        if not listing.get(names[0]):
            remedy = f"put the slices of the {name} patients there"
            _refuse([Fault(self.folder / names[0], "is missing or empty", remedy)])
        return SliceIndex(self.folder, listing)

    @cached_property
    def patients(self) -> list[int]:
        """Case numbers in ascending order."""
        return sorted({r.case for r in self.records})

    @cached_property
    def volumes(self) -> dict[tuple[int, int], list[int]]:
        """(case, week) → positions in `records` of that scan's slices, in order."""
        volumes: dict[tuple[int, int], list[int]] = {}
        for position, record in enumerate(self.records):
            volumes.setdefault((record.case, record.week), []).append(position)
        return volumes

    @property
    def has_labels(self) -> bool:
        """Whether every slice has a label file."""
        splits = {name.rsplit("_")[-1] for name in self.listing}
        return all(f"keras_slices_seg_{split}" in self.listing for split in splits)


def data_folder_of(path: Path) -> Path | None:
    """The data folder that a path is, or lies in, whether it is there or not; None:
    in none."""
    for place in (path.resolve(), *path.resolve().parents):
        if place.name in FOLDERS:
            return place.parent
        if any((place / name).is_dir() for name in FOLDERS):
            return place
    return None


def scan_folder(folder: str | Path) -> tuple[list[SliceRecord], list[Fault]]:
    """The records of a data folder in natural order, and all that is wrong with it:
    missing, empty or unreadable folders, names that do not fit, what is no file, a
    slice twice, an image without its label or a label without its image, a patient in
    two splits. A fault that leaves nothing to read comes alone."""
    listing, unread = _list(Path(folder))
    records, faults = _scan(Path(folder), listing)
    return records, unread + faults


def _refuse(faults: list[Fault]) -> None:
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise UserError(f"{faults[0]}{more}")


def _list(folder: Path) -> tuple[Listing, list[Fault]]:
    """What the disk holds, and the folders that are missing or may not be read."""
    listing: Listing = {}
    faults = []
    for name in FOLDERS:
        if not (folder / name).is_dir():
            continue
        try:
            entries = [e for e in os.scandir(folder / name) if e.name[0] != "."]
            stats = [(e.name, e.stat() if e.is_file() else None) for e in entries]
        except OSError as fault:
            what = f"may not be read ({fault.strerror})"
            faults.append(Fault(folder / name, what, "change its permissions"))
            continue
        listing[name] = sorted(
            (name, s.st_size, s.st_mtime_ns) if s else (name, -1, -1)
            for name, s in stats
        )
    if faults or "keras_slices_train" in listing:
        return listing, faults
    what = "has no folder keras_slices_train"
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
    inside = folder.name.startswith("keras_slices_")
    near = [folder] if inside else sorted(folder.glob("*/keras_slices_train"))
    remedy = "leave it out to use the phantom, or make one with `vqlib data convert`"
    if near:
        remedy = f"did you mean {near[0].parent}?"
    return {}, [Fault(folder, what, remedy)]


def _scan(folder: Path, listing: Listing) -> tuple[list[SliceRecord], list[Fault]]:
    """Records and faults of the splits that a listing holds."""
    records: list[SliceRecord] = []
    faults: list[Fault] = []
    for split in SPLITS:
        images = folder / f"keras_slices_{split}"
        segs = folder / f"keras_slices_seg_{split}"
        if images.name not in listing:
            continue
        known, labels = len(faults), {}
        paths = _by_key(images, listing[images.name], "case", faults)
        if segs.name in listing:
            labels = _by_key(segs, listing[segs.name], "seg", faults)
            for key in sorted(paths.keys() - labels.keys()):
                wanted = segs / paths[key].name.replace("case", "seg")
                remedy = f"add {wanted}, or remove the folder {segs.name}"
                faults.append(Fault(paths[key], "has no label", remedy))
            for key in sorted(labels.keys() - paths.keys()):
                wanted = images / labels[key].name.replace("seg", "case")
                remedy = f"add {wanted}, or remove the label"
                faults.append(Fault(labels[key], "has no image", remedy))
        if not paths and len(faults) == known:
            remedy = f"put the slices of the {split} patients there"
            faults.append(Fault(images, "is empty", remedy))
        for key in sorted(paths):
            records.append(SliceRecord(split, *key, paths[key], labels.get(key)))
    return records, [*faults, *_shared_patients(records)]


def _by_key(folder: Path, files, prefix: str, faults: list[Fault]) -> dict:
    """(case, week, slice) → path for the NIfTI files of a folder; notes its faults."""
    paths: dict[tuple[int, ...], Path] = {}
    for name, size, _ in files:
        if not name.lower().endswith((".nii", ".nii.gz")):
            continue
        match, path = _NAME.fullmatch(name), folder / name
        key = tuple(int(match[i]) for i in (2, 3, 4)) if match else ()
        if not match or match[1] != prefix:
            what = f"is not named {prefix}_NNN_week_W_slice_S.nii.gz"
            faults.append(Fault(path, what, "rename it, or move it away"))
        elif size < 0:
            faults.append(Fault(path, NO_FILE, "remove it"))
        elif key in paths:
            what = f"is the same slice as {paths[key].name}"
            faults.append(Fault(path, what, "remove one"))
        else:
            paths[key] = path
    return paths


def _shared_patients(records: list[SliceRecord]) -> Iterator[Fault]:
    """A fault for each patient that is in more than one split."""
    first: dict[int, dict[str, Path]] = {}  # of each patient, a file in each split
    for record in records:
        first.setdefault(record.case, {}).setdefault(record.split, record.path)
    remedy = "leave each patient in one split, or the scores measure memory"
    for case in sorted(first):
        one, *others = first[case].values()
        what = f"is a leak: patient {case} is also in {one.parent.name}"
        yield from (Fault(path, what, remedy) for path in others)
