"""The phantom as a folder of files, laid out and named as HipMRI is.

Each volume depends on its own seed alone and every gzip header carries time zero, so
the bytes are the same whatever the number of processes. All is written beside the
folder under a temporary name and renamed at the end: an interrupted run leaves nothing
that looks whole, and the next one removes what a killed one has left.
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
    one a core. The settings are kept in ``phantom.json``. With ``volumes`` each scan is
    written as one 3D volume (256, slices, 128) with axis codes (L, P, S), and one of
    labels, named as in the CSIRO release; `pelvis.convert` makes the same slices
    of them.

    Raises `UserError` for counts or a seed out of range, and for a folder that already
    holds something or cannot be written.
    """
    folder = Path(folder)
    cases = _cases(patients)
    for what, number in (("weeks", weeks), ("slices", slices), ("jobs", jobs)):
        if (what, number) != ("jobs", None):
            _check(what, number, 1, LAST_CASE)
    _check("seed", seed, 0, 2**31 - 1)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose a folder for the phantom")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(
            f"{folder} already holds files; choose a new or empty folder, or remove it"
        )
    temporary = folder.with_name(f".{folder.name}.tmp")
    lock = folder.with_name(f".{folder.name}.lock")
    scans = [
        _Volume(temporary, split, case, week, slices, seed, whole=volumes)
        for split, numbers in cases.items()
        for case in numbers
        for week in range(weeks if split == "train" else 1)
    ]
    settings = {
        "generator": "vqlib phantom",
        "version": VERSION,
        "seed": seed,
        "patients": {split: len(numbers) for split, numbers in cases.items()},
        "weeks": weeks,
        "slices": slices,
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(lock, folder):
            shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
            try:
                temporary.mkdir()
                work = workers.run(_Volume.write, scans, jobs)
                hide = not progress
                for _ in tqdm(work, "phantom", len(scans), unit="volume", disable=hide):
                    pass
                text = json.dumps(settings, indent=2) + "\n"
                (temporary / "phantom.json").write_text(text, encoding="utf-8")
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


def _check(what: str, number, low: int, high: int) -> None:
    if type(number) is not int or not low <= number <= high:
        raise UserError(
            f"{what} must be a whole number from {low} to {high}, not {number!r}"
        )


def _cases(patients) -> dict[str, range]:
    """Case numbers of each split: HipMRI's where they fit, then simply onwards."""
    if not isinstance(patients, tuple | list) or len(patients) != len(SPLITS):
        raise UserError(
            f"patients {patients} must be three numbers: train, validate and test"
        )
    cases, free = {}, 0
    for split, count in zip(SPLITS, patients, strict=True):
        _check(f"patients in {split}", count, 1, LAST_CASE)
        first = max(FIRST_CASE[split], free)
        free = first + count
        cases[split] = range(first, free)
    if free > LAST_CASE + 1:
        raise UserError(
            f"{sum(patients)} patients are too many: case numbers end at {LAST_CASE}"
        )
    return cases


@dataclass(frozen=True)
class _Volume:
    """One scan to draw and write."""

    folder: Path
    split: str
    case: int
    week: int
    slices: int
    seed: int  # of the whole data set
    whole: bool  # as one file

    def write(self) -> None:
        patient_seed = self.seed * (LAST_CASE + 1) + self.case
        image, labels = make_volume(patient_seed, self.week, self.slices)
        image = np.rint(image).astype(np.int16)
        grid = Grid(self.slices)
        if self.whole:
            affine = grid.affine(0)[:, [0, 2, 1, 3]]  # left, back, head
            stem = f"Case_{self.case:03d}_Week{self.week}"
            for name, values in (("LFOV", image), ("SEMANTIC_LFOV", labels)):
                path = self.folder / f"{stem}_{name}.nii.gz"
                path.write_bytes(nifti_bytes(values.transpose(1, 0, 2), affine))
            return
        for kind, prefix, pixels in (("", "case", image), ("seg_", "seg", labels)):
            folder = self.folder / f"keras_slices_{kind}{self.split}"
            folder.mkdir(exist_ok=True)
            for s in range(self.slices):
                name = f"{prefix}_{self.case:03d}_week_{self.week}_slice_{s}.nii.gz"
                (folder / name).write_bytes(nifti_bytes(pixels[s], grid.affine(s)))
