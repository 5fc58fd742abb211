"""Writes single files in the HipMRI layout, and reads refusals, for the tests here."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from vqlib.data.layout import SPLITS
from vqlib.errors import UserError

AFFINE = np.diag([1.68, 1.56, 1, 1])
BLADDER = np.ones((256, 128), np.uint8)  # a body with a bladder
BLADDER[100:150, 40:80] = 3


def refusal(call, *args, match: str = "") -> str:
    """The one line that the user reads."""
    with pytest.raises(UserError, match=match or None) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_nifti(path: Path, array: np.ndarray, affine=AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def write_slice(
    folder: Path, split, case, week, number, pixels=None, label=None, affine=AFFINE
) -> Path:
    """One slice file, and its label file where a label map is given."""
    if pixels is None:
        rng = np.random.default_rng(1000 * case + 100 * week + number)
        pixels = rng.integers(1, 300, (256, 128)).astype(np.int16)
    stem = f"{case:03d}_week_{week}_slice_{number}.nii.gz"
    if label is not None:
        write_nifti(folder / f"keras_slices_seg_{split}" / f"seg_{stem}", label, affine)
    return write_nifti(
        folder / f"keras_slices_{split}" / f"case_{stem}", pixels, affine
    )


def write_study(folder: Path, counts=(8, 2, 2), label=None) -> Path:
    """A patient in each split, with so many slices."""
    for split, case, count in zip(SPLITS, (4, 36, 40), counts, strict=True):
        for number in range(count):
            write_slice(folder, split, case, 0, number, label=label)
    return folder
