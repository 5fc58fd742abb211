import nibabel as nib
import numpy as np
import pytest
import torch
from slice_files import refusal, write_nifti
from torchvision.transforms.v2.functional import center_crop

from vqlib.data import center_on_grid, fit_to, read_label, read_slice

PIXELS = np.random.default_rng(0).integers(0, 300, (9, 7, 1))


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "i4", "f4", "f8", "u2"])
@pytest.mark.parametrize("scaling", [None, (0.5, -3.0), (1e-300, 0.0)])
def test_pixels_are_those_of_nibabel(tmp_path, name, dtype, scaling):
    """Trailing dimensions of 1 are dropped, and extensions read over."""
    affine = np.diag([1.7, 1.6, 3, 1])
    image = nib.Nifti1Image(PIXELS.astype(dtype), affine, dtype=dtype)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"hello"))
    if scaling:
        image.header.set_slope_inter(*scaling)
    nib.save(image, tmp_path / name)
    read = read_slice(tmp_path / name)
    assert read.dtype == np.float32
    expected = nib.load(tmp_path / name).get_fdata()[..., 0].astype(np.float32)
    assert np.array_equal(read, expected)


def test_labels(tmp_path):
    label = np.arange(6, dtype=np.float32).reshape(2, 3)
    read = read_label(write_nifti(tmp_path / "a.nii.gz", label))
    assert read.dtype == np.uint8
    assert (read == label).all()


@pytest.mark.parametrize("value", [6, -1, 2.5, 256, np.nan])
def test_values_that_are_no_label(tmp_path, value):
    label = np.ones((4, 4), np.float32)
    label[0, 0] = value
    path = write_nifti(tmp_path / "a.nii.gz", label)
    refusal(read_label, path, match=f"has the value {value:g}, which is no label")


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize(
    "shape", [(256, 128), (256, 131), (255, 127), (259, 120), (1, 999)]
)
def test_the_centre_is_where_torchvision_puts_it(shape, kind):
    image = np.arange(shape[0] * shape[1]).reshape(1, *shape).astype(kind)
    placed = center_on_grid(image)
    assert placed.dtype == kind
    theirs = center_crop(torch.from_numpy(image), [256, 128])
    assert np.array_equal(placed, theirs.numpy())


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_block_takes_its_most_frequent_label_and_of_a_tie_the_higher(factor):
    rng = np.random.default_rng(factor)
    labels = rng.integers(0, 6, (2, 256, 128)).astype(np.uint8)
    fitted = fit_to(labels, (256 // factor, 128 // factor))
    assert fitted.dtype == np.uint8
    for n, x, z in rng.integers(0, (2, *fitted.shape[1:]), (50, 3)):
        block = labels[n, x * factor :, z * factor :][:factor, :factor]
        votes = np.bincount(block.ravel(), minlength=6)
        assert fitted[n, x, z] == max(range(6), key=lambda value: (votes[value], value))


@pytest.mark.parametrize("size", [(100, 50), (128, 128), (512, 256), (0, 0), (16, 8)])
def test_fit_refuses_a_size_that_does_not_divide(size):
    image = np.zeros((256, 128))
    refusal(fit_to, image, size, match=f"size {size[0]}x{size[1]} is not 256x128")
