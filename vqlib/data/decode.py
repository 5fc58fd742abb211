"""All files of an index to pixels, volume by volume, on all cores.

A volume is read, scaled and brought to size by one thread (zlib and NumPy let the
others run meanwhile), and handed on at once: a few volumes are in memory at a time,
however many there are.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm.auto import tqdm

from vqlib.data.layout import NATIVE_SIZE, SliceIndex, SliceRecord
from vqlib.data.slices import fit_to, read_label, read_slice, scale_volume
from vqlib.errors import UserError

THREADS = 4  # more would wait for Python's lock, and hold more volumes in memory

# called with rows of the index, images `[S, H, W]`, and labels `[S, H, W]` or None; by
# several threads at once
Store = Callable[[list[int], np.ndarray, np.ndarray | None], None]


def decode(
    index: SliceIndex, size: tuple[int, int], store: Store, progress: bool = True
) -> None:
    """Read every volume of an index and hand it to ``store``, in no fixed order.

    Images are float32 in [0, 1], labels uint8. Raises `UserError` for a size that
    `fit_to` refuses, for a file that `read_slice` or `read_label` refuses, for slices
    of one volume that differ in shape and for a label of another shape than its image.
    """
    fit_to(np.zeros(NATIVE_SIZE), size)  # refuse a size before reading

    def load(rows: list[int]) -> None:
        records = [index.records[row] for row in rows]
        pixels = scale_volume(_stack(records))  # [S, X, Z]
        labels = None
        if all(record.label_path is not None for record in records):
            labels = fit_to(_stack_labels(records, pixels.shape[1:]), size)
        store(rows, fit_to(pixels, size), labels)

    volumes = list(index.volumes.values())
    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
    try:
        for _ in tqdm(
            pool.map(load, volumes),
            total=len(volumes),
            desc="reading volumes",
            disable=not progress,
            leave=False,
        ):
            pass
    finally:  # an error or an interrupt must not wait for the volumes in the queue
        pool.shutdown(cancel_futures=True)


def relative_positions(index: SliceIndex) -> np.ndarray:
    """Where each slice lies within its volume: `[N]` float32.

    The rank within the volume divided by (slices − 1): 0 the first, 1 the last. The
    only slice of a volume lies at 0.5.
    """
    positions = np.full(len(index), 0.5, np.float32)
    for rows in index.volumes.values():
        if len(rows) > 1:
            positions[rows] = np.arange(len(rows)) / (len(rows) - 1)
    return positions


def _stack(records: Sequence[SliceRecord]) -> np.ndarray:
    slices = [read_slice(record.path) for record in records]
    for record, pixels in zip(records, slices, strict=True):
        if pixels.shape != slices[0].shape:
            raise UserError(
                f"{record.path} is {_by(pixels.shape)}, but its volume begins with "
                f"{_by(slices[0].shape)} slices; convert the volume again"
            )
    return np.stack(slices)


def _stack_labels(records: Sequence[SliceRecord], shape) -> np.ndarray:
    labels = [read_label(record.label_path) for record in records]
    for record, values in zip(records, labels, strict=True):
        if values.shape != shape:
            raise UserError(
                f"{record.label_path} is {_by(values.shape)}, but its image is "
                f"{_by(shape)}; export both on the same grid"
            )
    return np.stack(labels)


def _by(shape) -> str:
    return "x".join(map(str, shape))
