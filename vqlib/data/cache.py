"""A data folder decoded once: one array on disk, mapped into memory when it is opened.

The first opening of a folder decodes all of it into a folder of the cache, every later
one maps what lies there, at once and without taking memory for pages not used::

    cache/KEY/images.npy   [N, 1, H, W] float32, as the models see them
    cache/KEY/labels.npy   [N, H, W] uint8, where there are labels
    cache/KEY/slices.npy   [N, 3] float64, of each slice: patient, week, position
    cache/KEY/index.json   how many slices each split has, and what they were made of
    cache/KEY/states.json  the folders that were found to hold just this

Slices are stored scaled and at the size of the run: everything else would have to be
converted at each use, and ``images`` could not be mapped. HipMRI takes 1.7 GB at
256 x 128.

KEY is a sum over the bytes of every file, their names, the size of the run, and the
code that decodes. Reading all bytes at each opening would take seconds, so the states
of folders in which they were read are kept: a sum over the name, size and two times of
every file. A program that changes a file changes the time of its last modification
and, even where it sets that back, the time of its last change (of which Windows keeps
the creation instead). A folder in an unknown state is compared by its bytes with what
is there, if names and sizes are the same: a copy is not decoded again.

What is stored under a key never changes; another content is another key. An entry is
checked for its length and for the sums of a few slices, which a machine that loses its
power spoils; a bit that flips on the disk is not found.

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
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path

import nibabel
import numpy as np
from filelock import FileLock

from vqlib.data import decode, layout, slices, stored
from vqlib.data.layout import SPLITS, Listing, SliceIndex, SliceRecord
from vqlib.data.stored import StoredSlices, map_entry, sampled_sums
from vqlib.runs import project_root, save_json

WAIT = 600  # seconds for another process that fills the cache
SPARE = 2**28  # bytes that must stay free on the disk

_OURS = re.compile(r"[0-9a-f]{32}(\.part)?")


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


def _outline(listing: Listing, size: tuple[int, int], times: bool) -> str:
    """What can be told of decoded slices without reading a file, as 32 hexadecimal
    digits: names, sizes and, of a state of a folder, times."""
    digest = hashlib.sha256(f"{size} {times} {_decoder()}".encode())
    for folder, files in listing.items():
        names, *stamps = zip(*files, strict=True) if files else ((), ())
        digest.update(os.fsencode("\n".join([folder, *names, ""])))
        digest.update(np.array(stamps if times else stamps[:1], "<i8").tobytes())
    return digest.hexdigest()[:32]


def _content_of(record: SliceRecord) -> bytes:
    """A sum over the bytes of a slice's files."""
    digest = hashlib.sha256(record.path.read_bytes()).digest()
    if record.label_path is not None:
        digest += hashlib.sha256(record.label_path.read_bytes()).digest()
    return digest


def _key(outline: str, contents: list[bytes]) -> str:
    return hashlib.sha256(b"".join([outline.encode(), *contents])).hexdigest()[:32]


@lru_cache
def _decoder() -> str:
    """The code that turns files into an entry, and the packages that it builds upon."""
    modules = (decode, layout, slices, stored, sys.modules[__name__])
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
    state = _outline(listing, size, times=True)
    if found := _in_state(root, state, size):
        return found
    index = SliceIndex.from_listing(folder, listing)
    for split in SPLITS:
        index.split(split)  # a folder that lacks one is refused before it is decoded
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock", timeout=WAIT):
            found = _in_state(root, state, size)  # by another process, meanwhile
            if found is None:
                entry = _same_content(root, index, size)
                entry = entry or _fill(root, index, size, progress)
                states = _states(entry) | {state: str(folder.resolve())}
                save_json(entry / "states.json", states)
                found = map_entry(entry, size)
        return found
    except OSError as fault:  # a time-out of the lock is one as well
        reason = fault.strerror or fault
        print(
            f"slices are read into memory, for the cache {root} cannot be used "
            f"({reason}); set VQLIB_CACHE to another folder, or to off",
            file=sys.stderr,
        )
        return None


def _in_state(root: Path, state: str, size: tuple[int, int]) -> StoredSlices | None:
    """What was decoded from a folder in just this state."""
    found = (map_entry(e, size) for e in _entries(root) if state in _states(e))
    return next(filter(None, found), None)


