"""One entry of the cache of decoded slices: how it is mapped, and read by batches."""

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np


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


def map_entry(entry: Path, size: tuple[int, int]) -> StoredSlices | None:
    """What an entry holds; None where it is missing, incomplete or damaged."""
    try:
        facts = json.loads((entry / "index.json").read_text(encoding="utf-8"))
        n, file = sum(facts["slices"]), entry / "images.npy"
        table, _ = _map_array(entry / "slices.npy", (n, 3), np.float64)
        images, offset = _map_array(file, (n, 1, *size), np.float32)
        if sampled_sums(file, offset, n, size) != facts["sums"]:
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


def sampled_sums(file: Path, offset: int, n: int, size: tuple[int, int]) -> list[int]:
    """CRC-32 of 16 of the ``n`` slices in a file, the first and the last included."""
    length, sums = 4 * math.prod(size), []
    with open(file, "rb") as stored:
        for row in np.linspace(0, n - 1, 16).astype(int).tolist():
            stored.seek(offset + row * length)
            sums.append(zlib.crc32(stored.read(length)))
    return sums
