"""A data folder decoded once: one array on disk, mapped into memory when it is opened.

The first opening of a folder decodes all of it into a folder of the cache, every later
one maps what lies there, at once and without taking memory for pages not used::

    cache/KEY/images.npy   [N, 1, H, W] float32, as the models see them
    cache/KEY/labels.npy   [N, H, W] uint8, where there are labels
    cache/KEY/slices.npy   [N, 3] float64, of each slice: patient, week, position
    cache/KEY/index.json   which splits and which folder they are of

Slices are stored scaled and at the size of the run: everything else would have to be
converted at each use, and ``images`` could not be mapped. HipMRI takes 1.7 GB at
256 x 128.

KEY is a sum over the name, size and two times of every file, the size of the run, and
the code that decodes. Not over the files' bytes: reading those would take as long as
decoding them. A program that changes a file changes the time of its last modification
and, even where it sets that back, the time of its last change (of which Windows keeps
the creation instead). What is stored under a key never changes; another content is
another key. An entry is checked for its length and for the sums of a few slices, which
a machine that loses its power spoils; a bit that flips on the disk is not found.

Where the cache cannot be used (no space, no permission), slices are read into memory,
and one line says so. ``VQLIB_CACHE`` is another folder for it, or ``off``. It may be
deleted at any time; whatever a killed process leaves is removed by the next that fills
the cache.
"""

import errno
import hashlib
import inspect
import json
import math
import os
import re
import secrets
import shutil
import sys
import threading
import zlib
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel
import numpy as np
from filelock import FileLock

from vqlib.data import decode, layout, nifti, scaling
from vqlib.data.layout import SPLITS, Listing, SliceIndex
from vqlib.runs import project_root

WAIT = 600  # seconds for another process that fills the cache
SPARE = 2**28  # bytes that must stay free on the disk

_OURS = re.compile(r"[0-9a-f]{32}(\.[0-9a-f]{8}\.part)?")


@dataclass(frozen=True)
class StoredSlices:
    """What lies decoded in one folder of the cache."""

    images: np.ndarray  # [N, 1, H, W] float32, mapped: writing stays in memory
    labels: np.ndarray | None  # [N, H, W] uint8, mapped; 0 in a split without labels
    table: np.ndarray  # [N, 3] float64: patient, week, position
    facts: dict  # index.json
    file: Path  # images.npy
    offset: int  # of the first slice in that file, in bytes

    def rows(self, start: int, end: int) -> "StoredRows":
        """To read the images from ``start`` to ``end``, as batches want them."""
        offset = self.offset + start * self.images[0].nbytes
        return StoredRows((end - start, *self.images.shape[1:]), self.file, offset)


@dataclass(frozen=True)
class StoredRows:
    """Reads slices of one split from the file behind ``images``.

    A page that is touched through the mapping counts as memory of the process until
    the system wants it back, so an epoch would seem to take as much as all slices.
    Reading the rows of a batch is as fast, and leaves the pages with the system.
    """

    shape: tuple[int, ...]  # [N, 1, H, W]
    file: Path
    offset: int

    def read(self, rows: list[int]) -> np.ndarray | None:
        """Images of some rows: `[B, 1, H, W]` float32. None where the file is gone or
        a row out of range."""
        if not all(0 <= row < self.shape[0] for row in rows):
            return None
        batch = np.empty((len(rows), *self.shape[1:]), np.float32)
        size = 4 * math.prod(self.shape[1:])
        try:
            # opened each time: processes and threads that share a position mix up rows
            with open(self.file, "rb", buffering=0) as file:
                for row, image in zip(rows, batch, strict=True):
                    file.seek(self.offset + row * size)
                    if file.readinto(image) != size:
                        return None
        except OSError:
            return None
        return batch


