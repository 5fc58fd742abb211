"""The HipMRI slice layout: who is in the folder, which scan, which slice.

A data folder holds ``keras_slices_train``, ``keras_slices_validate`` and
``keras_slices_test`` with one file for each coronal slice, named
``case_NNN_week_W_slice_S.nii.gz``. Where there are labels, they lie beside, in
``keras_slices_seg_train`` and so on, named ``seg_NNN_week_W_slice_S.nii.gz``.

`list_folder` asks the disk for names. `SliceIndex` reads them, in natural order
(slice 2 before slice 10), and refuses a folder that would spoil an experiment without a
word, above all a patient in two splits. What is inside the files is read in
`vqlib.data.slices`.

Source of the layout: the processed slices of the HipMRI Study on Prostate Cancer;
the volumes are Dowling & Greer (2021), doi 10.25919/45t8-p065.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from vqlib.errors import UserError, one_line, unknown_name

SPLITS = ("train", "validate", "test")
NATIVE_SIZE = (256, 128)  # of a slice: left–right x inferior–superior
PIXEL_MM = (1.68, 1.56)  # of a slice at native size
LABEL_NAMES = ("background", "body", "bone", "bladder", "rectum", "prostate")

_NAME = re.compile(
    r"(case|seg)_(\d{1,9})_week_(\d{1,9})_slice_(\d{1,9})\.nii(\.gz)?", re.ASCII
)

# subfolder → its files by name: (name, bytes, modified, changed), times in nanoseconds
Listing = dict[str, list[tuple[str, int, int, int]]]


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
    """All slices of a folder, or of one split of it, in natural order.

    Make it by `SliceIndex.from_folder`. Taught in notebook 01, section 1.1.
    """

    folder: Path
    listing: Listing  # in which `scan_folder` finds no fault

    @classmethod
    def from_folder(cls, folder: str | Path) -> "SliceIndex":
        """Index a data folder by its file names.

        Hidden files and files that are no NIfTI are ignored. Raises `UserError` for
        the first fault that `scan_folder` finds.
        """
        return cls.from_listing(Path(folder), list_folder(folder))

    @classmethod
    def from_listing(cls, folder: Path, listing: Listing) -> "SliceIndex":
        """`from_folder` with what `list_folder` has found."""
        index = cls(folder, listing)
        missing = _nothing_to_read(folder, listing)
        faults = [missing] if missing else index._scanned[1]
        if faults:
            more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
            raise UserError(f"{faults[0]}{more}")
        return index

    @cached_property
    def _scanned(self) -> tuple[list[SliceRecord], list[Fault]]:
        return _scan_splits(self.folder, self.listing)

    @cached_property
    def records(self) -> tuple[SliceRecord, ...]:
        """All slices by split, case, week and slice."""
        return tuple(self._scanned[0])

    def __len__(self) -> int:
        return len(self.records)

    def split(self, name: str) -> "SliceIndex":
        """The part of the index that belongs to one split; raises `UserError`."""
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
        names = (f"keras_slices_{name}", f"keras_slices_seg_{name}")
        listing = {k: files for k, files in self.listing.items() if k in names}
        if not listing.get(names[0]):
            raise UserError(
                f"{self.folder / names[0]} is missing or empty; "
                f"put the slices of the {name} patients there"
            )
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
        return all(r.label_path is not None for r in self.records)

    def fingerprint(self) -> str:
        """SHA-256 over relative names and file sizes, the same wherever the folder
        lies: two runs with equal fingerprints saw the same data."""
        sizes = {
            (folder, name): size
            for folder, files in self.listing.items()
            for name, size, *_ in files
        }
        digest = hashlib.sha256()
        for record in self.records:
            for path in filter(None, (record.path, record.label_path)):
                size = sizes[path.parent.name, path.name]
                digest.update(f"{path.parent.name}/{path.name} {size}\n".encode())
        return digest.hexdigest()


def scan_folder(folder: str | Path) -> tuple[list[SliceRecord], list[Fault]]:
    """Everything that lies in a data folder, and all that is wrong with it.

    Returns the records in natural order and the faults: missing, empty or unreadable
    folders, names that do not fit, what is no file, a slice twice, an image without its
    label or a label without its image, a patient in two splits. A fault that leaves
    nothing to read comes alone.
    """
    folder = Path(folder)
    listing, unread = list_all(folder)
    missing = _nothing_to_read(folder, listing)
    if missing and not unread:
        return [], [missing]
    records, faults = _scan_splits(folder, listing)
    return records, unread + faults


def _nothing_to_read(folder: Path, listing: Listing) -> Fault | None:
    """The fault of a folder that is no data folder."""
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        return Fault(folder, what, "give the folder that holds keras_slices_train")
    if "keras_slices_train" not in listing:
        what = "has no folder keras_slices_train"
        return Fault(folder, what, _near_miss(folder))
    return None


def _scan_splits(folder: Path, listing: Listing):
    """Records and faults of the splits that a listing holds."""
    records, faults = [], []
    for split in SPLITS:
        if f"keras_slices_{split}" in listing:
            found, wrong = _scan_split(folder, listing, split)
            records += found
            faults += wrong
    return records, faults + _shared_patients(records)


def _scan_split(folder: Path, listing: Listing, split: str):
    """Records and faults of one split."""
    images = folder / f"keras_slices_{split}"
    segs = folder / f"keras_slices_seg_{split}"
    paths, faults = _by_key(images, listing[images.name], "case")
    labels: dict = {}
    if segs.name in listing:
        labels, wrong = _by_key(segs, listing[segs.name], "seg")
        faults += wrong
        faults += _unpaired(paths, labels, images, segs)
    if not paths and not faults:
        remedy = f"put the slices of the {split} patients there"
        faults.append(Fault(images, "is empty", remedy))
    records = [
        SliceRecord(split, *key, paths[key], labels.get(key)) for key in sorted(paths)
    ]
    return records, faults


def _unpaired(paths: dict, labels: dict, images: Path, segs: Path) -> list[Fault]:
    """A fault for each image without its label, and each label without its image."""
    faults = []
    for key in sorted(paths.keys() - labels.keys()):
        wanted = segs / paths[key].name.replace("case", "seg")
        without = f"remove the folder {segs.name} to work without labels"
        remedy = f"add {wanted}, or {without}"
        faults.append(Fault(paths[key], "has no label", remedy))
    for key in sorted(labels.keys() - paths.keys()):
        wanted = images / labels[key].name.replace("seg", "case")
        remedy = f"add {wanted}, or remove the label"
        faults.append(Fault(labels[key], "has no image", remedy))
    return faults


def _by_key(folder: Path, files, prefix: str):
    """(case, week, slice) → path for the NIfTI files of a folder, and its faults."""
    paths: dict[tuple[int, int, int], Path] = {}
    faults = []
    pattern = f"{prefix}_NNN_week_W_slice_S.nii.gz"
    for name, size, *_ in files:
        if not name.lower().endswith((".nii", ".nii.gz")):
            continue
        match = _NAME.fullmatch(name)
        if not match or match[1] != prefix:
            what = f"is not named {pattern}"
            faults.append(Fault(folder / name, what, "rename it, or move it away"))
            continue
        if size < 0:
            faults.append(Fault(folder / name, what_it_is(folder / name), "remove it"))
            continue
        key = tuple(int(match[i]) for i in (2, 3, 4))
        if key in paths:
            what = f"is the same slice as {paths[key].name}"
            faults.append(Fault(folder / name, what, "remove one"))
            continue
        paths[key] = folder / name
    return paths, faults


def _shared_patients(records: list[SliceRecord]) -> list[Fault]:
    """A fault for each patient that is in more than one split."""
    first: dict[tuple[int, str], SliceRecord] = {}
    for record in records:
        first.setdefault((record.case, record.split), record)
    faults = []
    for case in sorted({case for case, _ in first}):
        files = [first[case, split].path for split in SPLITS if (case, split) in first]
        for path in files[1:]:
            what = f"is a leak: patient {case} is also in {files[0].parent.name}"
            remedy = "leave each patient in one split, or the scores measure memory"
            faults.append(Fault(path, what, remedy))
    return faults


def _near_miss(folder: Path) -> str:
    """The remedy for a folder without slices: the one that was probably meant."""
    if folder.name.startswith("keras_slices_"):
        return f"give the folder above it, {folder.parent}"
    below = sorted(folder.glob("*/keras_slices_train"))
    if below:
        return f"did you mean {below[0].parent}?"
    return (
        "give a folder in the HipMRI layout, make one with `vqlib data convert`, or "
        "leave it out to use the phantom"
    )


def list_folder(folder: str | Path) -> Listing:
    """The files of a data folder, with size and times.

    Hidden files and folders that do not belong to the layout are left out. What is no
    file, such as a folder or a link to nowhere, has the size −1. Raises `UserError` for
    a folder that may not be read.
    """
    listing, faults = list_all(Path(folder))
    if faults:
        raise UserError(str(faults[0]))
    return listing


def list_all(folder: Path) -> tuple[Listing, list[Fault]]:
    """`list_folder`, with a fault for each folder that may not be read."""
    listing: Listing = {}
    faults = []
    for name in (
        f"keras_slices_{seg}{split}" for split in SPLITS for seg in ("", "seg_")
    ):
        inside = folder / name
        if not inside.is_dir():
            continue
        try:
            with os.scandir(inside) as entries:
                listing[name] = sorted(_stamps(entries))
        except OSError as fault:
            what = f"may not be read ({fault.strerror})"
            faults.append(Fault(inside, what, "change its permissions"))
    return listing, faults


def _stamps(entries: Iterable[os.DirEntry]) -> Iterator[tuple[str, int, int, int]]:
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            facts = entry.stat()
        except OSError:
            facts = None
        if facts is None or not stat.S_ISREG(facts.st_mode):
            yield entry.name, -1, -1, -1
        else:
            yield entry.name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def what_it_is(path: Path) -> str:
    """What lies at a path where a file should be."""
    if path.is_dir():
        return "is a folder, not a file"
    if path.is_symlink():
        return f"is a link to {os.readlink(path)}, where there is no file"
    if path.exists():
        return "is a device or a pipe, not a file"
    return "does not exist"
