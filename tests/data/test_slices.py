import gzip
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest
import torch
from slice_files import refusal, write_nifti
from torch.nn.functional import avg_pool2d
from torchvision.transforms.v2.functional import center_crop

from vqlib.data import center_on_grid, fit_to, read_label, read_slice, scale_volume
from vqlib.errors import UserError


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


@pytest.mark.parametrize("place", [4000, -6, -2])  # the pixels, their sum, their number
def test_one_flipped_bit_is_found(tmp_path, place):
    pixels = np.random.default_rng(0).integers(0, 300, (256, 128)).astype(np.int16)
    path = write_nifti(tmp_path / "a.nii.gz", pixels)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert "get the file again" in refusal(read_slice, path)


def test_several_gzip_members_are_one_file(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.arange(12, dtype="i2").reshape(4, 3))
    content = path.read_bytes()
    parts = gzip.compress(content[:200]) + gzip.compress(content[200:])
    (tmp_path / "a.nii.gz").write_bytes(parts)
    assert (read_slice(tmp_path / "a.nii.gz") == read_slice(path)).all()


def test_a_header_extension_is_read_over(tmp_path):
    image = nib.Nifti1Image(np.arange(12, dtype="i2").reshape(4, 3), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"hello"))
    nib.save(image, tmp_path / "a.nii.gz")
    assert (read_slice(tmp_path / "a.nii.gz") == image.get_fdata()).all()


def test_a_file_that_inflates_without_end_takes_no_memory(tmp_path):
    """80 MB of zeros behind a small slice, 80 kB compressed."""
    path = write_nifti(tmp_path / "a.nii", np.ones((8, 8), np.int16))
    squeeze = zlib.compressobj(wbits=31)
    packed = squeeze.compress(path.read_bytes())
    packed += b"".join(squeeze.compress(bytes(2**20)) for _ in range(80))
    path = tmp_path / "a.nii.gz"
    path.write_bytes(packed + squeeze.flush())
    tracemalloc.start()
    line = refusal(read_slice, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "after the last pixel" in line
    assert peak < 20e6


def test_scale_divides_by_a_percentile_of_what_is_not_blank():
    volume = np.zeros((2, 10, 10), np.float32)
    volume[0] = np.arange(1, 101).reshape(10, 10)
    scaled = scale_volume(volume)
    bright = np.percentile(np.arange(1, 101), 99.5)
    assert scaled[0, 0, 9] == pytest.approx(10 / bright)
    assert scaled.max() == 1.0
    assert (scaled[1] == 0).all()
    assert scaled.dtype == np.float32


def test_scale_takes_away_the_unit_but_not_contrast_between_slices():
    volume = np.random.default_rng(0).uniform(0, 300, (3, 8, 8)).astype(np.float32)
    volume[2] /= 2
    np.testing.assert_allclose(scale_volume(7 * volume), scale_volume(volume), 1e-5)
    assert scale_volume(volume)[2].mean() < 0.7 * scale_volume(volume)[1].mean()


def test_a_blank_volume_stays_blank():
    assert (scale_volume(np.zeros((2, 4, 4))) == 0).all()


def test_fit_crops_about_the_centre_before_it_averages():
    wide = np.zeros((1, 256, 144), np.float32)
    wide[:, :, 8:136] = np.random.default_rng(0).random((1, 256, 128))
    wide[:, :, :8] = wide[:, :, 136:] = 9.0
    middle = wide[:, :, 8:136]
    assert np.array_equal(fit_to(wide, (256, 128)), middle)
    block = middle[:, 2:4, 4:6].mean()
    assert fit_to(wide, (128, 64))[0, 1, 2] == pytest.approx(block)


def test_fit_pads_what_is_smaller():
    small = np.ones((2, 250, 120), np.float32)
    fitted = fit_to(small, (256, 128))
    assert fitted.shape == (2, 256, 128)
    assert fitted[:, 3:253, 4:124].min() == 1
    assert fitted.sum() == small.sum()


def test_fit_gives_a_block_its_most_frequent_label():
    labels = np.zeros((1, 256, 128), np.uint8)
    labels[0, 0:2, 0:2] = [[1, 1], [1, 5]]
    labels[0, 2:4, 0:2] = [[1, 1], [5, 5]]  # a tie
    labels[0, 4:6, 0:2] = [[3, 0], [0, 0]]
    fitted = fit_to(labels, (128, 64))
    assert fitted.dtype == np.uint8
    assert fitted[0, :3, 0].tolist() == [1, 5, 0]


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_fit_counts_every_label_of_a_block(factor):
    rng = np.random.default_rng(factor)
    labels = rng.integers(0, 6, (2, 256, 128)).astype(np.uint8)
    fitted = fit_to(labels, (256 // factor, 128 // factor))
    for n, x, z in rng.integers(0, (2, *fitted.shape[1:]), (50, 3)):
        block = labels[n, x * factor :, z * factor :][:factor, :factor]
        votes = np.bincount(block.ravel(), minlength=6)
        winner = max(range(6), key=lambda value: (votes[value], value))
        assert fitted[n, x, z] == winner


@pytest.mark.parametrize("size", [(100, 50), (128, 128), (512, 256), (0, 0)])
def test_fit_refuses_a_size_that_does_not_divide(size):
    with pytest.raises(UserError, match=f"size {size[0]}x{size[1]} is not 256x128"):
        fit_to(np.zeros((256, 128)), size)


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize(
    "shape",
    [(256, 128), (256, 144), (256, 131), (255, 127), (259, 120), (201, 133), (1, 999)],
)
def test_the_centre_is_where_torchvision_puts_it(shape, kind):
    image = np.arange(shape[0] * shape[1]).reshape(1, *shape).astype(kind)
    placed = center_on_grid(image)
    assert placed.dtype == kind
    theirs = center_crop(torch.from_numpy(image), [256, 128])
    assert np.array_equal(placed, theirs.numpy())


def test_the_wide_volume_of_hipmri_loses_eight_columns_at_either_end():
    wide = np.random.default_rng(0).random((60, 256, 144))
    assert np.array_equal(center_on_grid(wide), wide[:, :, 8:136])


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_fit_averages_as_pytorch_does_to_the_bit(factor):
    images = np.random.default_rng(0).random((3, 256, 128)).astype(np.float32)
    theirs = avg_pool2d(torch.from_numpy(images)[:, None], factor)[:, 0]
    fitted = fit_to(images, (256 // factor, 128 // factor))
    assert fitted.dtype == np.float32
    assert np.array_equal(fitted, theirs.numpy())


@pytest.mark.parametrize("n", [1, 2, 3, 201, 400, 5001, 300_000])
@pytest.mark.parametrize("whole", [True, False])
def test_scale_divides_by_numpys_percentile_to_the_bit(n, whole):
    rng = np.random.default_rng(n)
    values = rng.integers(1, 300, n) if whole else rng.uniform(0.1, 300, n)
    volume = values.astype(np.float32).reshape(1, 1, n)
    expected = np.clip(volume / np.float32(np.percentile(volume, 99.5)), 0, 1)
    assert np.array_equal(scale_volume(volume), expected)


def test_scale_leaves_its_argument_alone():
    volume = np.random.default_rng(0).uniform(-1, 300, (3, 8, 8)).astype(np.float32)
    before = volume.copy()
    scale_volume(volume)
    assert np.array_equal(volume, before)
