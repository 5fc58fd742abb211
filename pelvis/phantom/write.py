"""The phantom as a folder of files, laid out and named as HipMRI is.

Each volume depends on its own seed alone, whatever the number of processes. All is
written under a temporary name and renamed at the end.
"""

import json
import shutil
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from pelvis.files import nifti_bytes, run_jobs, writing
from pelvis.phantom.patient import Grid
from pelvis.phantom.volume import make_volume
from vqlib.data.layout import SPLITS
from vqlib.errors import UserError

VERSION = 2  # of the generator: another number, other pictures from the same seed
FIRST_CASE = {"train": 4, "validate": 36, "test": 40}  # as in HipMRI, where they fit
LAST_CASE = 999


def write_phantom(
    folder: str | Path,
    patients: tuple[int, int, int] = (16, 4, 5),
    weeks: int = 2,
    seed: int = 0,
    slices: int = 60,
    jobs: int | None = None,
    progress: bool = True,
    volumes: bool = False,
) -> Path:
    """Write a phantom data set in the HipMRI layout and return its folder.

    ``patients`` are the patients in train, validate and test, never the same; each has
    ``weeks`` scans in train and one in validate and test, of ``slices`` slices
    (256, 128), int16, with labels uint8. ``jobs`` processes work at once, by default
    one a core. With ``volumes`` each scan is one 3D volume (256, slices, 128) with axis
    codes (L, P, S), and one of labels, named as in the CSIRO release.

    Raises `UserError` for counts or a seed out of range, and for a folder that already
    holds something or cannot be written.
    """
    folder, cases = Path(folder), _cases(patients)
    # so thick are 4 slices that their volume could not be a scan's
    least = 5 if volumes else 1
    _check("weeks", weeks, 1)
    _check("slices of a volume" if volumes else "slices", slices, least)
    _check("jobs", 1 if jobs is None else jobs, 1)
    _check("seed", seed, 0, 2**31 - 1)
    temporary = folder.with_name(f".{folder.name}.tmp")
    lock = folder.with_name(f".{folder.name}.lock")
    scans = [
        (split, case, week)
        for split, numbers in cases.items()
        for case in numbers
        for week in range(weeks if split == "train" else 1)
    ]
    settings = {"generator": "vqlib phantom", "version": VERSION, "seed": seed}
    settings["patients"] = {split: len(numbers) for split, numbers in cases.items()}
    settings |= {"weeks": weeks, "slices": slices}
    draw = partial(_write_scan, temporary, slices, seed, volumes)
    with writing(folder.parent, lock):
        try:
            if folder.exists() and not folder.is_dir():
                raise UserError(f"{folder} is a file; choose a folder for the phantom")
            if folder.is_dir() and any(folder.iterdir()):
                remedy = "choose a new or empty folder, or remove it"
                raise UserError(f"{folder} already holds files; {remedy}")
            shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
            temporary.mkdir()
            bar = {"total": len(scans), "unit": "scan", "disable": not progress}
            with closing(run_jobs(draw, scans, jobs)) as drawn:
                for _ in tqdm(drawn, "phantom", **bar):
                    pass
            text = json.dumps(settings, indent=2) + "\n"
            (temporary / "phantom.json").write_text(text, encoding="utf-8")
            if folder.exists():
                folder.rmdir()  # empty; not every system renames onto it
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            lock.unlink(missing_ok=True)
    return folder


def _check(what: str, number, low: int, high: int = LAST_CASE) -> None:
    if type(number) is not int or not low <= number <= high:
        wanted = f"a whole number from {low} to {high}"
        raise UserError(f"{what} must be {wanted}, not {number!r}")


def _cases(patients) -> dict[str, range]:
    """Case numbers of each split: HipMRI's where they fit, then simply onwards."""
    if not isinstance(patients, tuple | list) or len(patients) != len(SPLITS):
        wanted = "three numbers: train, validate and test"
        raise UserError(f"patients {patients} must be {wanted}")
    cases, free = {}, 0
    for split, count in zip(SPLITS, patients, strict=True):
        _check(f"patients in {split}", count, 1)
        first = max(FIRST_CASE[split], free)
        free = first + count
        cases[split] = range(first, free)
    if free > LAST_CASE + 1:
        many = f"{sum(patients)} patients are too many"
        raise UserError(f"{many}: case numbers end at {LAST_CASE}")
    return cases


def _write_scan(folder: Path, slices: int, seed: int, whole: bool, scan) -> None:
    """Draw one scan (split, case, week) and write it, as one file or as slices."""
    split, case, week = scan
    image, labels = make_volume(seed * (LAST_CASE + 1) + case, week, slices)
    image = np.rint(image).astype(np.int16)
    grid = Grid(slices)
    if whole:
        affine = grid.affine(0)[:, [0, 2, 1, 3]]  # left, back, head
        for name, values in (("LFOV", image), ("SEMANTIC_LFOV", labels)):
            path = folder / f"Case_{case:03d}_Week{week}_{name}.nii.gz"
            path.write_bytes(nifti_bytes(values.transpose(1, 0, 2), affine))
        return
    for kind, prefix, pixels in (("", "case", image), ("seg_", "seg", labels)):
        inside = folder / f"keras_slices_{kind}{split}"
        inside.mkdir(exist_ok=True)
        for s in range(slices):
            path = inside / f"{prefix}_{case:03d}_week_{week}_slice_{s}.nii.gz"
            path.write_bytes(nifti_bytes(pixels[s], grid.affine(s)))
