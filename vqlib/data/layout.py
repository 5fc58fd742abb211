"""The HipMRI slice layout: who is in the folder, which scan, which slice.

A data folder holds ``keras_slices_train``, ``keras_slices_validate`` and
``keras_slices_test`` with one file for each coronal slice, named
``case_NNN_week_W_slice_S.nii.gz``. Where there are labels, they lie beside, in
``keras_slices_seg_train`` and so on, named ``seg_NNN_week_W_slice_S.nii.gz``.

`SliceIndex` reads the names only, in natural order (slice 2 before slice 10), and
refuses a folder that would spoil an experiment without a word, above all a patient in
two splits. What is inside the files is read in `vqlib.data.nifti`.

Source of the layout: the processed slices of the HipMRI Study on Prostate Cancer;
the volumes are Dowling & Greer (2021), doi 10.25919/45t8-p065.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vqlib.errors import UserError, unknown_name

SPLITS = ("train", "validate", "test")
LABEL_NAMES = ("background", "body", "bone", "bladder", "rectum", "prostate")

_NAME = re.compile(r"(case|seg)_(\d{1,9})_week_(\d{1,9})_slice_(\d{1,9})\.nii(\.gz)?")


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
    records: tuple[SliceRecord, ...]  # by split, case, week, slice

    @classmethod
    def from_folder(cls, folder: str | Path) -> "SliceIndex":
        """Index a data folder by its file names.

        Hidden files and files that are no NIfTI are ignored. Raises `UserError` for
        the first fault that `scan_folder` finds.
        """
        records, faults = scan_folder(folder)
        if faults:
            more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
            raise UserError(faults[0] + more)
        return cls(Path(folder), tuple(records))

    def __len__(self) -> int:
        return len(self.records)

    def split(self, name: str) -> "SliceIndex":
        """The part of the index that belongs to one split; raises `UserError`."""
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
        records = tuple(r for r in self.records if r.split == name)
        if not records:
            raise UserError(
                f"{self.folder / f'keras_slices_{name}'} is missing or empty; "
                f"put the slices of the {name} patients there"
            )
        return SliceIndex(self.folder, records)

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
        digest = hashlib.sha256()
        for record in self.records:
            for path in filter(None, (record.path, record.label_path)):
                line = f"{path.parent.name}/{path.name} {_file_size(path)}\n"
                digest.update(line.encode())
        return digest.hexdigest()


def scan_folder(folder: str | Path) -> tuple[list[SliceRecord], list[str]]:
    """Everything that lies in a data folder, and all that is wrong with it.

    Returns the records in natural order and one line for each fault: missing or empty
    folders, names that do not fit, a slice twice, an image without its label, a patient
    in two splits. A fault that leaves nothing to read comes alone.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        return [], [f"{folder} {what}; give the folder that holds keras_slices_train"]
    if not (folder / "keras_slices_train").is_dir():
        return [], [f"{folder} has no folder keras_slices_train; {_near_miss(folder)}"]
    records, faults = [], []
    for split in SPLITS:
        images = folder / f"keras_slices_{split}"
        if not images.is_dir():
            continue
        found, wrong = _scan_split(images, folder / f"keras_slices_seg_{split}", split)
        records += found
        faults += wrong
    return records, faults + _shared_patients(records)


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as fault:
        raise UserError(f"{path} cannot be read ({fault.strerror})") from None


def _scan_split(images: Path, segs: Path, split: str):
    """Records and faults of one split."""
    paths, faults = _by_key(images, "case")
    labels: dict = {}
    if segs.is_dir():
        labels, wrong = _by_key(segs, "seg")
        faults += wrong
        for key in sorted(paths.keys() - labels.keys()):
            name = paths[key].name
            faults.append(
                f"{paths[key]} has no label; add {segs / name.replace('case', 'seg')}, "
                f"or remove the folder {segs.name} to work without labels"
            )
    if not paths and not faults:
        faults.append(
            f"{images} is empty; put the slices of the {split} patients there"
        )
    records = [
        SliceRecord(split, *key, paths[key], labels.get(key)) for key in sorted(paths)
    ]
    return records, faults


def _by_key(folder: Path, prefix: str):
    """(case, week, slice) → path for the NIfTI files of a folder, and its faults."""
    paths: dict[tuple[int, int, int], Path] = {}
    faults = []
    pattern = f"{prefix}_NNN_week_W_slice_S.nii.gz"
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or not name.lower().endswith((".nii", ".nii.gz")):
            continue
        match = _NAME.fullmatch(name)
        if not match or match[1] != prefix:
            faults.append(
                f"{folder / name} is not named {pattern}; rename it, or move it away"
            )
            continue
        key = tuple(int(match[i]) for i in (2, 3, 4))
        if key in paths:
            faults.append(
                f"{folder / name} is the same slice as {paths[key].name}; remove one"
            )
            continue
        paths[key] = folder / name
    return paths, faults


def _shared_patients(records: list[SliceRecord]) -> list[str]:
    """A fault for each patient that is in more than one split."""
    first: dict[tuple[int, str], SliceRecord] = {}
    for record in records:
        first.setdefault((record.case, record.split), record)
    faults = []
    for case in sorted({case for case, _ in first}):
        files = [first[case, split].path for split in SPLITS if (case, split) in first]
        if len(files) > 1:
            faults.append(
                f"{files[1]}: patient {case} is also in {files[0].parent.name}; leave "
                "each patient in one split, or the scores measure memory"
            )
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
