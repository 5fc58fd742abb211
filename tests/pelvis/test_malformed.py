"""Whatever a file holds: the right pixels or one clear line, and never more memory.

Each file of the tables is checked within a folder whose other files are sound. Random
damage follows.
"""

import os
import re
import tracemalloc
from pathlib import Path

import malformed
import numpy as np
import pytest
from commands import vqlib
from hypothesis import given
from hypothesis import strategies as st
from malformed import FUZZ, PIXELS, flipped, gz, nifti
from slice_files import refusal

from pelvis.check import check
from pelvis.scans import Source
from pelvis.volumes import read_volume
from vqlib.data import open_data, read_slice
from vqlib.errors import UserError

TRAIN = "keras_slices_train"
NAMES = [
    f"keras_slices_{split}/case_{case:03d}_week_0_slice_{number}.nii.gz"
    for case, split in ((4, "train"), (36, "validate"), (40, "test"))
    for number in range(2)
]


def seg(name: str) -> str:
    return name.replace("keras_slices_", "keras_slices_seg_").replace("case", "seg")


@pytest.fixture
def study(tmp_path):
    """Three patients of two slices, with labels; small, so that tests are quick."""
    folder = tmp_path / "study"
    for number, name in enumerate(NAMES):
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 300, malformed.SHAPE).astype(np.int16)
        label = rng.integers(0, 6, malformed.SHAPE).astype(np.uint8)
        for path, array in ((folder / name, pixels), (folder / seg(name), label)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gz(nifti(array), 1))
    return folder


def put(study: Path, file: tuple[str, bytes], name: str = NAMES[1]) -> Path:
    """Replace one slice (or label map) by another file."""
    (study / name).unlink()
    path = (study / name).with_suffix("").with_suffix(file[0])
    path.write_bytes(file[1])
    return path


def only_fault(study, path, sound=4) -> str:
    """What the one fault of a folder says; it names the file and a remedy, and at least
    so many slices are read all the same."""
    report = check(study)
    assert sum(int(rows["slices"]) for rows in report.table.values()) >= sound
    (fault,) = report.faults
    assert fault.file == path
    assert fault.remedy
    assert "\n" not in fault.what + fault.remedy
    return f"{fault.what}; {fault.remedy}"


def test_a_sound_folder_has_no_fault(study):
    """And nothing is written into it, so that it may be read-only."""
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    assert not check(study).faults
    assert len(open_data(study, "smoke", progress=False).train) == 2
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


@pytest.mark.parametrize("case", malformed.REFUSED | malformed.LISTED)
def test_files_that_are_a_fault(case, study):
    """Of those that only `check` refuses, pixels are read."""
    file, words = (malformed.REFUSED | malformed.LISTED)[case]
    path = put(study, file)
    line = only_fault(study, path, sound=len(NAMES) - 1)
    assert re.search(words, line), line
    if case in malformed.LISTED:
        np.testing.assert_array_equal(read_slice(path), PIXELS)
    else:
        refusal(read_slice, path, match=words)


@pytest.mark.parametrize("case", malformed.RIGHT)
def test_files_that_are_odd_but_right(case, study):
    read = read_slice(put(study, malformed.RIGHT[case]))
    np.testing.assert_array_equal(read, PIXELS)
    assert not check(study).faults


def huge(*shape) -> bytes:
    return gz(nifti(dim=[len(shape), *shape, 1, 1, 1, 1, 1, 1][:8]))


def volume(path):
    return read_volume(Source(path.name, (path,), "p"))


ZEROS, MUCH = bytes(2**25), bytes(4 * 10**7)
EXTENSIONS = nifti(gap=b"\1\0\0\0" + bytes(28) + ZEROS, vox_offset=380)
# (how it is read, the file, what is said)
PROMISES = [
    (read_slice, gz(nifti(gap=ZEROS, vox_offset=352), 1), "no NIfTI file"),
    (read_slice, gz(EXTENSIONS, 1), "no NIfTI file"),
    (read_slice, gz(nifti(tail=MUCH), 1), "after the last pixel"),
    (read_slice, huge(30_000, 30_000), "30000 x 30000"),
    (volume, huge(2000, 20, 20), "2000 x 20 x 20"),
    (volume, huge(1000, 1000, 1000), "1000 x 1000 x 1000"),
    (volume, huge(600, 600, 300), "600 x 600 x 300"),
]
del ZEROS, MUCH, EXTENSIONS


@pytest.mark.parametrize(("read", "content", "words"), PROMISES)
def test_what_a_header_or_gzip_promises_takes_no_memory(tmp_path, read, content, words):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    tracemalloc.start()
    refusal(read, path, match=words)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # twice the largest slice in float64


def test_a_blank_volume_is_a_fault_but_opens(study):
    for name in NAMES[:2]:
        put(study, malformed.packed(-PIXELS), name)
    assert "without a positive pixel" in only_fault(study, study / NAMES[0])
    open_data(study, "smoke", progress=False)


def test_names_that_cannot_be_printed(study):
    """A line end in a name, or bytes that are no text, must not break the one line."""
    names = ["case_004\nweek.nii.gz", os.fsdecode(b"case_\xff.nii.gz")]
    try:
        for name in names:
            (study / TRAIN / name).write_bytes(b"x")
    except (OSError, UnicodeError):
        pytest.skip("this system has no such names")
    result = vqlib("data", "check", study, code=1)
    assert result.stderr == f"error: {study} has faults: 2\n"
    faults = [f for f in result.stdout.splitlines() if f.startswith("fault: ")]
    assert len(faults) == 2
    assert "case_004\\nweek.nii.gz is not named" in faults[0]
    assert "\\udcff" in faults[1]
    assert "\n" not in refusal(open_data, study, "smoke")


UNREADABLE = [
    (PermissionError(13, "denied"), "may not be read; change its permissions"),
    (OSError(5, "Input/output error"), "Input/output error"),
]


@pytest.mark.parametrize(("fault", "words"), UNREADABLE)
def test_files_that_may_not_be_read(study, monkeypatch, fault, words):
    """As root every file may be read, so the refusal is played."""

    def deny(path, *args, **kwargs):
        if str(path) == str(study / NAMES[1]):
            raise fault
        return real(path, *args, **kwargs)

    real = open
    monkeypatch.setattr("builtins.open", deny)
    assert words in only_fault(study, study / NAMES[1])


FIELDS = st.integers(0, 111) | st.integers(120, 351)  # but the scaling
BITS = st.integers(1, 255)


@FUZZ
@given(
    header=st.lists(st.tuples(FIELDS, BITS), max_size=3),
    packed=st.lists(st.tuples(st.integers(0, 10**6), BITS), max_size=2),
    keep=st.just(1.0) | st.floats(0, 1),
    order=st.sampled_from("<>"),
    tail=st.just(b"") | st.binary(max_size=20),
)
def test_damage_gives_the_right_pixels_or_a_refusal(
    tmp_path_factory, header, packed, keep, order, tail
):
    content = nifti(order=order)
    for at, bits in header:
        content = flipped(content, at, bits)
    content = gz(content, 1)
    for at, bits in packed:
        content = flipped(content, at % len(content), bits)
    path = tmp_path_factory.mktemp("random") / "slice.nii.gz"
    path.write_bytes(content[: int(keep * len(content))] + tail)
    try:
        read = read_slice(path)
    except UserError:
        assert re.fullmatch(f"{re.escape(str(path))} .*; .*", refusal(read_slice, path))
    else:
        np.testing.assert_array_equal(read, PIXELS)
