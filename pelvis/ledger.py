"""What a folder holds of a conversion: scans planned, slices written.

``convert.json`` has the settings and, for each scan, its number, week and split, and
once its slices are in place a stamp of the source and the slices' names and check sums.
It is replaced in one step after every scan, so that at any moment it is true: slices
that it does not name do not count, and are removed when the conversion goes on.
``manifest.csv`` says the same, a line for each slice, for people.
"""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from pelvis.files import write_whole
from pelvis.plan import Scan
from vqlib.data.layout import SPLITS
from vqlib.errors import UserError

STATE, MANIFEST, LOCK = "convert.json", "manifest.csv", ".convert.lock"
_SLICE = re.compile(r"(?:case|seg)_(\d+)_week_(\d+)_slice_(\d+)\.nii\.gz")
COLUMNS = ("split", "patient", "week", "slice", "file", "sha256", "label_file")
COLUMNS += ("label_sha256", "source", "label_source")


class Ledger:
    """Opens the folder of a conversion, new or begun.

    Raises `UserError` for a folder that holds something else, or slices that were made
    with other settings. Changes nothing.
    """

    def __init__(self, folder: Path, settings: dict):
        self.folder = folder
        self.settings = settings
        self.scans: dict[str, Scan] = {}  # by the text of their source
        if not (folder / STATE).exists():
            there = folder.iterdir() if folder.exists() else ()
            names = sorted(p.name for p in there if not p.name.startswith(".convert"))
            slices = any(name.startswith("keras_slices_") for name in names)
            if names:
                what = "slices" if slices else "files"
                raise UserError(
                    f"{folder} already holds {what} that no conversion made "
                    f"({names[0]}); choose a new or empty folder"
                )
            return
        try:
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
            old = dict(state["settings"])
            self.scans = {name: Scan(**scan) for name, scan in state["scans"].items()}
        except (KeyError, TypeError, AttributeError, ValueError):
            raise UserError(
                f"{folder} has a damaged {STATE}; delete the folder and convert again"
            ) from None
        for key in sorted(old.keys() | settings.keys()):
            if old.get(key) != settings.get(key):
                raise UserError(
                    f"{folder} was converted with other settings ({key}: "
                    f"{old.get(key)} there, {settings.get(key)} now); choose another "
                    "folder, or delete it"
                )

    def begin(self, scans: dict[str, Scan]) -> None:
        """Write down the plan, and remove what a killed run left half-way."""
        self.scans = scans
        self._save()
        for left in self.folder.glob(".case_*.tmp"):
            shutil.rmtree(left)
        planned = {(scan.case, scan.week) for scan in scans.values()}
        held = {file for scan in scans.values() for file in scan.files}
        for path in self.folder.glob("keras_slices_*/*.nii.gz"):
            match = _SLICE.fullmatch(path.name)
            ours = match and (int(match[1]), int(match[2])) in planned
            if ours and path.relative_to(self.folder).as_posix() not in held:
                path.unlink()

    def done(self, name: str, stamp: str) -> bool:
        """Whether all slices of a scan are in place, cut from the source as it is."""
        scan = self.scans[name]
        there = all((self.folder / file).exists() for file in scan.files)
        return bool(scan.files) and scan.stamp == stamp and there

    def enter(self, name: str, stamp: str, label: str, files: dict[str, bytes]) -> None:
        """Write the slices of a scan, move them into place together once all are
        there, and write them down."""
        scan = self.scans[name]
        hidden = {"prefix": f".case_{scan.case:03d}_", "suffix": ".tmp"}
        with tempfile.TemporaryDirectory(dir=self.folder, **hidden) as new:
            for file, content in files.items():
                Path(new, Path(file).name).write_bytes(content)
            for file in scan.files:  # of an older source
                (self.folder / file).unlink(missing_ok=True)
            for file in files:
                target = self.folder / file
                target.parent.mkdir(exist_ok=True)
                os.replace(Path(new, target.name), target)
        sums = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
        self.scans[name] = replace(scan, stamp=stamp, label=label, files=sums)
        self._save()

    def _save(self) -> None:
        scans = {name: vars(scan) for name, scan in self.scans.items()}
        state = {"settings": self.settings, "scans": scans}
        write_whole(self.folder / STATE, json.dumps(state) + "\n")
        rows = [row for name, scan in self.scans.items() for row in _rows(name, scan)]
        rows.sort(key=lambda row: (SPLITS.index(row[0]), *row[1:4]))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        write_whole(self.folder / MANIFEST, text.getvalue())


def _rows(name: str, scan: Scan) -> list[tuple]:
    """The lines of the manifest for one scan."""
    rows = []
    for file, checksum in scan.files.items():
        if "/case_" in file:
            label = file.replace("slices_", "slices_seg_").replace("/case_", "/seg_")
            pair = (label, scan.files[label]) if label in scan.files else ("", "")
            place = (scan.split, scan.case, scan.week, int(_SLICE.search(file)[3]))
            rows.append((*place, file, checksum, *pair, name, scan.label))
    return rows
