import os
import shutil

import numpy as np
import pytest
from slice_files import refusal, write_nifti, write_slice

from vqlib.data import SliceIndex
from vqlib.data.layout import data_folder_of

TRAIN, TEST = "keras_slices_train", "keras_slices_test"


def test_index_is_in_natural_order(slices):
    for name in (".DS_Store", "notes.txt", "._case_004_week_0_slice_0.nii.gz"):
        (slices / TRAIN / name).write_bytes(b"x")  # ignored
    write_nifti(slices / TRAIN / "case_012_week_0_slice_4.nii", np.zeros((2, 2)))
    index = SliceIndex.from_folder(slices)
    assert len(index) == 16
    assert [r.slice for r in index.records[:11]] == list(range(11))
    assert [r.split for r in index.records[-2:]] == ["validate", "test"]
    assert index.records[13].path.name == "case_012_week_0_slice_4.nii"
    assert index.patients == [4, 12, 36, 40]
    assert index.volumes[(4, 0)] == list(range(11))
    assert index.volumes[(40, 2)] == [15]
    assert not index.has_labels


def test_what_lies_in_a_data_folder_is_found_through_a_link_too(slices, tmp_path):
    assert data_folder_of(tmp_path / "new") is None
    try:
        (tmp_path / "link").symlink_to(slices)
    except OSError:
        pytest.skip("this system has no links")
    assert data_folder_of(tmp_path / "link" / "new") == slices.resolve()


def copy(name):
    def spoil(slices):
        shutil.copy(slices / TRAIN / "case_012_week_0_slice_3.nii.gz", slices / name)

    return spoil


def one_label(slices):
    label = np.ones((256, 128), np.uint8)
    write_slice(slices, "validate", 36, 0, 0, label=label)
    write_slice(slices, "validate", 36, 0, 1)


def no_image(slices):
    label = np.ones((256, 128), np.uint8)
    write_slice(slices, "test", 40, 2, 0, label=label).unlink()
    write_slice(slices, "test", 40, 2, 1, label=label)


def special(make):
    def spoil(slices):
        try:
            make(slices / TRAIN / "case_004_week_0_slice_19.nii.gz")
        except (OSError, AttributeError):
            pytest.skip("this system has no links or pipes")

    return spoil


def empty(slices):
    for path in (slices / "keras_slices_validate").iterdir():
        path.unlink()


WRONG_NAME = "is not named case_NNN_week_W_slice_S.nii.gz"
NOT_A_FILE = "slice_19.* is a folder, a pipe or a broken link, not a file; remove it"
# (how a folder is spoiled, what is said)
FAULTS = [
    (empty, "keras_slices_validate is empty"),
    (copy(f"{TRAIN}/case_004_week0_slice_1.nii.gz"), WRONG_NAME),
    (copy(f"{TRAIN}/case_004_week_0_slice_-1.nii.gz"), WRONG_NAME),
    (copy(f"{TRAIN}/case_012_week_0_slice_03.nii.gz"), "is the same slice as"),
    (copy(f"{TEST}/case_012_week_5_slice_0.nii.gz"), f"patient 12 is also in {TRAIN}"),
    (copy(f"{TRAIN}/case_٠٠٤_week_٠_slice_٧.nii.gz"), WRONG_NAME),
    (copy(f"{TRAIN}/seg_004_week_0_slice_1.nii.gz"), WRONG_NAME),
    (special(lambda path: path.mkdir()), NOT_A_FILE),
    (special(lambda path: path.symlink_to("gone")), NOT_A_FILE),
    (special(lambda path: os.mkfifo(path)), NOT_A_FILE),
    (no_image, "seg_040_week_2_slice_0.* has no image; add .*case_040_week_2_slice_0"),
    (one_label, "slice_1.nii.gz has no label; add .*seg_036_week_0_slice_1.nii.gz"),
]


@pytest.mark.parametrize(("spoil", "words"), FAULTS)
def test_folders_with_a_fault(slices, spoil, words):
    spoil(slices)
    refusal(lambda: SliceIndex.from_folder(slices).records, match=words)


def test_the_folder_that_was_meant_is_named(slices):
    refusal(SliceIndex.from_folder, slices.parent, match=f"did you mean {slices}?")
