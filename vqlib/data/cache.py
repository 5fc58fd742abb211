"""A data folder decoded once, and mapped into memory whenever it is opened again.

    cache/KEY/images.npy  [N, 1, H, W] float32, as the models see them
    cache/KEY/labels.npy  [N, H, W] uint8, where there are labels
    cache/KEY/table.npy   [N, 4] float64, of each slice: split, patient, week, position
    cache/KEY/entry.json  the fingerprint of the content, and what was decoded

KEY is a sum over names, sizes and modification times of the files, the size of the run
and a version number of ours. The fingerprint is a sum over the bytes of all files,
taken while they are decoded: a copied folder is the same data, a changed file is not.

Where the cache cannot be used (no space, no permission), slices are read into memory,
and one line says so. ``VQLIB_CACHE`` is another folder for it, or ``off``.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from vqlib.data.layout import NATIVE_SIZE, SPLITS, SliceIndex, list_folder
from vqlib.data.slices import check_size, fit_to, read_label, read_slice, scale_volume
from vqlib.errors import UserError
from vqlib.runs import project_root, save_json

VERSION = 1  # of what an entry holds: counted up whenever slices decode otherwise
WAIT = 600  # seconds for another process that fills the cache
THREADS = min(4, os.cpu_count() or 1)  # more would wait for Python's lock

_OURS = re.compile(r"[0-9a-f]{32}(\.part)?")


class Decoded(NamedTuple):
    """All slices of an index, in its order."""

    images: np.ndarray  # [N, 1, H, W] float32 in [0, 1]
    labels: np.ndarray | None  # [N, H, W] uint8; 0 in a split without labels
    table: np.ndarray  # [N, 4] float64: number of the split, patient, week, position
    fingerprint: str  # SHA-256 over names and bytes of all files


def load_slices(
    index: SliceIndex, size: tuple[int, int], progress: bool = True
) -> Decoded:
    """The slices of a folder at the size of a run: mapped from the cache, which is
    filled where it lacks them, or read into memory where it cannot be used. Raises
    `UserError` as `decode` does."""
    chosen = os.environ.get("VQLIB_CACHE", "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return decode(index, size, progress)
    root = project_root().resolve() / Path(chosen or "cache").expanduser()
    entry = root / _key(index, size)
    if found := _map(entry, size):
        return found
    _ = index.records  # a fault is told before anything is written
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock", timeout=WAIT):
            if not _map(entry, size):  # by another process, meanwhile
                _tidy(root, index, size)
                _fill(entry, index, size, progress)
            if found := _map(entry, size):
                return found
        reason = "it does not keep what is written"
    except (OSError, NotImplementedError) as fault:  # of the lock as well
        reason = getattr(fault, "strerror", None) or fault
    print(
        f"slices are read into memory, for the cache {root} cannot be used ({reason}); "
        "set VQLIB_CACHE to another folder, or to off",
        file=sys.stderr,
    )
    return decode(index, size, progress)


def decode(
    index: SliceIndex,
    size: tuple[int, int],
    progress: bool = True,
    folder: Path | None = None,
) -> Decoded:
    """Read every file of an index, with a progress bar.

    A position is the rank of a slice within its volume divided by (slices − 1); the
    only slice of a volume lies at 0.5. The arrays lie in memory, or in files of
    ``folder``. Raises `UserError` for a size that `fit_to` refuses, for a file that
    `read_slice` or `read_label` refuses, for slices of one volume that differ in shape,
    for a label of another shape than its image, and where a file changes meanwhile.
    """
    check_size(size)
    records, volumes = index.records, list(index.volumes.values())
    table = np.array([(SPLITS.index(r.split), r.case, r.week, 0.5) for r in records])
    images = _array(folder, "images.npy", (len(records), 1, *size), np.float32)
    labels = None
    if any(record.label_path for record in records):
        labels = _array(folder, "labels.npy", (len(records), *size), np.uint8)
    content = hashlib.sha256()
    read = _read_volumes([[records[row] for row in rows] for rows in volumes], size)
    read = tqdm(read, "reading volumes", len(volumes), False, disable=not progress)
    for rows, (pixels, kinds, files) in zip(volumes, read, strict=True):
        images[rows, 0] = pixels
        if kinds is not None:
            labels[rows] = kinds
        if len(rows) > 1:
            table[rows, 3] = np.arange(len(rows)) / (len(rows) - 1)
        content.update(files)
    now = list_folder(index.folder)
    if any(now.get(name) != files for name, files in index.listing.items()):
        raise UserError(f"{index.folder} changed while it was read; open it again")
    return Decoded(images, labels, table, content.hexdigest())


def _key(index: SliceIndex, size: tuple[int, int]) -> str:
    text = json.dumps([VERSION, size, index.listing])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _map(entry: Path, size: tuple[int, int]) -> Decoded | None:
    """What an entry holds; None where it is missing, incomplete or damaged."""
    try:
        facts = json.loads((entry / "entry.json").read_text(encoding="utf-8"))
        shapes = {"images": (1, *size), "labels": size, "table": (4,)}
        arrays = {}
        for name in facts["arrays"]:  # mode c: what is written stays in memory
            arrays[name] = np.load(entry / f"{name}.npy", mmap_mode="c")
            if arrays[name].shape != (facts["slices"], *shapes[name]):
                return None
        return Decoded(
            arrays["images"],
            arrays.get("labels"),
            arrays["table"],
            facts["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _fill(entry: Path, index: SliceIndex, size, progress: bool) -> None:
    """Decode into an entry, which appears whole or not at all."""
    part = entry.with_suffix(".part")
    part.mkdir()
    try:
        decoded = decode(index, size, progress, part)
        np.save(part / "table.npy", decoded.table)
        facts = {
            "folder": str(index.folder.resolve()),
            "size": size,
            "slices": len(index),
            "arrays": ["images", "table"] + ["labels"] * (decoded.labels is not None),
            "fingerprint": decoded.fingerprint,
        }
        save_json(part / "entry.json", facts)
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one
        del decoded  # Windows renames no folder with files that are mapped
        part.rename(entry)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _tidy(root: Path, index: SliceIndex, size: tuple[int, int]) -> None:
    """Remove entries of this folder in an earlier state, of folders that are gone,
    damaged ones, and what killed processes have left."""
    for path in root.iterdir():
        if not _OURS.fullmatch(path.name):
            continue
        try:
            facts = json.loads((path / "entry.json").read_text(encoding="utf-8"))
            folder, earlier = Path(facts["folder"]), facts["size"] == list(size)
            earlier = earlier and folder == index.folder.resolve()
            keep = folder.is_dir() and not earlier and not path.suffix
        except (OSError, ValueError, KeyError, TypeError):
            keep = False
        if not keep:
            shutil.rmtree(path, ignore_errors=True)


def _array(folder: Path | None, name: str, shape: tuple[int, ...], dtype) -> np.ndarray:
    """Zeros in memory, or in a file that has its space on the disk."""
    if folder is None:
        return np.zeros(shape, dtype)
    array = np.lib.format.open_memmap(folder / name, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # else a disk that fills up ends the process
        with open(folder / name, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, array.offset + array.nbytes)
    return array


def _read_volumes(volumes: list[list], size: tuple[int, int]) -> Iterator:
    """`_read_volume` of each, in order, a few ahead: zlib and NumPy let other threads
    run meanwhile."""
    pool = ThreadPoolExecutor(THREADS)
    ahead: deque = deque()
    try:
        for records in volumes:
            ahead.append(pool.submit(_read_volume, records, size))
            if len(ahead) > 2 * THREADS:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:  # an error or an interrupt must not wait for the volumes in the queue
        pool.shutdown(cancel_futures=True)


def _read_volume(
    records: list, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray | None, bytes]:
    """Images [S, H, W] and labels of a volume, and a sum over names and bytes."""
    paths = [record.path for record in records]
    slices = _stack(paths, read_slice, None)
    if slices.shape[1] < slices.shape[2] > NATIVE_SIZE[1]:
        raise UserError(
            f"{paths[0]} is {slices.shape[1]}x{slices.shape[2]}, so it seems to lie on "
            "its side; left–right comes first: exchange the axes of all its volume"
        )
    images, labels = fit_to(scale_volume(slices), size), None
    if records[0].label_path:
        maps = [record.label_path for record in records]
        labels = fit_to(_stack(maps, read_label, slices.shape[1:]), size)
        paths += maps
    content = hashlib.sha256()
    for path in paths:
        content.update(os.fsencode(f"{path.parent.name}/{path.name}\n"))
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return images, labels, content.digest()


def _stack(paths: list[Path], read, image: tuple[int, ...] | None) -> np.ndarray:
    """Files of one volume `[S, X, Z]`: images, or label maps of the shape ``image``."""
    arrays = [read(path) for path in paths]
    for path, array in zip(paths, arrays, strict=True):
        shape, wanted = (
            "x".join(map(str, s)) for s in (array.shape, image or arrays[0].shape)
        )
        if shape != wanted:
            raise UserError(
                f"{path} is {shape}, but its {'image' if image else 'volume'} is "
                f"{wanted}; bring both to one grid"
            )
    return np.stack(arrays)
