import gzip
import os
import shutil
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from slice_files import write_nifti, write_slice

from vqlib.data import SliceIndex, read_label, read_slice, scan_folder
from vqlib.errors import UserError


def refusal(call, *args) -> str:
    """The one line that the user reads."""
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


def test_fingerprint_follows_the_data_not_the_place(slices, tmp_path):
    before = SliceIndex.from_folder(slices).fingerprint()
    moved = shutil.move(slices, tmp_path / "elsewhere")
    assert SliceIndex.from_folder(moved).fingerprint() == before
    write_slice(moved, "test", 40, 2, 0, np.zeros((256, 128), np.float32))
    assert SliceIndex.from_folder(moved).fingerprint() != before


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
    assert f"folder above it, {slices}" in refusal(SliceIndex.from_folder, train)


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


def test_trailing_dimensions_of_one_are_dropped(tmp_path):
    pixels = np.arange(12, dtype=np.int16).reshape(4, 3, 1, 1)
    read = read_slice(write_nifti(tmp_path / "a.nii.gz", pixels))
    assert read.dtype == np.float32
    assert (read == pixels[..., 0, 0]).all()


def test_header_scaling_is_applied(tmp_path):
    image = nib.Nifti1Image(np.full((4, 3), 7, np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, 1.0)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii")
    assert stored.dataobj.slope == 2.0
    assert (read_slice(tmp_path / "a.nii") == stored.get_fdata()).all()


@pytest.mark.parametrize("keep", [0, 20, 300, 2000])
def test_truncated_gz(tmp_path, keep):
    pixels = np.random.default_rng(0).integers(0, 300, (256, 128)).astype(np.int16)
    path = write_nifti(tmp_path / "a.nii.gz", pixels)
    path.write_bytes(path.read_bytes()[:keep])
    line = refusal(read_slice, path)
    assert str(path) in line
    assert "get the file again" in line


def test_truncated_plain_file(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.ones((16, 16), np.int16))
    path.write_bytes(path.read_bytes()[:400])
    assert "truncated" in refusal(read_slice, path)


def test_damaged_gz(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 300, (256, 128)).astype(np.int16)
    path = write_nifti(tmp_path / "a.nii.gz", pixels)
    content = bytearray(path.read_bytes())
    content[1000:1040] = bytes(40)
    path.write_bytes(content)
    assert "get the file again" in refusal(read_slice, path)


def test_not_a_nifti(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"<html>404</html>" * 100))
    assert "no NIfTI file" in refusal(read_slice, path)
    assert "does not exist" in refusal(read_slice, tmp_path / "b.nii.gz")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_pixels_that_are_not_finite(tmp_path, value):
    pixels = np.ones((8, 8))
    pixels[3, 3] = value
    line = refusal(read_slice, write_nifti(tmp_path / "a.nii.gz", pixels))
    assert "NaN or infinite" in line


@pytest.mark.parametrize("shape", [(8, 8, 4), (8,), (8, 8, 1, 2)])
def test_not_two_dimensional(tmp_path, shape):
    path = write_nifti(tmp_path / "a.nii.gz", np.ones(shape, np.float32))
    assert "not a 2D slice" in refusal(read_slice, path)


def test_colour_and_complex_pixels(tmp_path):
    rgb = np.zeros((8, 8), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    assert "colour" in refusal(read_slice, write_nifti(tmp_path / "a.nii.gz", rgb))
    wave = np.zeros((8, 8), np.complex64)
    assert "complex" in refusal(read_slice, write_nifti(tmp_path / "b.nii.gz", wave))


def test_a_huge_header_takes_no_memory(tmp_path):
    """A header of 348 bytes may declare 30,000 x 30,000 doubles: 7 GB."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float64)
    header.set_data_shape((30_000, 30_000))
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4 + 10_000)))
    tracemalloc.start()
    line = refusal(read_slice, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "30000 x 30000" in line
    assert peak < 10e6


def test_labels(tmp_path):
    label = np.arange(6, dtype=np.float32).reshape(2, 3)
    read = read_label(write_nifti(tmp_path / "a.nii.gz", label))
    assert read.dtype == np.uint8
    assert (read == label).all()


@pytest.mark.parametrize("value", [6, -1, 2.5, np.nan])
def test_values_that_are_no_label(tmp_path, value):
    label = np.ones((4, 4), np.float32)
    label[0, 0] = value
    path = write_nifti(tmp_path / "a.nii.gz", label)
    assert f"has the value {value:g}, which is no label" in refusal(read_label, path)
