"""What a folder holds of a conversion: scans planned, slices written.

``convert.json`` has the settings and, for each scan, its number, week and split, and a
stamp of the source once its slices are in place. ``manifest.csv`` has a line for each
slice. Both are replaced in one step after every scan, so that at any moment they tell
the truth: slices that are not in the manifest do not count, and are removed when the
conversion goes on.
"""

import csv
import io
import os
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from pelvis.plan import Scan
from vqlib.data.layout import SPLITS
from vqlib.errors import UserError
from vqlib.runs import load_json, save_json, save_text

STATE, MANIFEST, LOCK = "convert.json", "manifest.csv", ".convert.lock"
COLUMNS = (
    "split",
    "patient",
    "week",
    "slice",
    "file",
    "sha256",
    "label_file",
    "label_sha256",
    "source",
    "label_source",
)
_SLICE = re.compile(r"(?:case|seg)_(\d+)_week_(\d+)_slice_\d+\.nii\.gz")


class Ledger:
    """Opens the folder of a conversion, new or begun.

    Raises `UserError` for a folder that holds something else, or slices that were made
    with other settings. Changes nothing.
    """

    def __init__(self, folder: Path, settings: dict):
        self.folder = folder
        self.settings = settings
        self.scans: dict[str, Scan] = {}  # by the text of their source
        self.rows: dict[str, list[dict]] = {}  # lines of the manifest, likewise
        if (folder / STATE).exists():
            self._open()
        elif folder.exists() and any(p.name != LOCK for p in folder.iterdir()):
            raise UserError(
                f"{folder} already holds files that no conversion made; choose a new "
                "or empty folder"
            )

    def _open(self) -> None:
        state = load_json(self.folder / STATE)
        try:
            old = state["settings"]
            self.scans = {k: Scan(**scan) for k, scan in state["scans"].items()}
            self.rows = _read_rows(self.folder / MANIFEST)
        except (KeyError, TypeError, AttributeError, ValueError, csv.Error):
            raise UserError(
                f"{self.folder} has a damaged {STATE} or {MANIFEST}; delete the folder "
                "and convert again"
            ) from None
        for key in sorted(old.keys() | self.settings.keys()):
            if old.get(key) != self.settings.get(key):
                raise UserError(
                    f"{self.folder} was converted with other settings ({key}: "
                    f"{old.get(key)} there, {self.settings.get(key)} now); choose "
                    "another folder, or delete it"
                )

    def begin(self, scans: dict[str, Scan]) -> None:
        """Write down the plan, and remove what a killed run left half-way."""
        if scans != self.scans or not (self.folder / MANIFEST).exists():
            self.scans = scans
            self.rows = {name: self.rows[name] for name in self.rows if name in scans}
            self.save()
        for left in self.folder.glob(".case_*.tmp"):
            shutil.rmtree(left)
        planned = {(scan.case, scan.week) for scan in scans.values()}
        held = {file for rows in self.rows.values() for file in _files(rows)}
        for path in self.folder.glob("keras_slices_*/*.nii.gz"):
            match = _SLICE.fullmatch(path.name)
            ours = match and (int(match[1]), int(match[2])) in planned
            if ours and path.relative_to(self.folder).as_posix() not in held:
                path.unlink()

    def done(self, name: str, stamp: str) -> bool:
        """Whether all slices of a scan are in place, cut from the source as it is."""
        rows = self.rows.get(name)
        if not rows or self.scans[name].stamp != stamp:
            return False
        return all((self.folder / file).exists() for file in _files(rows))

    def staging(self, name: str) -> Path:
        """A hidden folder for the slices of one scan until all are written."""
        scan = self.scans[name]
        return self.folder / f".case_{scan.case:03d}_week_{scan.week}.tmp"

    def enter(self, name: str, stamp: str, rows: list[dict]) -> None:
        """Move the slices of a scan from `staging` into place, and write them down."""
        staging = self.staging(name)
        for file in _files(self.rows.pop(name, [])):  # of an older source
            (self.folder / file).unlink(missing_ok=True)
        for file in _files(rows):
            target = self.folder / file
            target.parent.mkdir(exist_ok=True)
            os.replace(staging / target.name, target)
        staging.rmdir()
        self.rows[name] = rows
        self.scans[name] = replace(self.scans[name], stamp=stamp)
        self.save()

    def save(self) -> None:
        """Write both files; the manifest first, since a stamp vouches for its lines."""
        rows = [row for rows in self.rows.values() for row in rows]
        rows.sort(
            key=lambda row: (
                SPLITS.index(row["split"]),
                *(row[key] for key in ("patient", "week", "slice")),
            )
        )
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        save_text(self.folder / MANIFEST, text.getvalue())
        scans = {name: asdict(scan) for name, scan in self.scans.items()}
        save_json(self.folder / STATE, {"settings": self.settings, "scans": scans})


def _files(rows: list[dict]) -> list[str]:
    return [row[key] for row in rows for key in ("file", "label_file") if row[key]]


def _read_rows(path: Path) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    if not path.exists():  # then every scan is cut again
        return found
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, strict=True)
        if tuple(table.fieldnames or ()) != COLUMNS:
            raise ValueError("other columns")
        for row in table:
            if None in row or None in row.values():
                raise ValueError("a line of another length")
            row |= {key: int(row[key]) for key in ("patient", "week", "slice")}
            found.setdefault(row["source"], []).append(row)
    return found
