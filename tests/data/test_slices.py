import gzip
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest
from slice_files import refusal, write_nifti

from vqlib.data import read_label, read_slice
from vqlib.data import slices as nifti
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


def carefully(path):
    """What the careful reader says of a slice: its values, or its line."""
    try:
        return nifti.read_array(path, nifti.slice_shape)[0]
    except UserError as fault:
        return str(fault)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "i4", "f4", "f8", "u2"])
@pytest.mark.parametrize("scaling", [None, (0.5, -3.0), (1.0, 0.0), (1e-300, 0.0)])
def test_the_short_way_reads_what_the_careful_one_does(tmp_path, name, dtype, scaling):
    values = np.random.default_rng(0).integers(0, 200, (9, 7, 1)).astype(dtype)
    image = nib.Nifti1Image(values, np.diag([1.7, 1.6, 3, 1]), dtype=dtype)
    if scaling:
        image.header.set_slope_inter(*scaling)
    nib.save(image, tmp_path / name)
    short = nifti._ordinary_values(tmp_path / name)
    long = carefully(tmp_path / name)
    assert short is not None
    assert (
        (short.dtype, short.shape) == (long.dtype, long.shape) == (long.dtype, (9, 7))
    )
    assert np.array_equal(short, long)


def test_the_short_way_takes_no_header_that_the_careful_one_refuses(tmp_path):
    """Headers with one to three bytes changed: the same values, or no short way."""
    rng = np.random.default_rng(0)
    path = write_nifti(tmp_path / "a.nii", np.arange(2000, dtype="i2").reshape(50, 40))
    content = path.read_bytes()
    # where sizes, data type, spacing, offset, scaling, codes, quaternion, magic lie
    places = [*range(40, 80), *range(108, 120), *range(252, 268), *range(344, 352)]
    taken = 0
    for _ in range(400):
        changed = bytearray(content)
        for place in rng.choice(places, rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        short = nifti._ordinary_values(path)
        if short is not None:
            taken += 1
            long = carefully(path)
            assert (short.dtype, short.shape) == (long.dtype, long.shape)
            assert np.array_equal(short, long, equal_nan=short.dtype.kind == "f")
    assert 50 < taken < 350  # both happen


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
