import numpy as np
import pytest
from malformed import RGB, gz, nifti
from scan_files import SHAPE, STACK, sample, turn, write_label
from slice_files import refusal

from pelvis.scans import Source
from pelvis.volumes import read_volume

PIXELS = np.rint(sample(SHAPE, STACK)).astype(np.int16)
ONES = np.ones(SHAPE, np.int16)


def source(folder, pixels=PIXELS, affine=STACK, qform=None, label=None, **fields):
    """A volume with other header fields where given."""
    path, qform = folder / "a.nii.gz", affine if qform is None else qform
    path.write_bytes(gz(nifti(pixels, affine, qform, **fields), 1))
    return Source(path.name, (path,), "p", label)


def with_voxel(value):
    return np.where(np.arange(PIXELS.size).reshape(SHAPE) == 999, value, PIXELS)


def moved(mm):
    return STACK + np.outer([mm, 0, 0, 0], [0, 0, 0, 1])


MIRROR = np.diag([-1.0, 1, 1, 1])
MIRROR[0, 3] = SHAPE[0] - 1  # the same box
FLAT = {"srow_x": [-10, 0, 0, 0], "srow_y": [0, 21, 0, 0], "srow_z": [0, 0, 0, 0]}
SLANTED = {"srow_x": [7.1, 0, 7.1, 0], "srow_z": [7.1, 0, 7.1, 0]}
OTHER_WAYS = "point different ways, so left and right are unknown"
# (a volume and its header, what the refusal says)
REFUSED = [
    ({"magic": b"abc"}, "no NIfTI"),
    ({"pixels": ONES[0]}, "not a 3D volume"),
    ({"pixels": ONES[:1]}, "not a 3D volume"),
    ({"pixels": np.stack([ONES, ONES], -1)}, "not a 3D volume"),
    ({"pixels": np.zeros((8, 8, 8), RGB)}, "colour"),
    ({"pixels": np.zeros((8, 8, 8), np.complex64)}, "complex"),
    ({"pixels": with_voxel(np.nan)}, "NaN or infinite"),
    ({"pixels": with_voxel(1e300)}, "NaN or infinite"),
    ({"pixels": ONES}, "the value 1 everywhere"),
    ({"pixdim": (1, 0)}, "0x21x10 mm in pixdim"),
    ({"pixdim": (1, -10)}, "-10x21x10 mm in pixdim"),
    ({"pixdim": (1, np.nan)}, "nanx21x10 mm in pixdim"),
    ({"pixdim": (1, 11)}, "11x21x10 mm in pixdim but 10x21x10"),
    ({"affine": STACK @ np.diag([1e-3, 1, 1, 1])}, " mm; export it again"),
    ({"affine": STACK @ np.diag([1e3, 1, 1, 1])}, " mm; export it again"),
    ({"sform_code": 0, "qform_code": 0}, "left and right are unknown"),
    (FLAT, " mm; export it again"),
    (SLANTED, "is singular or not finite"),
    ({"srow_x": [np.nan, 0, 0, 0]}, "is singular or not finite"),
    ({"qform": STACK @ MIRROR}, OTHER_WAYS),
    ({"qform": turn(2, 8) @ STACK}, OTHER_WAYS),
    ({"quatern_b": 1, "quatern_c": 1}, OTHER_WAYS),
]


@pytest.mark.parametrize(("how", "words"), REFUSED)
def test_volumes_that_are_refused(tmp_path, how, words):
    line = refusal(read_volume, source(tmp_path, **how), match=words)
    assert str(tmp_path / "a.nii.gz") in line
    assert "; " in line  # then the remedy


# (a label map beside a volume, what the refusal says)
LABELS = [
    ({"affine": STACK @ MIRROR}, "not on the grid of a.nii.gz"),
    ({"affine": moved(2)}, "not on the grid of a.nii.gz"),
    ({"values": ONES[:9]}, "not on the grid of a.nii.gz"),
    ({"values": ONES + 5}, "has the value 6, which is no label"),
]


@pytest.mark.parametrize(("how", "words"), LABELS)
def test_label_maps_that_are_refused(tmp_path, how, words):
    label = write_label(tmp_path / "b.nii.gz", **how)
    line = refusal(read_volume, source(tmp_path, label=label), match=words)
    assert str(label) in line


# (volumes that are odd but right, what is noted)
RIGHT = [
    ({}, ""),
    ({"qform": moved(0.5)}, ""),
    ({"qform": moved(30)}, "sform and qform that lie 30 mm apart"),
    ({"sform_code": 0}, ""),  # a qform alone is enough
    ({"pixels": PIXELS[..., None, None]}, ""),
]


@pytest.mark.parametrize(("how", "note"), RIGHT)
def test_a_volume_and_its_label(tmp_path, how, note):
    label = write_label(tmp_path / "b.nii.gz")
    volume = read_volume(source(tmp_path, label=label, **how))
    assert volume.pixels.dtype == np.int16
    assert (volume.pixels == PIXELS).all()
    assert volume.labels.dtype == np.uint8
    assert set(np.unique(volume.labels)) == {0, 1, 5}
    assert np.allclose(volume.affine, STACK, atol=1e-4)
    assert note in volume.note if note else not volume.note
