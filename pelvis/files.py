"""How files are written: whole, by one process at a time, by several for long work."""

import gzip
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import filelock
import numpy as np

from vqlib.errors import UserError


def nifti_bytes(pixels: np.ndarray, affine: np.ndarray) -> bytes:
    """A ``.nii.gz`` file of one array, in mm; the same bytes for the same values."""
    import nibabel as nib

    nifti = nib.Nifti1Image(pixels, affine)
    nifti.header.set_xyzt_units("mm")
    nifti.set_sform(affine, code=1)
    nifti.set_qform(affine, code=1)
    # level 1: noise hardly compresses, and time zero keeps the bytes reproducible
    return gzip.compress(nifti.to_bytes(), 1, mtime=0)


@contextmanager
def writing(folder: Path, lock: Path | None = None) -> Iterator[None]:
    """Makes a folder, and turns whatever keeps us from writing there into one line.
    ``lock``, a file, keeps a second process away; a killed one blocks nobody."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=0) if lock else nullcontext():
            yield
    except filelock.Timeout:
        what = f"another process is writing to {folder} ({lock})"
        raise UserError(f"{what}; wait until it has ended") from None
    except OSError as fault:
        what = f"{folder}: cannot write there ({fault.strerror or fault})"
        remedy = "free some space, change its permissions or take another folder"
        raise UserError(f"{what}; {remedy}, and give the same command again") from None


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one step."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def run_jobs(
    function: Callable, jobs: list, processes: int | None = None
) -> Iterator[tuple[Any, Any]]:
    """Calls a function with each job; yields (job, result) as they are ready.

    ``processes`` work at once, by default one a core; one alone is this process. Others
    are spawned: a fork of a process with threads (torch, Jupyter) may hang. Raises what
    the function does, and `UserError` where a process is killed.
    """
    processes = min(processes or os.cpu_count() or 1, len(jobs))
    if processes < 2:
        yield from ((job, function(job)) for job in jobs)
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
    script = sys.modules["__main__"]
    try:
        # a spawned process would import the user's script, and start all over again
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            waiting = {pool.submit(function, job): job for job in jobs}
        finally:
            sys.modules["__main__"] = script
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()  # and keep no result
    except BrokenProcessPool:
        what = "a process was ended from outside, perhaps for want of memory"
        remedy = "close other programs and give the same command again"
        raise UserError(f"{what}; {remedy}") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Ctrl-C is for the process that hands out the work; when that is killed, this one
    would wait for more work for ever."""

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
