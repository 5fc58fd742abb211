"""3D scans become a folder of slices in the HipMRI layout.

`convert` finds the scans (`pelvis.volumes`), gives each patient a number and a split
(`pelvis.plan`), cuts scans into slices (`pelvis.resample`) in several processes, and
keeps account of it (`pelvis.ledger`). It can be stopped at any time: numbers and splits
are written down before the first slice, and slices depend on scan and settings alone,
to the byte.
"""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from pelvis import workers
from pelvis.files import alone, nifti_bytes, writing
from pelvis.ledger import LOCK, Ledger
from pelvis.plan import Scan, plan
from pelvis.resample import PLANES, cut
from pelvis.sources import Source, printable
from pelvis.volumes import SPACING_RANGE, find_volumes, read_volume
from vqlib.data.layout import SPLITS
from vqlib.data.slices import MAX_SIDE
from vqlib.errors import UserError, unknown_name

VERSION = 1  # of the resampling: another number, other slices from the same scan


class Report(NamedTuple):
    """What a conversion did."""

    folder: Path
    converted: int  # scans cut in this run
    skipped: int  # scans that were there already
    faults: tuple[str, ...] = ()  # a line for each scan or file that was left out
    notes: tuple[str, ...] = ()  # what else the user should know


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
    sources, faults, notes = _find(source, progress)
    if not sources:
        return Report(folder, 0, 0, tuple(faults), tuple(notes))
    how = {key: settings[key] for key in ("plane", "grid", "spacing")}
    how["slices"] = None if slices == "all" else slices
    settings["source"] = str(source.resolve())
    with writing(folder):
        Ledger(folder, settings)  # refuses a folder of something else, and leaves it
        with alone(folder / LOCK, folder):
            ledger = Ledger(folder, settings)
            ledger.begin(plan(sources, ledger.scans, seed))
            stamps = {str(s): _stamp(s) for s in sources}
            left = [s for s in sources if not ledger.done(str(s), stamps[str(s)])]
            jobs = [(s, ledger.scans[str(s)], how) for s in left]
            skipped, done = len(sources) - len(left), 0
            quiet = not (progress and left)
            bar = tqdm(
                None,
                "converting",
                len(sources),
                initial=skipped,
                unit="scan",
                disable=quiet,
            )
            with bar, closing(workers.run(_cut, jobs, processes)) as results:
                for (s, *_), (files, remark) in results:
                    if files:
                        label = s.label and printable(s.label.relative_to(source))
                        ledger.enter(str(s), stamps[str(s)], label or "", files)
                        done += 1
                    if remark:
                        (notes if files else faults).append(remark)
                    bar.update()
    there = {name: scan for name, scan in ledger.scans.items() if scan.files}
    if gone := len(there.keys() - stamps.keys()):
        notes.append(f"{gone} scans are no longer in the source; their slices stay")
    filled = {scan.split for scan in there.values()}
    lacking = " and ".join(split for split in SPLITS if split not in filled)
    if lacking and filled:
        needed = "the notebooks need patients in all three splits"
        notes.append(f"no patient is in {lacking}; {needed}")
    return Report(folder, done, skipped, tuple(faults), tuple(notes))


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


def _find(source: Path, progress: bool) -> tuple[list[Source], list[str], list[str]]:
    """Scans that can be tried, faults and notes; raises `UserError` for no scans."""
    sources, faults, ignored = find_volumes(source, progress)
    passed = f"{ignored} DICOM files that are no MR images were passed over"
    notes = [passed] if ignored else []
    if not sources and not faults:
        nothing = f"{source} holds no NIfTI volumes and no MR series in DICOM"
        remedy = "give the folder that holds the scans"
        raise UserError("; ".join([nothing, *notes, remedy]))
    if any(s.label for s in sources):  # the layout has labels for all or for none
        faults += [
            f"{s.files[0]} has no label map, and others have; add it, or take all away"
            for s in sources
            if not s.label
        ]
        sources = [s for s in sources if s.label]
    return sources, faults, notes


def _stamp(source: Source) -> str:
    """Changes when a file of a scan does: names, sizes and times, not contents."""
    lines = []
    for path in filter(None, (*source.files, source.label)):
        try:
            about = path.stat()
        except OSError:  # said when it is read
            continue
        lines.append(f"{path.name} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()[:16]


def _cut(job: tuple[Source, Scan, dict]) -> tuple[dict[str, bytes], str]:
    """The slice files of one scan by their names, and what the user should know of it;
    no files, and what is wrong, of a scan that cannot be cut."""
    source, scan, how = job
    try:
        volume = read_volume(source)
        pieces = cut(volume.pixels, volume.labels, volume.affine, **how)
    except UserError as fault:
        return {}, str(fault)
    except MemoryError:
        remedy = "give fewer --processes"
        return {}, f"{source.files[0]} needs more memory than there is; {remedy}"
    if not pieces:
        return {}, f"{source.files[0]} has no slice that holds anatomy; leave it out"
    files = {}
    for number, piece in enumerate(pieces):
        name = f"{scan.case:03d}_week_{scan.week}_slice_{number}.nii.gz"
        image = f"keras_slices_{scan.split}/case_{name}"
        files[image] = nifti_bytes(piece.pixels, piece.affine)
        if piece.labels is not None:
            label = f"keras_slices_seg_{scan.split}/seg_{name}"
            files[label] = nifti_bytes(piece.labels, piece.affine)
    return files, volume.note
