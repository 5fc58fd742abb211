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


def with_header(path: Path, **fields) -> Path:
    """Writes a volume and then changes fields of its header, without any check."""
    write_volume(path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)))
    return path


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


@pytest.mark.parametrize("keep", [0, 20, 200, 360, 2000, -1])
def test_truncated(tmp_path, keep):
    path = write_volume(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes()[:keep])
    refused(path)
    plain = write_volume(tmp_path / "b.nii")
    plain.write_bytes(plain.read_bytes()[:keep])
    refused(plain)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder for one file, which the examples of hypothesis write in turn."""
    return tmp_path_factory.mktemp("random")


@SETTINGS
@given(
    flips=st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4
    ),
    keep=st.none() | st.floats(0, 1),
    tail=st.binary(max_size=20),
)
def test_flipped_cut_or_longer_it_is_right_or_refused(scratch, flips, keep, tail):
    path = scratch / "a.nii.gz"
    if not path.exists():
        write_volume(scratch / "good" / "a.nii.gz")
    content = bytearray((scratch / "good" / "a.nii.gz").read_bytes())
    for at, bits in flips:
        content[at % len(content)] ^= bits
    end = None if keep is None else int(keep * len(content))
    path.write_bytes(bytes(content[:end]) + tail)
    try:
        volume = read_volume(source(path))
    except UserError:
        refused(path)
    else:
        assert (volume.pixels == PIXELS).all()
        assert np.allclose(volume.affine, STACK)


def test_wrong_magic(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"<html>404</html>" * 100))
    refused(path)
    assert "no NIfTI" in refused(with_header(tmp_path / "b.nii.gz", magic=b"abc"))


@pytest.mark.parametrize("shape", [(2000, 20, 20), (1000, 1000, 1000), (600, 600, 300)])
def test_a_huge_header_takes_no_memory(tmp_path, shape):
    path = with_header(tmp_path / "a.nii.gz", dim=[3, *shape, 1, 1, 1, 1])
    tracemalloc.start()
    line = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert " x ".join(map(str, shape)) in line
    assert peak < 5e6


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 1), (1, 9, 9), (9, 9, 9, 2)])
def test_not_three_dimensional(tmp_path, shape):
    path = write_volume(tmp_path / "a.nii.gz", np.ones(shape, np.int16))
    assert "not a 3D volume" in refused(path)


def test_trailing_dimensions_of_one_are_dropped(tmp_path):
    path = write_volume(tmp_path / "a.nii.gz", PIXELS[..., None, None])
    assert read_volume(source(path)).pixels.shape == SHAPE


def test_colour_and_complex(tmp_path):
    rgb = np.zeros((8, 8, 8), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    assert "colour" in refused(write_volume(tmp_path / "a.nii.gz", rgb))
    wave = np.zeros((8, 8, 8), np.complex64)
    assert "complex" in refused(write_volume(tmp_path / "b.nii.gz", wave))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_voxels_that_are_not_finite(tmp_path, value):
    pixels = PIXELS.astype(np.float64)
    pixels[3, 3, 3] = value
    assert "NaN or infinite" in refused(write_volume(tmp_path / "a.nii.gz", pixels))


def test_constant(tmp_path):
    path = write_volume(tmp_path / "a.nii.gz", np.full(SHAPE, 7, np.int16))
    assert "the value 7 everywhere" in refused(path)


@pytest.mark.parametrize("size", [0.0, -10.0, np.nan, np.inf])
def test_spacings_that_cannot_be(tmp_path, size):
    path = with_header(tmp_path / "a.nii.gz", pixdim=[1, size, 21, 10, 1, 1, 1, 1])
    assert f"{size:.3g}x21x10 mm in pixdim" in refused(path)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_absurd_spacings(tmp_path, factor):
    affine = STACK @ np.diag([factor, 1, 1, 1])
    assert "cannot be" in refused(write_volume(tmp_path / "a.nii.gz", PIXELS, affine))


def test_spacings_that_contradict_the_affine(tmp_path):
    path = with_header(tmp_path / "a.nii.gz", pixdim=[1, 11, 21, 10, 1, 1, 1, 1])
    assert "11x21x10 mm in pixdim but 10x21x10" in refused(path)


def test_no_affine(tmp_path):
    line = refused(write_volume(tmp_path / "a.nii.gz", code=0))
    assert "left and right are unknown" in line


def test_a_qform_alone_is_enough(tmp_path):
    path = with_header(tmp_path / "a.nii.gz", sform_code=0)
    assert np.allclose(read_volume(source(path)).affine, STACK, atol=1e-4)


def with_qform(path, qform) -> Path:
    """A volume whose qform is another than its sform, `STACK`."""
    image = nib.load(write_volume(path))
    image.set_qform(qform, 1)
    nib.save(image, path)
    return path


MIRRORED = np.diag([-1.0, 1, 1, 1])
MIRRORED[0, 3] = SHAPE[0] - 1  # the same box


@pytest.mark.parametrize("qform", [STACK @ MIRRORED, turn(2, 8) @ STACK])
def test_sform_and_qform_that_point_different_ways(tmp_path, qform):
    path = with_qform(tmp_path / "a.nii.gz", qform)
    assert "says in two ways how it lies" in refused(path)


def test_sform_and_qform_that_are_shifted_or_nearly_alike(tmp_path):
    shift = np.eye(4)
    shift[0, 3] = 3
    volume = read_volume(source(with_qform(tmp_path / "a.nii.gz", shift @ STACK)))
    assert "sform and qform are shifted; the sform is taken" in volume.note
    assert np.allclose(volume.affine, STACK)
    shift[0, 3] = 0.05
    assert not read_volume(
        source(with_qform(tmp_path / "b.nii.gz", shift @ STACK))
    ).note


def test_a_singular_affine(tmp_path):
    flat = {"srow_x": [-10, 0, 0, 0], "srow_y": [0, 21, 0, 0]}
    path = with_header(tmp_path / "a.nii.gz", **flat, srow_z=[0, 0, 0, 0])
    assert "cannot be" in refused(path)
    slanted = {"srow_x": [7.1, 0, 7.1, 0], "srow_z": [7.1, 0, 7.1, 0]}
    path = with_header(tmp_path / "c.nii.gz", **slanted)
    assert "is singular or not finite" in refused(path)
    path = with_header(tmp_path / "d.nii.gz", srow_x=[np.nan, 0, 0, 0])
    assert "is singular or not finite" in refused(path)


def test_a_label_on_another_grid(tmp_path):
    path = write_volume(tmp_path / "a.nii.gz")
    for number, change in enumerate((np.diag([-1, 1, 1, 1]), np.eye(4))):
        affine = STACK @ change
        affine[0, 3] += 2
        label = write_label(tmp_path / f"{number}.nii.gz", affine)
        assert "not on the grid of a.nii.gz" in refused(path, label)
    label = write_volume(tmp_path / "c.nii.gz", np.zeros((9, 9, 9), "u1"))
    assert "not on the grid" in refused(path, label)


@pytest.mark.parametrize("value", [6, -1, 2.5])
def test_unknown_label_values(tmp_path, value):
    path = write_volume(tmp_path / "a.nii.gz")
    values = np.ones(SHAPE, np.float32)
    values[1, 1, 1] = value
    label = write_label(tmp_path / "b.nii.gz", values=values)
    assert f"has the value {value:g}, which is no label" in refused(path, label)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def forbid(*args):
        raise PermissionError(13, "Permission denied")

    path = write_volume(tmp_path / "a.nii.gz")
    monkeypatch.setattr(gzip, "open", forbid)
    assert "may not be read" in refused(path)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    def walk(folder, onerror, followlinks):
        onerror(PermissionError(13, "Permission denied", f"{folder}/closed"))
        return [(str(folder), [], [])]

    monkeypatch.setattr(os, "walk", walk)
    sources, faults, _ = find_volumes(tmp_path, progress=False)
    assert not sources
    assert "closed cannot be read" in faults[0]


def test_a_missing_file(tmp_path):
    refused(tmp_path / "a.nii.gz")


@SETTINGS
@given(
    damage=st.lists(
        st.tuples(st.integers(0, 347), st.binary(min_size=1, max_size=4)),
        min_size=1,
        max_size=3,
    )
)
def test_damaged_headers_never_end_in_a_traceback(scratch, damage):
    """Random bytes anywhere in the header: refused in one line, or read as a volume."""
    path = write_volume(scratch / "b.nii")
    content = bytearray(path.read_bytes())
    for at, some in damage:
        content[at : at + len(some)] = some
    path.write_bytes(content[: path.stat().st_size])
    read_or_refused(path)


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
    read_or_refused(with_header(scratch / "c.nii.gz", **fields))


def read_or_refused(path):
    try:
        volume = read_volume(source(path))
    except UserError:
        refused(path)
    else:
        assert np.isfinite(volume.pixels.astype(float)).all()
        assert np.isfinite(volume.affine).all()
        assert volume.pixels.ndim == 3
