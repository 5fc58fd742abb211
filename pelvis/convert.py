"""3D scans become a folder of slices in the HipMRI layout.

`convert` finds the scans (`pelvis.scans`), gives each patient a number and a split
(`pelvis.plan`), reads scans (`pelvis.volumes`) and cuts them into slices
(`pelvis.resample`). ``convert.json`` has the settings and of each scan its number,
week, split, and once its slices are in place their names and a stamp of the source. It
is replaced in one step after every scan, so that a stopped conversion goes on.
"""

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from pelvis import SPACING_RANGE
from pelvis.files import nifti_bytes, run_jobs, write_whole, writing
from pelvis.plan import Scan, plan
from pelvis.resample import PLANES, cut
from pelvis.scans import Source, find_scans
from pelvis.volumes import read_volume
from vqlib.data.layout import SPLITS
from vqlib.data.slices import MAX_SIDE
from vqlib.errors import UserError, one_line, unknown_name

VERSION = 1  # of the resampling: another number, other slices from the same scan
STATE, LOCK = "convert.json", ".convert.lock"


class Report(NamedTuple):
    """What a conversion did."""

    converted: int  # scans cut in this run
    skipped: int  # scans that were there already
    faults: list[str]  # a line for each scan or file that was left out
    notes: list[str]  # what else the user should know


def convert(
    source: str | Path,
    folder: str | Path,
    *,
    plane: str = "coronal",
    grid: tuple[int, int] = (256, 128),
    spacing: tuple[float, float] = (1.68, 1.56),
    slices: int | str = 60,
    seed: int = 0,
    processes: int | None = None,
    progress: bool = True,
) -> Report:
    """Cut all 3D NIfTI volumes and DICOM series below ``source`` into slices.

    ``plane`` is coronal, axial or sagittal; ``grid`` is in pixels and ``spacing`` in mm
    (left–right x inferior–superior for coronal slices); ``slices`` of each scan are
    kept, or ``"all"``; ``seed`` splits patients that are not the CSIRO release's. The
    same call again does only what is missing. A scan with a fault is left out and has a
    line in the report. Raises `UserError` where settings make no sense or differ from
    those that ``folder`` was made with, the source has no scans, or ``folder`` holds
    something else, lies in the source, or cannot be written.
    """
    source, folder = Path(source).expanduser(), Path(folder).expanduser()
    settings = _settings(plane, grid, spacing, slices, seed, processes)
    if source.resolve() in (folder.resolve(), *folder.resolve().parents):
        where = f"{source}, where its slices would be taken for scans"
        raise UserError(f"{folder} lies in {where}; choose a folder elsewhere")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose a folder for the slices")
    sources, faults, notes = find_scans(source, progress)
    if not sources:
        return Report(0, 0, faults, notes)
    how = {key: settings[key] for key in ("plane", "grid", "spacing")}
    how["slices"] = None if slices == "all" else slices
    settings["source"] = str(source.resolve())
    _known(folder, settings)  # refuses before anything is written
    with writing(folder, folder / LOCK):
        scans = plan(sources, _known(folder, settings), seed)
        for half_way in folder.glob(".case_*.tmp"):
            shutil.rmtree(half_way)
        stamps = {str(s): _stamp(s) for s in sources}
        jobs = [
            (s, scans[str(s)], how)
            for s in sources
            if scans[str(s)].stamp != stamps[str(s)]
            or not all((folder / file).exists() for file in scans[str(s)].files)
        ]
        skipped, done = len(sources) - len(jobs), 0
        _save(folder, settings, scans)
        bar = {"initial": skipped, "unit": "scan", "disable": not (progress and jobs)}
        with closing(run_jobs(_cut, jobs, processes)) as results:
            for job, result in tqdm(results, "converting", len(sources), **bar):
                (s, scan, _), (files, fault, note) = job, result
                faults += [fault] if fault else []
                notes += [note] if note else []
                if files:
                    _place(folder, scan, files)
                    own = {"stamp": stamps[str(s)], "files": list(files)}
                    scans[str(s)] = replace(scan, **own)
                    _save(folder, settings, scans)
                    done += 1
    there = {name: scan for name, scan in scans.items() if scan.files}
    if gone := len(there.keys() - stamps.keys()):
        notes.append(f"{gone} scans are no longer in the source; their slices stay")
    filled = {scan.split for scan in there.values()}
    lacking = " and ".join(split for split in SPLITS if split not in filled)
    if lacking and filled:
        needed = "the notebooks need patients in all three splits"
        notes.append(f"no patient is in {lacking}; {needed}")
    return Report(done, skipped, *([one_line(x) for x in y] for y in (faults, notes)))


