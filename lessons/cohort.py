"""Who is in a data folder, how its slices lie in space, and how large organs are.

Counts are taken in the files, at native size: at half the size an organ's border pixels
are shared out by majority, which enlarges small organs (see `vqlib.data.fit_to`).
Taught in notebook 01, sections 1.1 and 1.4.
"""

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm.contrib.concurrent import thread_map

from vqlib.data import LABEL_NAMES, PIXEL_MM, SliceIndex, read_label, read_slice

ORGANS = LABEL_NAMES[2:]  # neither background nor the rest of the body


def scan_table(index: SliceIndex) -> pd.DataFrame:
    """A row for each scan, by ``case`` and ``week``: size, spacing and brightness.

    A header of 1 x 1 mm was never filled in; HipMRI's pixel is taken then. The distance
    from slice to slice is that of the first and last origin over the difference of
    their numbers: NaN for a single slice and where all slices claim to lie in one
    place. Brightness is the 99.5th percentile of the middle slice.
    """
    rows = {}
    for scan, numbers in index.volumes.items():
        records = [index.records[number] for number in numbers]
        first, last = (nib.load(records[end].path) for end in (0, -1))
        pixel = tuple(float(mm) for mm in first.header.get_zooms()[:2])
        pixel = PIXEL_MM if pixel == (1, 1) else pixel
        apart = float(np.linalg.norm(last.affine[:3, 3] - first.affine[:3, 3]))
        middle = read_slice(records[len(records) // 2].path)
        rows[scan] = {
            "slices": len(records),
            "pixels left–right": middle.shape[0],
            "pixels inferior–superior": middle.shape[1],
            "mm per pixel left–right": pixel[0],
            "mm per pixel inferior–superior": pixel[1],
            "mm to the next slice": apart / (records[-1].slice - records[0].slice)
            if apart > 0
            else np.nan,
            "brightness": np.percentile(middle, 99.5),
        }
    return pd.DataFrame(rows).T.rename_axis(["case", "week"])


def label_counts(index: SliceIndex) -> np.ndarray:
    """Pixels of each label in each slice, counted in the files: int64 `[N, 6]`."""
    counts = thread_map(
        lambda record: np.bincount(read_label(record.label_path).ravel(), minlength=6),
        index.records,
        max_workers=4,
        desc="counting labels",
        leave=False,
    )
    return np.stack(counts)


def organ_areas(
    index: SliceIndex, counts: np.ndarray, scans: pd.DataFrame
) -> pd.DataFrame:
    """Area of each organ in each slice in cm², `[N, organs]`, from `label_counts` and
    `scan_table`."""
    areas = pd.DataFrame(counts[:, 2:], columns=ORGANS).astype(float)
    pixels = scans["mm per pixel left–right"] * scans["mm per pixel inferior–superior"]
    for scan, mm2 in pixels.items():
        areas.iloc[index.volumes[scan]] *= mm2 / 100
    return areas


def organ_volumes(
    index: SliceIndex, areas: pd.DataFrame, scans: pd.DataFrame
) -> pd.DataFrame:
    """Volume of each organ in ml, a row for each scan: the sum of the areas times the
    step between slices (Cavalieri's principle). Scans without a known step are left
    out."""
    sums = {scan: areas.iloc[rows].sum() for scan, rows in index.volumes.items()}
    table = pd.DataFrame(sums).T.rename_axis(["case", "week"])
    return table.mul(scans["mm to the next slice"] / 10, axis=0).dropna()
