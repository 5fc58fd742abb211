"""3D NIfTI volumes: what is found, what is read, what is refused."""

import gzip
import os
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scan_files import SHAPE, STACK, sample, turn, write_label, write_volume
from slice_files import refusal

from pelvis.sources import Source
from pelvis.volumes import find_volumes, read_volume
from vqlib.errors import UserError

SETTINGS = settings(
    deadline=None,
    derandomize=True,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow],
)
PIXELS = np.rint(sample(SHAPE, STACK)).astype(np.int16)


def source(path, label=None):
    return Source(path.name, (path,), "p", label)


def refused(path, label=None):
    line = refusal(read_volume, source(path, label))
    assert str(path if label is None else label) in line
    return line


def with_header(path, pixels=None, affine=STACK, code=1, qform=None, **fields) -> Path:
    """A volume, of whose header qform and fields are then changed without a check."""
    write_volume(path, pixels, affine, code)
    content = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    if qform is not None:
        header.set_qform(qform, 1)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)))
    return path


def pixels(value=None, kind=np.int16, shape=SHAPE):
    """The body with one voxel of another value, or the value everywhere."""
    if value is None:
        return np.ones(shape, kind)
    return np.where(np.arange(PIXELS.size).reshape(SHAPE) == 999, value, PIXELS)


def pixdim(*sizes):
    return {"pixdim": [1, *sizes, 1, 1, 1, 1]}


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
MIRROR = np.diag([-1.0, 1, 1, 1])
MIRROR[0, 3] = SHAPE[0] - 1  # the same box
FLAT = {"srow_x": [-10, 0, 0, 0], "srow_y": [0, 21, 0, 0], "srow_z": [0, 0, 0, 0]}
SLANTED = {"srow_x": [7.1, 0, 7.1, 0], "srow_z": [7.1, 0, 7.1, 0]}
# (a volume and its header, what the refusal says)
REFUSED = [
    ({"magic": b"abc"}, "no NIfTI"),
    *(
        ({"pixels": pixels(shape=shape)}, "not a 3D volume")
        for shape in ((9, 9), (9, 9, 1), (1, 9, 9), (9, 9, 9, 2))
    ),
    ({"pixels": np.zeros((8, 8, 8), RGB)}, "colour"),
    ({"pixels": np.zeros((8, 8, 8), np.complex64)}, "complex"),
    ({"pixels": pixels(np.nan)}, "NaN or infinite"),
    ({"pixels": pixels(np.inf)}, "NaN or infinite"),
    ({"pixels": pixels(1e300)}, "NaN or infinite"),
    ({"pixels": pixels()}, "the value 1 everywhere"),
    (pixdim(0, 21, 10), "0x21x10 mm in pixdim"),
    (pixdim(-10, 21, 10), "-10x21x10 mm in pixdim"),
    (pixdim(np.nan, 21, 10), "nanx21x10 mm in pixdim"),
    (pixdim(11, 21, 10), "11x21x10 mm in pixdim but 10x21x10"),
    (
        {"affine": STACK @ np.diag([1e-3, 1, 1, 1]), "pixels": PIXELS},
        " mm; export it again",
    ),
    (
        {"affine": STACK @ np.diag([1e3, 1, 1, 1]), "pixels": PIXELS},
        " mm; export it again",
    ),
    ({"code": 0}, "left and right are unknown"),
    (FLAT, " mm; export it again"),
    (SLANTED, "is singular or not finite"),
    ({"srow_x": [np.nan, 0, 0, 0]}, "is singular or not finite"),
    ({"qform": STACK @ MIRROR}, "point different ways, so left and right are unknown"),
    (
        {"qform": turn(2, 8) @ STACK},
        "point different ways, so left and right are unknown",
    ),
    (
        {"quatern_b": 1, "quatern_c": 1},
        "point different ways, so left and right are unknown",
    ),
]


@pytest.mark.parametrize(("how", "words"), REFUSED)
def test_volumes_that_are_refused(tmp_path, how, words):
    line = refused(with_header(tmp_path / "a.nii.gz", **how))
    assert words in line
    assert "; " in line  # then the remedy


def test_a_shift_between_sform_and_qform_is_a_note(tmp_path):
    for shift, note in (
        (30, "sform and qform differ; the sform is taken"),
        (3, ""),
    ):
        qform = STACK.copy()
        qform[0, 3] += shift
        path = with_header(tmp_path / "a.nii.gz", qform=qform)
        volume = read_volume(source(path))
        assert volume.note == (note and f"{path}: {note}")
        assert np.allclose(volume.affine, STACK)


SHIFTED = STACK + np.outer([2, 0, 0, 0], [0, 0, 0, 1])
# (a label map beside a volume, what the refusal says)
LABELS = [
    ({"affine": STACK @ MIRROR}, "not on the grid of a.nii.gz"),
    ({"affine": SHIFTED}, "not on the grid of a.nii.gz"),
    ({"values": pixels(shape=(9, 9, 9))}, "not on the grid of a.nii.gz"),
    ({"values": pixels() + 5}, "has the value 6, which is no label"),
    ({"values": pixels(kind=np.float32) - 2}, "has the value -1, which is no label"),
    ({"values": pixels(kind=np.float32) * 2.5}, "has the value 2.5, which is no label"),
]


