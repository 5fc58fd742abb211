import numpy as np
import pytest
from slice_files import write_slice

from lessons import cohort
from vqlib.data import SliceIndex


def train_split(folder, step=4.0, numbers=(0, 1, 2)) -> SliceIndex:
    """Patient 4 has two scans and twice the bladder in the second; every other patient
    has one. A bladder of 10 x 10 pixels, and one pixel of prostate."""
    scans = (("train", 4, 0), ("train", 4, 1), ("train", 5, 0), ("validate", 36, 0))
    for split, case, week in (*scans, ("test", 40, 0)):
        for number in numbers:
            label = np.zeros((256, 128), np.uint8)
            label[:10, : 10 * (week + 1)] = 3
            label[100, 100] = 5
            image = np.full((256, 128), 100 + case, np.int16)
            affine = np.diag([2.0, 1.0, 1.0, 1.0])
            affine[:3, 3] = (5, -step * number, 7)
            write_slice(folder, split, case, week, number, image, label, affine)
    return SliceIndex.from_folder(folder).split("train")


@pytest.mark.parametrize("numbers", [(0, 1, 2), (0, 3)])
def test_spacing_comes_from_where_the_slices_lie(tmp_path, numbers):
    table = cohort.scan_table(train_split(tmp_path, numbers=numbers))
    assert list(table.index) == [(4, 0), (4, 1), (5, 0)]
    assert list(table.loc[(4, 1)]) == [len(numbers), 256, 128, 2, 1, 4, 104]


@pytest.mark.parametrize("gap", [{"step": 0.0}, {"numbers": (7,)}])
def test_where_headers_do_not_tell_the_step_there_is_no_volume(tmp_path, gap):
    index = train_split(tmp_path, **gap)
    scans, counts = cohort.scan_table(index), cohort.label_counts(index)
    areas = cohort.organ_areas(index, counts, scans)
    assert cohort.organ_volumes(index, areas, scans).empty


def test_areas_are_in_cm2_and_volumes_in_ml_at_native_size(tmp_path):
    train = train_split(tmp_path)
    counts, scans = cohort.label_counts(train), cohort.scan_table(train)
    assert counts[0].tolist() == [256 * 128 - 101, 0, 0, 100, 0, 1]
    areas = cohort.organ_areas(train, counts, scans)
    assert list(areas) == ["bone", "bladder", "rectum", "prostate"]
    assert areas["bladder"][0] == pytest.approx(2.0)  # 100 pixels of 2 mm²
    volumes = cohort.organ_volumes(train, areas, scans)
    found = volumes["bladder"].to_dict()  # 3 x 2 cm² x 4 mm
    assert found == pytest.approx({(4, 0): 2.4, (4, 1): 4.8, (5, 0): 2.4})
    assert (volumes["rectum"] == 0).all()
