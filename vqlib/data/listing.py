"""What the disk says of a data folder, and how a fault is told."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from vqlib.errors import UserError, one_line

SPLITS = ("train", "validate", "test")

# subfolder → its files by name: (name, bytes, modified, changed), times in nanoseconds
Listing = dict[str, list[tuple[str, int, int, int]]]


class Fault(NamedTuple):
    """One thing that is wrong; as text, one line."""

    file: Path
    what: str
    remedy: str

    def __str__(self) -> str:
        return one_line(f"{self.file} {self.what}; {self.remedy}")


def list_folder(folder: str | Path) -> Listing:
    """The files of a data folder, with size and times.

    Hidden files and folders that do not belong to the layout are left out. What is no
    file, such as a folder or a link to nowhere, has the size −1. Raises `UserError` for
    a folder that may not be read.
    """
    listing, faults = list_all(Path(folder))
    if faults:
        raise UserError(str(faults[0]))
    return listing


def list_all(folder: Path) -> tuple[Listing, list[Fault]]:
    """`list_folder`, with a fault for each folder that may not be read."""
    listing: Listing = {}
    faults = []
    for name in (
        f"keras_slices_{seg}{split}" for split in SPLITS for seg in ("", "seg_")
    ):
        inside = folder / name
        if not inside.is_dir():
            continue
        try:
            with os.scandir(inside) as entries:
                listing[name] = sorted(_stamps(entries))
        except OSError as fault:
            what = f"may not be read ({fault.strerror})"
            faults.append(Fault(inside, what, "change its permissions"))
    return listing, faults


def _stamps(entries: Iterable[os.DirEntry]) -> Iterator[tuple[str, int, int, int]]:
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            facts = entry.stat()
        except OSError:
            facts = None
        if facts is None or not stat.S_ISREG(facts.st_mode):
            yield entry.name, -1, -1, -1
        else:
            yield entry.name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def what_it_is(path: Path) -> str:
    """What lies at a path where a file should be."""
    if path.is_dir():
        return "is a folder, not a file"
    if path.is_symlink():
        return f"is a link to {os.readlink(path)}, where there is no file"
    if path.exists():
        return "is a device or a pipe, not a file"
    return "does not exist"
