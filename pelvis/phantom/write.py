"""The phantom as a folder of files, laid out and named as HipMRI is.

Volumes are drawn by as many processes as there are cores. Each volume depends on its
own seed alone and every gzip header carries time zero, so the bytes are the same
whatever the number of processes. All is written beside the folder under a temporary
name and renamed at the end: an interrupted run leaves nothing that looks whole, and the
next one removes what a killed one has left.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from pelvis import workers
from pelvis.files import alone, nifti_bytes
from pelvis.phantom.patient import Grid
from pelvis.phantom.volume import make_volume
from vqlib.errors import UserError

VERSION = 2  # of the generator: another number, other pictures from the same seed
SPLITS = ("train", "validate", "test")
FIRST_CASE = {"train": 4, "validate": 36, "test": 40}  # as in HipMRI, where they fit
LAST_CASE = 999


@dataclass(frozen=True)
class _Job:
    """One volume to draw and write."""

    folder: Path
    split: str
    case: int
    week: int
    slices: int
    patient_seed: int
    volume: bool  # as one file


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

    ``patients`` are the men in train, validate and test, never the same; each has
    ``weeks`` scans in train and one in validate and test, of ``slices`` slices
    (256, 128), int16, with labels uint8. ``jobs`` processes work at once, by default
    one a core. The settings are kept in ``phantom.json``. With ``volumes`` each scan is
    written as one 3D volume (256, slices, 128) with axis codes (L, P, S), and one of
    labels, named as in the CSIRO release; `pelvis.convert` makes the same slices
    of them.

    Raises `UserError` for counts that make no sense, and for a folder that already
    holds something.
    """
    folder = Path(folder)
    patients = _check_counts(patients, weeks, seed, slices, jobs)
    _check_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f".{folder.name}.lock")
        with alone(lock, folder):
            temporary = folder.with_name(f".{folder.name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
            try:
                temporary.mkdir()
                _write(
                    temporary, patients, weeks, seed, slices, jobs, progress, volumes
                )
                if folder.exists():
                    folder.rmdir()  # empty; not every system renames onto it
                temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
                lock.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot write the phantom there ({error.strerror or error}); "
            "choose another folder or free some space"
        ) from error
    return folder


def _write(folder, patients, weeks, seed, slices, jobs, progress, volumes) -> None:
    for split in () if volumes else SPLITS:
        (folder / f"keras_slices_{split}").mkdir()
        (folder / f"keras_slices_seg_{split}").mkdir()
    tasks = _plan(folder, patients, weeks, seed, slices, volumes)
    _run(tasks, jobs, progress)
    settings = {
        "generator": "vqlib phantom",
        "version": VERSION,
        "seed": seed,
        "patients": dict(zip(SPLITS, patients, strict=True)),
        "weeks": weeks,
        "slices": slices,
    }
    text = json.dumps(settings, indent=2) + "\n"
    (folder / "phantom.json").write_text(text, encoding="utf-8")


def _check_counts(patients, weeks, seed, slices, jobs) -> tuple[int, int, int]:
    try:
        patients = tuple(patients)
    except TypeError:
        patients = (patients,)
    if len(patients) != len(SPLITS):
        raise UserError(
            f"patients {patients} must be three numbers: train, validate and test"
        )
    counts = [(f"patients in {s}", n) for s, n in zip(SPLITS, patients, strict=True)]
    counts += [("weeks", weeks), ("slices", slices)]
    if jobs is not None:
        counts.append(("jobs", jobs))
    for what, count in counts:
        if type(count) is not int or not 1 <= count <= LAST_CASE:
            raise UserError(
                f"{what} must be a whole number from 1 to {LAST_CASE}, not {count!r}"
            )
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise UserError(f"seed must be a whole number from 0 to 2^31-1, not {seed!r}")
    if _cases(patients)["test"][-1] > LAST_CASE:
        raise UserError(
            f"{sum(patients)} patients are too many: case numbers end at {LAST_CASE}"
        )
    return patients


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose a folder for the phantom")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(
            f"{folder} already holds files; choose a new or empty folder, or remove it"
        )


def _cases(patients: tuple[int, int, int]) -> dict[str, range]:
    """Case numbers of each split: HipMRI's where they fit, then simply onwards."""
    cases, free = {}, 0
    for split, count in zip(SPLITS, patients, strict=True):
        first = max(FIRST_CASE[split], free)
        cases[split] = range(first, first + count)
        free = first + count
    return cases


def _plan(folder, patients, weeks, seed, slices, volumes) -> list[_Job]:
    return [
        _Job(folder, split, case, week, slices, seed * (LAST_CASE + 1) + case, volumes)
        for split, cases in _cases(patients).items()
        for case in cases
        for week in range(weeks if split == "train" else 1)
    ]


def _run(tasks: list[_Job], jobs: int | None, progress: bool) -> None:
    bar = tqdm(total=len(tasks), desc="phantom", unit="volume", disable=not progress)
    with bar:
        for _ in workers.run(_write_volume, tasks, jobs):
            bar.update()


def _write_volume(job: _Job) -> None:
    image, labels = make_volume(job.patient_seed, job.week, job.slices)
    image = np.rint(image).astype(np.int16)
    grid = Grid.of(job.slices)
    if job.volume:
        affine = grid.affine(0)[:, [0, 2, 1, 3]]  # left, back, head
        stem = f"Case_{job.case:03d}_Week{job.week}"
        for name, values in (("LFOV", image), ("SEMANTIC_LFOV", labels)):
            path = job.folder / f"{stem}_{name}.nii.gz"
            path.write_bytes(nifti_bytes(values.transpose(1, 0, 2), affine))
        return
    for s in range(job.slices):
        name = f"{job.case:03d}_week_{job.week}_slice_{s}.nii.gz"
        affine = grid.affine(s)
        for kind, prefix, pixels in (("", "case", image), ("_seg", "seg", labels)):
            path = job.folder / f"keras_slices{kind}_{job.split}" / f"{prefix}_{name}"
            path.write_bytes(nifti_bytes(pixels[s], affine))
