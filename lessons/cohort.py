"""Who is in a data folder, how its slices lie in space, and how large organs are.

Counts are taken in the files, at native size: at half the size an organ's border pixels
are shared out by majority, ties to the organ, which enlarges small organs by some per
cent (see `vqlib.data.fit_to`). A volume needs the distance from slice to slice, and a
two-dimensional file knows it only by where its header places it in the patient.

Taught in notebook 01, sections 1.1 and 1.4.
"""

from collections.abc import Mapping
from typing import NamedTuple

import nibabel as nib
import numpy as np
from tqdm.contrib.concurrent import thread_map

from vqlib.data import (
    LABEL_NAMES,
    PIXEL_MM,
    SPLITS,
    SliceData,
    SliceIndex,
    read_label,
    read_slice,
)

ORGANS = LABEL_NAMES[2:]  # neither background nor the rest of the body
Volumes = dict[str, dict[int, dict[int, float]]]  # organ → case → week → ml


class Spacing(NamedTuple):
    """How the slices of one scan lie, in mm."""

    pixel: tuple[float, float]  # left–right, inferior–superior
    step: float | None  # from slice to slice; None where the headers do not say


class Change(NamedTuple):
    """How much a quantity varies, each as standard deviation / mean."""

    weeks: float  # between the scans of one patient, median over patients
    patients: float  # between the means of the patients


def spacings(index: SliceIndex) -> dict[tuple[int, int], Spacing]:
    """(case, week) → spacing, by the headers of the first and the last slice.

    A header of 1 x 1 mm was never filled in; HipMRI's pixel is taken then. The step is
    the distance between the two origins over the difference of their numbers, so it is
    None for a single slice and where all slices claim to lie in one place.
    """
    found = {}
    for scan, rows in index.volumes.items():
        first, last = (index.records[row] for row in (rows[0], rows[-1]))
        headers = [nib.load(record.path) for record in (first, last)]
        pixel = tuple(float(mm) for mm in headers[0].header.get_zooms()[:2])
        apart = np.linalg.norm(headers[1].affine[:3, 3] - headers[0].affine[:3, 3])
        step = float(apart) / (last.slice - first.slice) if apart > 0 else None
        found[scan] = Spacing(PIXEL_MM if pixel == (1, 1) else pixel, step)
    return found


def label_counts(index: SliceIndex) -> np.ndarray:
    """Pixels of each label in each slice, counted in the files: int64 `[N, 6]`.

    Raises ValueError without labels, and `UserError` for a file that `read_label`
    refuses.
    """
    if not index.has_labels:
        raise ValueError(f"{index.folder} has no labels to count")
    counts = thread_map(
        lambda record: np.bincount(read_label(record.label_path).ravel(), minlength=6),
        index.records,
        max_workers=4,
        desc="counting labels",
        leave=False,
    )
    return np.stack(counts)


def organ_areas(index: SliceIndex, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Area of each organ in each slice, in cm²: organ → `[N]`."""
    cm2 = np.empty(len(index))
    for scan, spacing in spacings(index).items():
        cm2[index.volumes[scan]] = spacing.pixel[0] * spacing.pixel[1] / 100
    return {organ: counts[:, LABEL_NAMES.index(organ)] * cm2 for organ in ORGANS}


def organ_volumes(index: SliceIndex, counts: np.ndarray) -> Volumes:
    """Volume of each organ in each scan, in ml: organ → case → week → ml.

    The sum of the areas times the step between slices (Cavalieri's principle). A scan
    without a known step is left out.
    """
    areas, found = organ_areas(index, counts), {organ: {} for organ in ORGANS}
    for (case, week), spacing in spacings(index).items():
        if spacing.step is None:
            continue
        for organ, area in areas.items():
            ml = area[index.volumes[case, week]].sum() * spacing.step / 10
            found[organ].setdefault(case, {})[week] = float(ml)
    return found


def change(by_patient: Mapping[int, Mapping[int, float]]) -> Change:
    """How a quantity varies between weeks and between patients: case → week → value.

    NaN where nobody was scanned twice, where there is one patient only, and where the
    values are all 0.
    """
    scans = [np.array(list(weeks.values())) for weeks in by_patient.values()]
    means = np.array([values.mean() for values in scans])
    repeated = [v.std(ddof=1) / v.mean() for v in scans if len(v) > 1 and v.mean() > 0]
    enough = len(means) > 1 and means.mean() > 0
    return Change(
        float(np.median(repeated)) if repeated else np.nan,
        float(means.std(ddof=1) / means.mean()) if enough else np.nan,
    )


def overview(data: SliceData) -> dict[str, str]:
    """What one would ask about a data folder before anything else, in words.

    Brightness is the 99.5th percentile of the middle slice of each train scan.
    """
    train = data.index.split("train")
    middles = [train.records[r[len(r) // 2]].path for r in train.volumes.values()]
    slices = [read_slice(path) for path in middles]
    bright = [np.percentile(pixels, 99.5) for pixels in slices]
    space = list(spacings(train).values())
    steps = [s.step for s in space if s.step is not None]
    sizes = [len(rows) for rows in data.index.volumes.values()]
    counts = (len(data.index.split(split).patients) for split in SPLITS)
    return {
        "patients (train/validate/test)": "/".join(map(str, counts)),
        "scans": str(len(sizes)),
        "slices": str(len(data.index)),
        "slices a scan": _range(sizes, "d"),
        "labels": "yes" if data.has_labels else "no",
        "array": ", ".join(sorted({"x".join(map(str, s.shape)) for s in slices})),
        "stored as": str(nib.load(middles[0]).get_data_dtype()),
        "pixel (mm)": " x ".join(f"{mm:.2f}" for mm in space[0].pixel),
        "slice to slice (mm)": _range(steps, ".1f") if steps else "unknown",
        "raw brightness": _range(bright, ".0f"),
    }


def _range(values, form: str) -> str:
    ends = [format(f(values), form) for f in (min, max)]
    return ends[0] if ends[0] == ends[1] else "–".join(ends)
