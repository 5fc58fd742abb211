"""The same picture under two names, in two splits.

Whoever copies, renames or converts slices twice may test a model on pictures that it
was trained on. `find_copies` finds a slice that was saved again, with other grey
values, a little noise or a shift of a pixel, and leaves alone two patients who lie in
the scanner alike. It works in two steps: `sketch` makes every slice a vector, so that
one matrix product compares all pairs of slices roughly; `likeness` then looks closely
at the few pairs that pass.

Both correlate detail, what remains of an image after a blurred copy is taken away: the
outline of a body, and the coil's shading, are alike in all. On 408 real coronal slices
of 17 patients two patients reach a likeness of 0.46 at most, and a copy that was
shifted, rescaled and made noisy at once 0.66 at least: `LIKE` lies between.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import cache

import numpy as np

from vqlib.data.layout import NATIVE_SIZE, SPLITS, SliceRecord
from vqlib.data.slices import center_on_grid, read_slice

BLOCK = 8  # side of what `sketch` averages, in pixels
WORTH_A_LOOK = 0.85  # correlation of two sketches from which on `likeness` decides
LOOKS = 3  # … and how many slices it compares with, the best first
LIKE = 0.6  # likeness from which on two slices are one
REACH = 2  # pixels that a copy may be shifted
LEAST = 1000  # pixels that both must fill to be compared: 3 % of a slice


def find_copies(
    records: Sequence[SliceRecord], sketches: Sequence[np.ndarray], pool: Executor
) -> list[tuple[SliceRecord, SliceRecord, float]]:
    """Slices that are also in an earlier split under another patient's number.

    ``sketches``, `[512]` each, belong to the ``records``. Returns (copy, original,
    their likeness), one for each copy. Neighbours in one split are alike, and a patient
    in two splits is another fault: neither is compared.
    """

    def closest(row: int):
        score = table @ table[row]
        score[(split >= split[row]) | (case == case[row])] = 0
        best = np.argsort(score)[: -LOOKS - 1 : -1]
        for other in best[score[best] >= WORTH_A_LOOK]:
            original, copy = records[other], records[row]
            found = likeness(read_slice(original.path), read_slice(copy.path))
            if found >= LIKE:
                return copy, original, found
        return None

    if not records:
        return []
    table = np.stack(sketches)
    split = np.array([SPLITS.index(record.split) for record in records])
    case = np.array([record.case for record in records])
    return [copy for copy in pool.map(closest, np.flatnonzero(split)) if copy]


def sketch(pixels: np.ndarray) -> np.ndarray:
    """Detail of a slice `[X, Z]` at the scale of blocks, as a unit vector `[512]`, so
    that a scalar product is a correlation; all zeros without detail."""
    rows, columns = (side // BLOCK for side in NATIVE_SIZE)
    blocks = center_on_grid(pixels).reshape(rows, BLOCK, columns, BLOCK).mean((1, 3))
    blocks = np.minimum(blocks, np.percentile(blocks, 99))  # bright fat, coil spots
    detail = (blocks - _blur(rows) @ blocks @ _blur(columns).T).ravel()
    length = np.linalg.norm(detail)
    if length <= 1e-4 * np.linalg.norm(blocks):
        return np.zeros_like(detail)
    return detail / length


@cache
def _blur(side: int) -> np.ndarray:
    """A matrix that blurs along an axis, by a Gaussian as wide as a block."""
    apart = np.subtract.outer(np.arange(side), np.arange(side))
    weights = np.exp(-0.5 * apart**2).astype(np.float32)
    return weights / weights.sum(1, keepdims=True)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of the detail of two slices where neither is blank, at the best
    shift of up to `REACH`: 1 for the same picture, about 0 for different ones."""
    if np.array_equal(one, other):
        return 1.0
    one, other = (center_on_grid(x).astype(np.float32) for x in (one, other))
    seen = ((one != 0) & (other != 0)).astype(np.float32)
    if seen.sum() < LEAST:
        return 0.0
    a, b = _detail(one, seen), _detail(other, seen)
    a = a[REACH:-REACH, REACH:-REACH]
    best = 0.0
    for i, j in np.ndindex(2 * REACH + 1, 2 * REACH + 1):
        c = b[i : i + a.shape[0], j : j + a.shape[1]]
        norm = np.sqrt(np.vdot(a, a) * np.vdot(c, c))
        best = max(best, float(np.vdot(a, c) / norm) if norm > 0 else 0.0)
    return best


def _detail(pixels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What is between 1 and 4 pixels wide, the border of a blank frame left out."""
    from scipy.ndimage import gaussian_filter  # slow to import, and seldom needed

    pixels = np.minimum(pixels, np.percentile(pixels[seen > 0], 99)) * seen
    fine, coarse = (
        gaussian_filter(pixels, sigma) / np.maximum(gaussian_filter(seen, sigma), 1e-3)
        for sigma in (1, 4)
    )
    return (fine - coarse) * seen
