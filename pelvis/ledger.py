"""What a folder holds of a conversion: scans planned, slices written.

``convert.json`` has the settings and, of each scan, its number, week and split, and
once its slices are in place a stamp of the source and the slices' check sums. It is
replaced in one step after every scan: slices that it does not name do not count, and
are removed when the conversion goes on.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from pelvis.files import write_whole
from pelvis.plan import Scan
from vqlib.errors import UserError

STATE, LOCK = "convert.json", ".convert.lock"
_SLICE = re.compile(r"(?:case|seg)_(\d+)_week_(\d+)_slice_(\d+)\.nii\.gz")


class Ledger:
    """Opens the folder of a conversion, new or begun, and changes nothing. Raises
    `UserError` for one that holds something else, or was made with other settings."""

    def __init__(self, folder: Path, settings: dict):
        self.folder, self.settings = folder, settings
        self.scans: dict[str, Scan] = {}  # by the text of their source
        if not (folder / STATE).exists():
            there = folder.iterdir() if folder.exists() else ()
            names = sorted(p.name for p in there if not p.name.startswith(".convert"))
            if not names:
                return
            what = "slices" if any("keras_slices_" in n for n in names) else "files"
            what += f" that no conversion made ({names[0]})"
            raise UserError(
                f"{folder} already holds {what}; choose a new or empty folder"
            )
        try:
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
            old = dict(state["settings"])
            self.scans = {name: Scan(**scan) for name, scan in state["scans"].items()}
        except (KeyError, TypeError, AttributeError, ValueError):
            remedy = "delete the folder and convert again"
            raise UserError(f"{folder} has a damaged {STATE}; {remedy}") from None
        for key in sorted(old.keys() | settings.keys()):
            there, now = old.get(key), settings.get(key)
            if there != now:
                what = f"was converted with other settings ({key}: {there}, now {now})"
                raise UserError(f"{folder} {what}; choose another folder, or delete it")

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
        """Write the slices of a scan, then move them into place, and write it down."""
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
        write_whole(self.folder / STATE, json.dumps(state, indent=1) + "\n")
