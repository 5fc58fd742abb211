"""Small data folders in the HipMRI layout, made by the tests."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest


def write_nifti(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([1.68, 1.56, 1, 1])), path)
    return path


def write_slice(folder: Path, split, case, week, number, pixels=None, label=None):
    """One slice file, and its label file where a label map is given."""
    if pixels is None:
        rng = np.random.default_rng(1000 * case + 100 * week + number)
        pixels = rng.integers(1, 300, (256, 128)).astype(np.int16)
    stem = f"{case:03d}_week_{week}_slice_{number}.nii.gz"
    if label is not None:
        write_nifti(folder / f"keras_slices_seg_{split}" / f"seg_{stem}", label)
    return write_nifti(folder / f"keras_slices_{split}" / f"case_{stem}", pixels)


@pytest.fixture
def slices(tmp_path):
    """Two train patients, one with 11 slices so that natural order shows."""
    folder = tmp_path / "study"
    for number in range(11):
        write_slice(folder, "train", 4, 0, number)
    write_slice(folder, "train", 4, 1, 0)
    write_slice(folder, "train", 12, 0, 3)
    write_slice(folder, "validate", 36, 0, 0)
    write_slice(folder, "test", 40, 2, 0)
    return folder
