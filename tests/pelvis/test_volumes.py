"""3D NIfTI volumes: what is found, what is read, what is refused."""

import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from scan_files import SHAPE, STACK, sample, turn, write_label, write_volume
from slice_files import refusal

from pelvis.scans import Source
from pelvis.volumes import read_volume

PIXELS = np.rint(sample(SHAPE, STACK)).astype(np.int16)


def source(path, label=None):
    return Source(path.name, (path,), "p", label)


def refused(path, label=None):
    line = refusal(read_volume, source(path, label))
    assert str(label or path) in line
    assert "; " in line  # then the remedy
    return line


def with_header(path, pixels=None, affine=STACK, code=1, qform=None, **fields):
    """A volume, of whose header qform and fields are then changed without a check."""
    write_volume(path, pixels, affine, code)
    content = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    if qform is not None:
        header.set_qform(qform, 1)
    for name, value in fields.items():
        if isinstance(value, tuple):
            header[name][value[0]] = value[1]
        else:
            header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content), 1))
    return path


def with_voxel(value):
    return np.where(np.arange(PIXELS.size).reshape(SHAPE) == 999, value, PIXELS)


def stretched(by):
    return {"affine": STACK @ np.diag([by, 1, 1, 1]), "pixels": PIXELS}


ONES = np.ones(SHAPE, np.int16)
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
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
    (stretched(1e-3), " mm; export it again"),
    (stretched(1e3), " mm; export it again"),
    ({"code": 0}, "left and right are unknown"),
    (FLAT, " mm; export it again"),
    (SLANTED, "is singular or not finite"),
    ({"srow_x": [np.nan, 0, 0, 0]}, "is singular or not finite"),
    ({"qform": STACK @ MIRROR}, OTHER_WAYS),
    ({"qform": turn(2, 8) @ STACK}, OTHER_WAYS),
    ({"quatern_b": 1, "quatern_c": 1}, OTHER_WAYS),
]


@pytest.mark.parametrize(("how", "words"), REFUSED)
def test_volumes_that_are_refused(tmp_path, how, words):
    assert words in refused(with_header(tmp_path / "a.nii.gz", **how))


SHIFTED = STACK + np.outer([2, 0, 0, 0], [0, 0, 0, 1])
NO_LABEL = "which is no label"
# (a label map beside a volume, what the refusal says)
LABELS = [
    ({"affine": STACK @ MIRROR}, "not on the grid of a.nii.gz"),
    ({"affine": SHIFTED}, "not on the grid of a.nii.gz"),
    ({"values": ONES[:9]}, "not on the grid of a.nii.gz"),
    ({"values": ONES + 5}, f"has the value 6, {NO_LABEL}"),
    ({"values": ONES - 2}, f"has the value -1, {NO_LABEL}"),
    ({"values": ONES * np.float32(2.5)}, f"has the value 2.5, {NO_LABEL}"),
]


@pytest.mark.parametrize(("how", "words"), LABELS)
def test_label_maps_that_are_refused(tmp_path, how, words):
    label = write_label(tmp_path / "b.nii.gz", **how)
    assert words in refused(write_volume(tmp_path / "a.nii.gz"), label)


FAR = STACK + np.outer([30, 0, 0, 0], [0, 0, 0, 1])
# volumes that are odd but right
RIGHT = [
    {},
    {"qform": FAR},  # the field of view keeps its centre
    {"sform_code": 0},  # a qform alone is enough
    {"pixels": PIXELS[..., None, None]},
]


@pytest.mark.parametrize("how", RIGHT)
def test_a_volume_and_its_label(tmp_path, how):
    path = with_header(tmp_path / "a.nii.gz", **how)
    volume = read_volume(source(path, write_label(tmp_path / "b.nii.gz")))
    assert volume.pixels.dtype == np.int16
    assert (volume.pixels == PIXELS).all()
    assert volume.labels.dtype == np.uint8
    assert set(np.unique(volume.labels)) == {0, 1, 5}
    assert np.allclose(volume.affine, STACK, atol=1e-4)


@pytest.mark.parametrize("shape", [(2000, 20, 20), (1000, 1000, 1000), (600, 600, 300)])
def test_a_huge_header_takes_no_memory(tmp_path, shape):
    path = with_header(tmp_path / "a.nii.gz", dim=[3, *shape, 1, 1, 1, 1])
    tracemalloc.start()
    line = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert " x ".join(map(str, shape)) in line
    assert peak < 5e6