def cache_folder(data_folder: Path) -> Path | None:
    """Where decoded slices are kept: ``VQLIB_CACHE``, else ``cache`` in the project.

    None where ``VQLIB_CACHE`` is ``off``, and where the project lies inside the data
    folder, into which nothing is written unasked.
    """
    chosen = os.environ.get("VQLIB_CACHE", "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return None
    folder = project_root().resolve() / Path(chosen or "cache").expanduser()
    unasked = not chosen and data_folder.resolve() in folder.parents
    return None if unasked else folder


def cache_key(listing: Listing, size: tuple[int, int]) -> str:
    """What decoded slices depend on, as 32 hexadecimal digits."""
    digest = hashlib.sha256(f"{size} {_decoder()}".encode())
    for folder, files in listing.items():
        names, *stamps = zip(*files, strict=True) if files else ((), ())
        digest.update(os.fsencode("\n".join([folder, *names, ""])))
        digest.update(np.array(stamps, "<i8").tobytes())
    return digest.hexdigest()[:32]


@lru_cache
def _decoder() -> str:
    """The code that turns files into an entry, and the packages that it builds upon."""
    modules = (decode, layout, nifti, scaling, sys.modules[__name__])
    sources = [inspect.getsource(module) for module in modules]
    versions = [module.__version__ for module in (nibabel, np)]
    return "\n".join([*versions, *sources])


def open_stored(
    folder: Path, listing: Listing, size: tuple[int, int], progress: bool = True
) -> StoredSlices | None:
    """The decoded slices of a data folder, from the cache, which is filled first where
    it lacks them.

    None, with a line to stderr, where the cache cannot be used; None without a word
    where it is off. Raises `UserError` for whatever is wrong with the folder.
    """
    root = cache_folder(folder)
    if root is None:
        return None
    entry = root / cache_key(listing, size)
    if stored := _map(entry, size):
        return stored
    index = SliceIndex.from_listing(folder, listing)
    for split in SPLITS:
        index.split(split)  # a folder that lacks one is refused before it is decoded
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock", timeout=WAIT):
            stored = _map(entry, size)  # by another process, meanwhile
            if stored is None:
                _fill(entry, index, size, progress)
                stored = _map(entry, size)
        return stored
    except OSError as fault:  # a time-out of the lock is one as well
        reason = fault.strerror or fault
        print(
            f"slices are read into memory, for the cache {root} cannot be used "
            f"({reason}); set VQLIB_CACHE to another folder, or to off",
            file=sys.stderr,
        )
        return None


def _map(entry: Path, size: tuple[int, int]) -> StoredSlices | None:
    """What an entry holds; None where it is missing, incomplete or damaged."""
    try:
        facts = json.loads((entry / "index.json").read_text(encoding="utf-8"))
        n, file = sum(facts["slices"]), entry / "images.npy"
        table, _ = _map_array(entry / "slices.npy", (n, 3), np.float64)
        images, offset = _map_array(file, (n, 1, *size), np.float32)
        if _sums(file, offset, n, size) != facts["sums"]:
            return None
        labels = None
        if facts["labelled"]:
            labels, _ = _map_array(entry / "labels.npy", (n, *size), np.uint8)
        return StoredSlices(images, labels, table, facts, file, offset)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map_array(path: Path, shape: tuple[int, ...], dtype) -> tuple[np.ndarray, int]:
    array = np.lib.format.open_memmap(path, mode="c")  # fails for a file cut short
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{path} holds something else")
    return array, array.offset


def _sums(file: Path, offset: int, n: int, size: tuple[int, int]) -> list[int]:
    """CRC-32 of 16 of the ``n`` slices in a file, the first and the last included."""
    length, sums = 4 * math.prod(size), []
    with open(file, "rb") as stored:
        for row in np.linspace(0, n - 1, 16).astype(int).tolist():
            stored.seek(offset + row * length)
            sums.append(zlib.crc32(stored.read(length)))
    return sums


def _fill(entry: Path, index: SliceIndex, size: tuple[int, int], progress: bool):
    """Decode an index into an entry, which appears whole or not at all. The caller
    holds the lock of the cache."""
    _clear(entry, index.folder.resolve(), size)
    part = _part(entry)
    part.mkdir()
    try:
        _write(part, index, size, progress)
        part.rename(entry)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(part: Path, index: SliceIndex, size: tuple[int, int], progress: bool):
    records, n = index.records, len(index)
    slices = Counter(record.split for record in records)
    labelled = [s for s in SPLITS if f"keras_slices_seg_{s}" in index.listing]
    needed = n * math.prod(size) * (5 if labelled else 4) + SPARE
    if shutil.disk_usage(part).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    facts = {
        "folder": str(index.folder.resolve()),
        "size": list(size),
        "slices": [slices[split] for split in SPLITS],
        "labelled": labelled,
    }
    table = [[record.case, record.week] for record in records]
    positions = decode.relative_positions(index)[:, None]
    np.save(part / "slices.npy", np.hstack([table, positions], dtype=np.float64))
    lock = threading.Lock()
    with ExitStack() as files:
        images = files.enter_context(open(part / "images.npy", "wb"))
        at_image = _begin(images, (n, 1, *size), np.float32)
        if labelled:
            labels = files.enter_context(open(part / "labels.npy", "wb"))
            at_label = _begin(labels, (n, *size), np.uint8)

        def store(rows: list[int], pixels: np.ndarray, kinds: np.ndarray | None):
            first = rows[0]  # in a folder's index, a volume's rows follow each other
            with lock:
                images.seek(at_image + first * pixels[0].nbytes)
                images.write(np.ascontiguousarray(pixels))
                if kinds is not None:
                    labels.seek(at_label + first * kinds[0].nbytes)
                    labels.write(np.ascontiguousarray(kinds))

        decode.decode(index, size, store, progress)
    facts["sums"] = _sums(part / "images.npy", at_image, n, size)
    (part / "index.json").write_text(json.dumps(facts), encoding="utf-8")


def _begin(file, shape: tuple[int, ...], dtype) -> int:
    """Write the header of an .npy file, make the file as long as it will be, and
    return where the first number goes."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    start = file.tell()
    file.truncate(start + math.prod(shape) * np.dtype(dtype).itemsize)
    return start


def _clear(entry: Path, folder: Path, size: tuple[int, int]) -> None:
    """Make room for an entry: remove what killed processes have left, what was decoded
    from an earlier state of the folder at that size, and from folders that are gone."""
    for old in entry.parent.iterdir():
        if not _OURS.fullmatch(old.name):
            continue
        if not old.name.endswith(".part") and old != entry:
            with suppress(OSError, ValueError, KeyError, TypeError):
                facts = json.loads((old / "index.json").read_text(encoding="utf-8"))
                same = (facts["folder"], facts["size"]) == (str(folder), list(size))
                if not same and Path(facts["folder"]).is_dir():
                    continue
        # renamed first: what is half removed must not be taken for whole
        doomed = _part(entry.with_name(old.name[:32]))
        with suppress(OSError):  # Windows keeps what a process has mapped
            old.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def _part(entry: Path) -> Path:
    """A name for an entry that is not whole."""
    return entry.with_name(f"{entry.name}.{secrets.token_hex(4)}.part")
