"""Scans cut into slice files, in as many processes as are wanted.

Each scan is a job of its own, and its slices go to a hidden folder of their own: moving
them into place is the business of `pelvis.ledger`.
"""

import errno
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pelvis import workers
from pelvis.files import nifti_bytes
from pelvis.ledger import COLUMNS
from pelvis.plan import Scan
from pelvis.resample import Slice, cut
from pelvis.sources import Source
from pelvis.volumes import read_volume
from vqlib.errors import UserError

POOL_FROM = 5  # scans; starting processes takes as long as cutting this many


@dataclass(frozen=True)
class Job:
    """One scan to cut."""

    source: Source
    scan: Scan
    staging: Path  # hidden folder for its slices
    label_source: str  # as the manifest names it
    how: dict  # plane, grid, spacing and slices of `cut`


class CannotWrite(UserError):
    """The folder takes no more, which is the fault of no single scan."""

    @classmethod
    def to(cls, folder: Path, fault: OSError) -> "CannotWrite":
        """The line for what the system said."""
        remedy = {
            errno.ENOSPC: "free some space",
            errno.EDQUOT: "free some space",
            errno.EROFS: "choose another folder",
        }.get(fault.errno, "change its permissions or choose another folder")
        return cls(
            f"{folder}: cannot write there ({fault.strerror or fault}); {remedy}, and "
            "give the same command again"
        )


def cut_all(
    jobs: list[Job], processes: int
) -> Iterator[tuple[str, list[dict] | UserError]]:
    """For each scan, as they are ready: the text of its source, and the lines of its
    slices for the manifest or what is wrong with it. Raises `CannotWrite`."""
    processes = 1 if len(jobs) < POOL_FROM else processes
    for job, result in workers.run(_attempt, jobs, processes):
        yield str(job.source), result


def _attempt(job: Job) -> list[dict] | UserError:
    try:
        volume = read_volume(job.source)
        pieces = cut(volume.pixels, volume.labels, volume.affine, **job.how)
        if pieces:
            return _write(job, pieces)
        what = "has no slice that holds anatomy; leave it out"
    except MemoryError:
        what = "needs more memory than there is; give fewer --processes"
    except CannotWrite:
        raise
    except UserError as fault:
        return fault
    return UserError(f"{job.source.files[0]} {what}")


def _write(job: Job, pieces: list[Slice]) -> list[dict]:
    try:
        shutil.rmtree(job.staging, ignore_errors=True)  # of a run that was killed
        job.staging.mkdir()
        return [_write_slice(job, number, piece) for number, piece in enumerate(pieces)]
    except BaseException as fault:
        shutil.rmtree(job.staging, ignore_errors=True)
        if isinstance(fault, OSError):
            raise CannotWrite.to(job.staging.parent, fault) from None
        raise


def _write_slice(job: Job, number: int, piece: Slice) -> dict:
    scan = job.scan
    row = dict.fromkeys(COLUMNS, "") | {
        "split": scan.split,
        "patient": scan.case,
        "week": scan.week,
        "slice": number,
        "source": str(job.source),
        "label_source": job.label_source,
    }
    name = f"{scan.case:03d}_week_{scan.week}_slice_{number}.nii.gz"
    files = [("", f"keras_slices_{scan.split}/case_{name}", piece.pixels)]
    if piece.labels is not None:
        place = f"keras_slices_seg_{scan.split}/seg_{name}"
        files.append(("label_", place, piece.labels))
    for which, place, pixels in files:
        content = nifti_bytes(pixels, piece.affine)
        (job.staging / Path(place).name).write_bytes(content)
        row[f"{which}file"] = place
        row[f"{which}sha256"] = hashlib.sha256(content).hexdigest()
    return row