def _same_content(root: Path, index: SliceIndex, size: tuple[int, int]) -> Path | None:
    """The whole entry that was decoded from a folder with the same bytes: a copy, or
    this one before its times changed. Reads every file, and only where there is an
    entry of files with these names and sizes."""
    outline = _outline(index.listing, size, times=False)
    if not any(_facts(entry).get("outline") == outline for entry in _entries(root)):
        return None
    try:
        with ThreadPoolExecutor(decode.THREADS) as pool:
            entry = root / _key(outline, list(pool.map(_content_of, index.records)))
    except OSError:  # told when it is decoded
        return None
    return entry if map_entry(entry, size) else None


def _entries(root: Path) -> list[Path]:
    """Those that are whole; none where the cache cannot be listed."""
    names = []
    with suppress(OSError):
        names = os.listdir(root)
    return [root / n for n in names if _OURS.fullmatch(n) and not n.endswith(".part")]


def _states(entry: Path) -> dict[str, str]:
    """State: folder; nothing where that cannot be read."""
    found = _read(entry / "states.json")
    return {state: holder for state, holder in found.items() if isinstance(holder, str)}


def _facts(entry: Path) -> dict:
    return _read(entry / "index.json")


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _fill(root: Path, index: SliceIndex, size: tuple[int, int], progress: bool) -> Path:
    """Decode an index into an entry, which appears whole or not at all. The caller
    holds the lock of the cache."""
    _clear(root, index.folder.resolve(), size)
    part = _part(root)
    part.mkdir()
    try:
        entry = root / _write(part, index, size, progress)
        _discard(entry)  # a damaged one
        part.rename(entry)
        return entry
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(part: Path, index: SliceIndex, size: tuple[int, int], progress: bool) -> str:
    """Decode an index into a folder, and return the key of what is in it."""
    records, n = index.records, len(index)
    slices = Counter(record.split for record in records)
    labelled = [s for s in SPLITS if f"keras_slices_seg_{s}" in index.listing]
    needed = n * math.prod(size) * (5 if labelled else 4) + SPARE
    if shutil.disk_usage(part).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    facts = {
        "outline": _outline(index.listing, size, times=False),
        "size": list(size),
        "slices": [slices[split] for split in SPLITS],
        "labelled": labelled,
    }
    table = [[record.case, record.week] for record in records]
    positions = decode.relative_positions(index)[:, None]
    np.save(part / "slices.npy", np.hstack([table, positions], dtype=np.float64))
    lock, contents = threading.Lock(), [b""] * n
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
            for row in rows:
                contents[row] = _content_of(records[row])

        decode.decode(index, size, store, progress)
    facts["sums"] = sampled_sums(part / "images.npy", at_image, n, size)
    save_json(part / "index.json", facts)
    return _key(facts["outline"], contents)


def _begin(file, shape: tuple[int, ...], dtype) -> int:
    """Write the header of an .npy file, make the file as long as it will be, and
    return where the first number goes."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    start = file.tell()
    file.truncate(start + math.prod(shape) * np.dtype(dtype).itemsize)
    return start


def _clear(root: Path, folder: Path, size: tuple[int, int]) -> None:
    """Make room for an entry: remove what killed processes have left, and what no
    folder holds any more: it is gone, or is this one in an earlier state."""
    for path in root.iterdir():
        if not _OURS.fullmatch(path.name):
            continue
        if not path.name.endswith(".part"):
            earlier = _facts(path).get("size") in (list(size), None)
            left = {
                state: holder
                for state, holder in _states(path).items()
                if Path(holder).is_dir() and not (earlier and Path(holder) == folder)
            }
            if left:
                with suppress(OSError):
                    save_json(path / "states.json", left)
                continue
        _discard(path)


def _discard(path: Path) -> None:
    """Renamed first: what is half removed must not be taken for whole."""
    doomed = _part(path.parent)
    with suppress(OSError):  # not there; or Windows keeps what a process has mapped
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _part(root: Path) -> Path:
    """A name for an entry that is not whole."""
    return root / f"{secrets.token_hex(16)}.part"
