import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lessons import cohort
from vqlib import profiles
from vqlib.data import SliceIndex, open_data

SMOKE = profiles.get("smoke")


def write(path: Path, pixels, step, number, pixel=(2.0, 1.0)):
    affine = np.diag([*pixel, 1.0, 1.0])
    affine[:3, 3] = (5, -step * number, 7)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(pixels, affine), path)


def study(folder: Path, step=4.0, labels=True, numbers=(0, 1, 2), **header) -> Path:
    """Patient 4 has two scans and twice the bladder in the second; every other patient
    has one. A bladder of 10 x 10 pixels, and one pixel of prostate."""
    scans = (("train", 4, 0), ("train", 4, 1), ("train", 5, 0), ("validate", 36, 0))
    for split, case, week in (*scans, ("test", 40, 0)):
        for number in numbers:
            stem = f"{case:03d}_week_{week}_slice_{number}.nii.gz"
            label = np.zeros((256, 128), np.uint8)
            label[:10, : 10 * (week + 1)] = 3
            label[100, 100] = 5
            seg = folder / f"keras_slices_seg_{split}" / f"seg_{stem}"
            if labels:
                write(seg, label, step, number, **header)
            image = np.full((256, 128), 100 + case, np.int16)
            path = folder / f"keras_slices_{split}" / f"case_{stem}"
            write(path, image, step, number, **header)
    return folder


@pytest.fixture
def train(tmp_path):
    return SliceIndex.from_folder(study(tmp_path / "study")).split("train")


@pytest.mark.parametrize("numbers", [(0, 1, 2), (0, 3)])
def test_spacing_comes_from_where_the_slices_lie(tmp_path, numbers):
    index = SliceIndex.from_folder(study(tmp_path, numbers=numbers)).split("train")
    found = cohort.spacings(index)
    assert list(found) == [(4, 0), (4, 1), (5, 0)]
    assert found[4, 1] == ((2.0, 1.0), 4.0)


@pytest.mark.parametrize("gap", [{"step": 0.0}, {"numbers": (7,)}])
def test_where_headers_do_not_tell_the_step_there_is_no_volume(tmp_path, gap):
    index = SliceIndex.from_folder(study(tmp_path, **gap)).split("train")
    assert all(spacing.step is None for spacing in cohort.spacings(index).values())
    volumes = cohort.organ_volumes(index, cohort.label_counts(index))
    assert all(not by_patient for by_patient in volumes.values())


def test_labels_are_counted_at_native_size(train):
    counts = cohort.label_counts(train)
    assert counts.shape == (9, 6)
    assert counts[0].tolist() == [256 * 128 - 101, 0, 0, 100, 0, 1]
    assert counts[3, 3] == 200


def test_areas_are_in_cm2_and_volumes_in_ml(train):
    counts = cohort.label_counts(train)
    areas = cohort.organ_areas(train, counts)
    assert list(areas) == ["bone", "bladder", "rectum", "prostate"]
    assert areas["bladder"][0] == pytest.approx(2.0)  # 100 pixels of 2 mm²
    volumes = cohort.organ_volumes(train, counts)
    assert volumes["bladder"][4] == pytest.approx({0: 2.4, 1: 4.8})  # 3 x 2 cm² x 4 mm
    assert volumes["bladder"][5] == pytest.approx({0: 2.4})
    assert volumes["rectum"][4] == {0: 0.0, 1: 0.0}


def test_change_tells_weeks_from_patients():
    found = cohort.change({1: {0: 1.0, 1: 3.0}, 2: {0: 4.0, 3: 4.0}, 3: {0: 3.0}})
    assert found.weeks == pytest.approx((math.sqrt(2) / 2 + 0) / 2)
    assert found.patients == pytest.approx(1.0 / 3.0)
    for empty in ({1: {0: 2.0}}, {1: {0: 0.0, 1: 0.0}, 2: {0: 0.0}}):
        assert np.isnan(cohort.change(empty)).all()  # one scan only; an absent organ


def test_the_overview_says_what_is_there(tmp_path):
    data = open_data(study(tmp_path), SMOKE, progress=False)
    found = cohort.overview(data)
    assert found == {
        "patients (train/validate/test)": "2/1/1",
        "scans": "5",
        "slices": "15",
        "slices a scan": "3",
        "labels": "yes",
        "array": "256x128",
        "stored as": "int16",
        "pixel (mm)": "2.00 x 1.00",
        "slice to slice (mm)": "4.0",
        "raw brightness": "104–105",
    }
