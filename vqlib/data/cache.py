"""A data folder decoded once, and mapped into memory whenever it is opened again.

    cache/KEY/images.npy  [N, 1, H, W] float32, as the models see them
    cache/KEY/labels.npy  [N, H, W] uint8, where there are labels
    cache/KEY/table.npy   [N, 4] float64, of each slice: split, patient, week, position
    cache/KEY/entry.json  the fingerprint of the content, and what was decoded

KEY is a sum over names, sizes and modification times of the files, the size of the run
and a version number of ours. The fingerprint is a sum over the bytes of all files,
taken while they are decoded: a copied folder is the same data, a changed file is not.

``VQLIB_CACHE`` is another folder for it, or ``off``.
"""

import hashlib
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from vqlib.data.layout import NATIVE_SIZE, SPLITS, SliceIndex, SliceRecord
from vqlib.data.slices import check_size, fit_to, read_label, read_slice, scale_volume
from vqlib.errors import UserError
from vqlib.runs import load_json, project_root

VERSION = 1  # of what an entry holds: counted up whenever slices decode otherwise
WAIT = 600  # seconds for another process that fills the cache
THREADS = min(4, os.cpu_count() or 1)  # more would wait for Python's lock


class Decoded(NamedTuple):
    """All slices of an index, in its order."""

    images: np.ndarray  # [N, 1, H, W] float32 in [0, 1]
    labels: np.ndarray | None  # [N, H, W] uint8; 0 in a split without labels
    table: np.ndarray  # [N, 4] float64: number of the split, patient, week, position
    fingerprint: str  # SHA-256 over names and bytes of all files


def load_slices(
    index: SliceIndex, size: tuple[int, int], progress: bool = True
) -> Decoded:
    """The slices of a folder at the size of a run, from the cache, which is filled
    where it lacks them. Where it cannot be written (no space, no permission), they stay
    in memory, and one line says so. Raises `UserError` as `decode` does."""
    chosen = os.environ.get("VQLIB_CACHE", "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return decode(index, size, progress)
    root = project_root().resolve() / Path(chosen or "cache").expanduser()
    key = json.dumps([VERSION, size, index.listing])
    entry = root / hashlib.sha256(key.encode()).hexdigest()[:32]
    if found := _map(entry):
        return found
    decoded = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock", timeout=WAIT):
            if not (found := _map(entry)):  # by another process, meanwhile
                decoded = decode(index, size, progress)
                _keep(entry, index, size, decoded)
            return found or _map(entry) or decoded
    except OSError as fault:  # of the lock as well
        said = f"the cache {root} cannot be used ({fault.strerror or fault})"
        remedy = "set VQLIB_CACHE to another folder, or to off"
        print(f"{said}: slices are read into memory; {remedy}", file=sys.stderr)
        return decoded or decode(index, size, progress)


def decode(index: SliceIndex, size: tuple[int, int], progress: bool = True) -> Decoded:
    """Read every file of an index into memory, with a progress bar.

    A position is the rank of a slice within its volume divided by (slices − 1); the
    only slice of a volume lies at 0.5. Raises `UserError` for a size that `fit_to`
    refuses, for a file that `read_slice` or `read_label` refuses, for slices of one
    volume that differ in shape, and for a label of another shape than its image.
    """
    check_size(size)
    records, volumes = index.records, list(index.volumes.values())
    table = np.array([(SPLITS.index(r.split), r.case, r.week, 0.5) for r in records])
    images = np.zeros((len(records), 1, *size), np.float32)
    labels = None
    if any(record.label_path for record in records):
        labels = np.zeros((len(records), *size), np.uint8)
    content = hashlib.sha256()
    with ThreadPoolExecutor(THREADS) as pool:  # zlib and NumPy let other threads run
        work = [[records[row] for row in rows] for rows in volumes]
        read = pool.map(lambda volume: _read_volume(volume, size), work)
        bar = tqdm(read, "reading volumes", len(work), False, disable=not progress)
        for rows, (pixels, kinds, files) in zip(volumes, bar, strict=True):
            images[rows, 0] = pixels
            if kinds is not None:
                labels[rows] = kinds
            if len(rows) > 1:
                table[rows, 3] = np.arange(len(rows)) / (len(rows) - 1)
            content.update(files)
    return Decoded(images, labels, table, content.hexdigest())


def _map(entry: Path) -> Decoded | None:
    """What an entry holds; None where it is missing, or damaged."""
    try:
        facts = load_json(entry / "entry.json")
        arrays = {  # mode c: what is written stays in memory
            name: np.load(entry / f"{name}.npy", mmap_mode="c")
            for name in facts["arrays"]
        }
        images, labels, table = map(arrays.get, ("images", "labels", "table"))
        return Decoded(images, labels, table, facts["fingerprint"])
    except (OSError, ValueError, LookupError):
        return None


def _keep(entry: Path, index: SliceIndex, size: tuple, decoded: Decoded) -> None:
    """Write an entry, which appears whole or not at all. What killed processes have
    left goes, and what this folder held earlier."""
    whose = {"folder": str(index.folder.resolve()), "size": list(size)}
    part = entry.with_suffix(".part")
    for path in (entry, *entry.parent.glob("?" * 32 + ".part")):
        shutil.rmtree(path, ignore_errors=True)
    for path in entry.parent.glob("?" * 32):
        with suppress(UserError):
            if load_json(path / "entry.json").items() >= whose.items():
                shutil.rmtree(path)
    part.mkdir()
    try:
        arrays = decoded._asdict() | {"fingerprint": None}
        arrays = {k: v for k, v in arrays.items() if v is not None}
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array)
        facts = whose | {"arrays": list(arrays), "fingerprint": decoded.fingerprint}
        (part / "entry.json").write_text(json.dumps(facts), encoding="utf-8")
        part.rename(entry)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _read_volume(
    records: list[SliceRecord], size: tuple[int, int]
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
