"""How files are written: whole, by one process at a time, or one line says why not."""

import errno
import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
def alone(lock: Path, folder: Path) -> Iterator[None]:
    """Keeps a second process from writing to a folder; a killed one blocks nobody.

    Raises `UserError` where ``lock``, a file, is held.
    """
    held = filelock.FileLock(lock)
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        who = f"another process is writing to {folder}"
        raise UserError(f"{who}; wait until it has ended") from None
    except NotImplementedError:
        pass  # some network folders know no locks
    try:
        yield
    finally:
        held.release()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Makes a folder, and turns whatever keeps us from writing there into one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as fault:
        full = fault.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space" if full else "change its permissions or take another"
        what = f"{folder}: cannot write there ({fault.strerror or fault})"
        again = "and give the same command again"
        raise UserError(f"{what}; {remedy}, {again}") from None


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one step, unless it holds the same already."""
    content = text.encode()
    if path.exists() and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