def _settings(plane, grid, spacing, slices, seed, processes) -> dict:
    """The settings that decide what is written, as JSON keeps them."""
    low, high = SPACING_RANGE
    if plane not in PLANES:
        raise unknown_name("plane", plane, PLANES)
    if len(grid) != 2 or not all(type(n) is int and 8 <= n <= MAX_SIDE for n in grid):
        raise UserError(f"grid {grid} must be two whole numbers from 8 to {MAX_SIDE}")
    if len(spacing) != 2 or not all(low <= mm <= high for mm in spacing):
        raise UserError(f"spacing {spacing} must be two lengths, {low} to {high} mm")
    if type(seed) is not int:
        raise UserError(f"seed must be a whole number, not {seed!r}")
    counts = ("slices", slices, "all"), ("processes", processes, None)
    for what, number, free in counts:
        if number != free and (type(number) is not int or number < 1):
            raise UserError(f"{what} must be a whole number from 1 on, not {number!r}")
    settings = {"version": VERSION, "plane": plane, "grid": list(grid)}
    spacing = [float(mm) for mm in spacing]
    return settings | {"spacing": spacing, "slices": slices, "seed": seed}


def _stamp(source: Source) -> str:
    """Changes when a file of a scan does: names, sizes and times, not contents."""
    lines = []
    for path in filter(None, (*source.files, source.label)):
        try:
            about = path.stat()
        except OSError:  # said when it is read
            continue
        lines.append(f"{path.name} {about.st_size} {about.st_mtime_ns}")
    text = "\n".join(sorted(lines)).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()[:16]


def _known(folder: Path, settings: dict) -> dict[str, Scan]:
    """What a folder holds of a conversion. Raises `UserError` for one that holds
    something else, or was made with other settings."""
    if not (folder / STATE).exists():
        there = folder.iterdir() if folder.exists() else ()
        names = sorted(p.name for p in there if not p.name.startswith(".convert"))
        if not names:
            return {}
        what = "slices" if any("keras_slices_" in n for n in names) else "files"
        what += f" that no conversion made ({names[0]})"
        raise UserError(f"{folder} already holds {what}; choose a new or empty folder")
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        old = dict(state["settings"])
        scans = {name: Scan(**scan) for name, scan in state["scans"].items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        remedy = "delete the folder and convert again"
        raise UserError(f"{folder} has a damaged {STATE}; {remedy}") from None
    for key in sorted(old.keys() | settings.keys()):
        there, now = old.get(key), settings.get(key)
        if there != now:
            what = f"was converted with other settings ({key}: {there}, now {now})"
            raise UserError(f"{folder} {what}; choose another folder, or delete it")
    return scans


def _save(folder: Path, settings: dict, scans: dict[str, Scan]) -> None:
    state = {"settings": settings, "scans": {n: vars(s) for n, s in scans.items()}}
    write_whole(folder / STATE, json.dumps(state, indent=1) + "\n")


def _place(folder: Path, scan: Scan, files: dict[str, bytes]) -> None:
    """Write the slices of a scan, then move them into place of any older ones."""
    hidden = {"prefix": f".case_{scan.case:03d}_", "suffix": ".tmp"}
    with tempfile.TemporaryDirectory(dir=folder, **hidden) as new:
        for file, content in files.items():
            Path(new, Path(file).name).write_bytes(content)
        its = f"keras_slices_*/*_{scan.case:03d}_week_{scan.week}_slice_*.nii.gz"
        for old in folder.glob(its):
            old.unlink()
        for file in files:
            target = folder / file
            target.parent.mkdir(exist_ok=True)
            os.replace(Path(new, target.name), target)


def _cut(job: tuple[Source, Scan, dict]) -> tuple[dict[str, bytes], str, str]:
    """The slice files of one scan by their names; what is wrong with it; a note."""
    source, scan, how = job
    try:
        volume = read_volume(source)
        pieces = cut(volume.pixels, volume.labels, volume.affine, **how)
    except UserError as fault:
        return {}, str(fault), ""
    except MemoryError:
        what = "needs more memory than there is; give fewer --processes"
        return {}, f"{source.files[0]} {what}", ""
    if not pieces:
        what = "has no slice that holds anatomy; leave it out"
        return {}, f"{source.files[0]} {what}", ""
    files = {}
    for number, piece in enumerate(pieces):
        name = f"{scan.case:03d}_week_{scan.week}_slice_{number}.nii.gz"
        for start, values in (("case", piece.pixels), ("seg", piece.labels)):
            if values is not None:
                inside = f"keras_slices_{'seg_' * (start == 'seg')}{scan.split}"
                files[f"{inside}/{start}_{name}"] = nifti_bytes(values, piece.affine)
    return files, "", volume.note
