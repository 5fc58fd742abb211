import os
import shutil

import numpy as np
import pytest
from slice_files import refusal, write_nifti, write_slice

from vqlib.data import SliceIndex, read_slice, scan_folder


def test_index_is_in_natural_order(slices):
    index = SliceIndex.from_folder(slices)
    assert len(index) == 15
    assert [r.slice for r in index.records[:11]] == list(range(11))
    assert [r.split for r in index.records[-2:]] == ["validate", "test"]
    assert index.patients == [4, 12, 36, 40]
    assert index.volumes[(4, 0)] == list(range(11))
    assert index.volumes[(40, 2)] == [14]
    assert not index.has_labels


def test_split_keeps_its_part(slices):
    train = SliceIndex.from_folder(slices).split("train")
    assert train.patients == [4, 12]
    assert train.volumes[(12, 0)] == [12]
    assert "did you mean 'train'" in refusal(train.split, "trian")
    assert "keras_slices_test is missing or empty" in refusal(train.split, "test")


def test_stray_files_are_ignored(slices):
    for name in (".DS_Store", "notes.txt", "._case_004_week_0_slice_0.nii.gz"):
        (slices / "keras_slices_train" / name).write_bytes(b"x")
    assert len(SliceIndex.from_folder(slices)) == 15


def test_uncompressed_files_are_read(slices):
    pixels = np.arange(256 * 128, dtype=np.float32).reshape(256, 128)
    path = slices / "keras_slices_train" / "case_012_week_0_slice_4.nii"
    write_nifti(path, pixels)
    assert SliceIndex.from_folder(slices).records[13].path == path
    assert (read_slice(path) == pixels).all()


def test_missing_folder(tmp_path):
    line = refusal(SliceIndex.from_folder, tmp_path / "nowhere")
    assert "nowhere does not exist" in line


def test_file_for_a_folder(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"x")
    assert "not a folder" in refusal(SliceIndex.from_folder, tmp_path / "data.zip")


def test_folder_without_train(slices):
    shutil.rmtree(slices / "keras_slices_train")
    line = refusal(SliceIndex.from_folder, slices)
    assert "has no folder keras_slices_train" in line


def test_the_folder_that_was_meant_is_named(slices):
    assert str(slices) in refusal(SliceIndex.from_folder, slices.parent)
    train = slices / "keras_slices_train"
    assert f"did you mean {slices}?" in refusal(SliceIndex.from_folder, train)


def test_empty_split(slices):
    for path in (slices / "keras_slices_validate").iterdir():
        path.unlink()
    line = refusal(SliceIndex.from_folder, slices)
    assert "keras_slices_validate is empty" in line


@pytest.mark.parametrize(
    "name",
    [
        "case_004_week0_slice_1.nii.gz",
        "seg_004_week_0_slice_1.nii.gz",
        "case_004_week_0_slice_1.NII.GZ",
        "case_004_week_0_slice_-1.nii.gz",
    ],
)
def test_wrong_name(slices, name):
    write_nifti(slices / "keras_slices_train" / "x.nii.gz", np.zeros((2, 2)))
    os.rename(
        slices / "keras_slices_train" / "x.nii.gz",
        slices / "keras_slices_train" / name,
    )
    line = refusal(SliceIndex.from_folder, slices)
    assert name in line
    assert "is not named case_NNN_week_W_slice_S.nii.gz" in line


def test_same_slice_twice(slices):
    train = slices / "keras_slices_train"
    first = train / "case_012_week_0_slice_3.nii.gz"
    shutil.copy(first, train / "case_012_week_0_slice_03.nii.gz")
    assert "is the same slice as" in refusal(SliceIndex.from_folder, slices)


def test_patient_in_two_splits(slices):
    path = write_slice(slices, "test", 12, 5, 0)
    line = refusal(SliceIndex.from_folder, slices)
    assert str(path) in line
    assert "patient 12 is also in keras_slices_train" in line


def test_image_without_label(slices):
    label = np.ones((256, 128), np.uint8)
    write_slice(slices, "validate", 36, 0, 0, label=label)
    write_slice(slices, "validate", 36, 0, 1)
    line = refusal(SliceIndex.from_folder, slices)
    assert "case_036_week_0_slice_1.nii.gz has no label" in line
    assert "seg_036_week_0_slice_1.nii.gz" in line


def test_scan_lists_every_fault(slices):
    write_slice(slices, "test", 12, 5, 0)
    write_nifti(slices / "keras_slices_test" / "odd.nii.gz", np.zeros((2, 2)))
    records, faults = scan_folder(slices)
    assert len(records) == 16
    assert len(faults) == 2
    assert "(and 1 more faults)" in refusal(SliceIndex.from_folder, slices)