@pytest.mark.parametrize(("how", "words"), LABELS)
def test_label_maps_that_are_refused(tmp_path, how, words):
    label = write_label(tmp_path / "b.nii.gz", **how)
    assert words in refused(write_volume(tmp_path / "a.nii.gz"), label)


def test_a_volume_and_its_label(tmp_path):
    path = write_volume(tmp_path / "a.nii.gz")
    label = write_label(tmp_path / "b.nii.gz")
    volume = read_volume(source(path, label))
    assert volume.pixels.dtype == np.int16
    assert (volume.pixels == PIXELS).all()
    assert volume.labels.dtype == np.uint8
    assert set(np.unique(volume.labels)) == {0, 1, 5}
    assert np.allclose(volume.affine, STACK)


def test_what_is_found(tmp_path):
    for name in (
        "a/b/p1.nii",
        "p 2/Täst.NII.GZ",
        ".hidden.nii",
        ".git/p3.nii",
        "._p1.nii",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "LICENSE.txt").write_text("free")
    sources, faults, ignored = find_volumes(tmp_path, progress=False)
    assert [s.name for s in sources] == ["a/b/p1.nii", "p 2/Täst.NII.GZ"]
    assert not faults
    assert not ignored


def test_links_to_folders_are_followed_once(tmp_path):
    write_volume(tmp_path / "real" / "p1.nii.gz")
    (tmp_path / "scans" / "below").mkdir(parents=True)
    try:
        (tmp_path / "scans" / "there").symlink_to(tmp_path / "real")
        (tmp_path / "scans" / "below" / "loop").symlink_to(tmp_path / "scans")
        (tmp_path / "scans" / "again").symlink_to(tmp_path / "real")
        (tmp_path / "scans" / "self.nii.gz").symlink_to(tmp_path / "scans/self.nii.gz")
    except OSError:
        pytest.skip("no links here")
    sources, faults, _ = find_volumes(tmp_path / "scans", progress=False)
    assert [s.name for s in sources] == ["again/p1.nii.gz", "self.nii.gz"]
    assert not faults
    refused(sources[1].files[0])


def test_folders_that_are_none(tmp_path):
    path = write_volume(tmp_path / "p1.nii.gz")
    assert "is a file" in refusal(find_volumes, path)
    assert "does not exist" in refusal(find_volumes, tmp_path / "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_are_passed_over(tmp_path):
    os.mkfifo(tmp_path / "p1.nii.gz")
    os.mkfifo(tmp_path / "1.dcm")
    assert find_volumes(tmp_path, progress=False) == ([], [], 0)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder for one file, which the examples of hypothesis write in turn."""
    return tmp_path_factory.mktemp("random")


@pytest.mark.parametrize("shape", [(2000, 20, 20), (1000, 1000, 1000), (600, 600, 300)])
def test_a_huge_header_takes_no_memory(tmp_path, shape):
    path = with_header(tmp_path / "a.nii.gz", dim=[3, *shape, 1, 1, 1, 1])
    tracemalloc.start()
    line = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert " x ".join(map(str, shape)) in line
    assert peak < 5e6


def test_trailing_dimensions_of_one_are_dropped(tmp_path):
    path = write_volume(tmp_path / "a.nii.gz", PIXELS[..., None, None])
    assert read_volume(source(path)).pixels.shape == SHAPE


def test_a_qform_alone_is_enough(tmp_path):
    path = with_header(tmp_path / "a.nii.gz", sform_code=0)
    assert np.allclose(read_volume(source(path)).affine, STACK, atol=1e-4)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    def walk(folder, onerror, followlinks):
        onerror(PermissionError(13, "Permission denied", f"{folder}/closed"))
        return [(str(folder), [], [])]

    monkeypatch.setattr(os, "walk", walk)
    sources, faults, _ = find_volumes(tmp_path, progress=False)
    assert not sources
    assert "closed cannot be read" in faults[0]


FIELDS = {
    "datatype": st.integers(-(2**15), 2**15 - 1) | st.sampled_from([2, 4, 8, 16, 64]),
    "bitpix": st.integers(-(2**15), 2**15 - 1) | st.sampled_from([8, 16, 32, 64]),
    "vox_offset": st.floats(width=32),
    "magic": st.binary(max_size=4),
    "dim": st.lists(st.integers(-(2**15), 2**15 - 1), min_size=8, max_size=8),
    "pixdim": st.lists(st.floats(width=32), min_size=8, max_size=8),
    "scl_slope": st.floats(width=32),
    "scl_inter": st.floats(width=32),
    "sform_code": st.integers(-9, 9),
    "qform_code": st.integers(-9, 9),
    "quatern_b": st.floats(width=32),
    "srow_x": st.lists(st.floats(width=32), min_size=4, max_size=4),
    "srow_z": st.lists(st.floats(width=32), min_size=4, max_size=4),
    "xyzt_units": st.integers(0, 255),
}


@SETTINGS
@given(fields=st.fixed_dictionaries({}, optional=FIELDS))
def test_any_header_gives_a_volume_or_a_refusal(scratch, fields):
    path = with_header(scratch / "c.nii.gz", **fields)
    try:
        volume = read_volume(source(path))
    except UserError:
        refused(path)
    else:
        assert np.isfinite(volume.pixels.astype(float)).all()
        assert np.isfinite(volume.affine).all()
        assert volume.pixels.ndim == 3
