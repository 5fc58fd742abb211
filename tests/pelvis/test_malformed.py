"""Whatever a file holds: the right pixels or one clear line, and never more memory.

Each file of the tables is checked within a folder whose other files are sound. Folders
with a fault and random damage follow.
"""

import os
import re
import shutil
import tracemalloc
from pathlib import Path

import malformed
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from malformed import FUZZ, PIXELS, flipped, gz, nifti
from slice_files import refusal

from pelvis.check import check
from vqlib.cli import main
from vqlib.data import open_data, read_slice
from vqlib.errors import UserError

TRAIN, SEG = "keras_slices_train", "keras_slices_seg_train"
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


@pytest.mark.parametrize("case", malformed.REFUSED)
def test_files_that_are_refused(case, study):
    file, words = malformed.REFUSED[case]
    line = only_fault(study, put(study, file), sound=len(NAMES) - 1)
    assert re.search(words, line), line


@pytest.mark.parametrize("case", malformed.RIGHT)
def test_files_that_are_odd_but_right(case, study):
    read = read_slice(put(study, malformed.RIGHT[case]))
    np.testing.assert_array_equal(read, PIXELS)
    assert not check(study).faults


@pytest.mark.parametrize("case", malformed.LISTED)
def test_files_that_are_read_but_are_a_fault(case, study):
    file, words = malformed.LISTED[case]
    path = put(study, file)
    np.testing.assert_array_equal(read_slice(path), PIXELS)
    assert words in only_fault(study, path)


@pytest.mark.parametrize("head", [b"", b"\1\0\0\0" + bytes(28)])
def test_endless_extensions_take_no_memory(tmp_path, head):
    path, zeros = tmp_path / "bomb.nii.gz", bytes(2**26)
    path.write_bytes(gz(nifti(gap=head + zeros, vox_offset=352 + len(head)), 1))
    del zeros
    tracemalloc.start()
    line = refusal(read_slice, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6, peak  # twice the largest slice in float64
    assert "damaged" in line or "no NIfTI file" in line


NEW, ONE = f"{TRAIN}/case_004_week_0_slice_9.nii.gz", NAMES[1]


def copy(study, name):
    shutil.copy(study / ONE, study / name)


def special(make):
    def spoil(study, name):
        try:
            make(study / name)
        except (OSError, AttributeError):
            pytest.skip("this system has no links or pipes")

    return spoil


NOT_A_FILE = "is a folder, a pipe or a broken link, not a file.*remove it"
# (the file at fault, how a folder is spoiled, what is said); tests/data has more
FOLDERS = [
    (f"{SEG}/case_004_week_0_slice_1.nii", copy, "is not named seg_NNN.*rename it"),
    (f"{TRAIN}/case_٠٠٤_week_٠_slice_٧.nii.gz", copy, "is not named case_NNN"),
    (seg(ONE), lambda study, name: (study / ONE).unlink(), "has no image.*slice_1.nii"),
    (NEW, special(lambda path: path.mkdir()), NOT_A_FILE),
    (NEW, special(lambda path: path.symlink_to("gone")), NOT_A_FILE),
    (NEW, special(lambda path: os.mkfifo(path)), NOT_A_FILE),
]


@pytest.mark.parametrize(("name", "spoil", "words"), FOLDERS)
def test_folders_with_a_fault(study, name, spoil, words):
    spoil(study, name)
    assert re.search(words, only_fault(study, study / name))


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
    result = CliRunner().invoke(main, ["data", "check", str(study)])
    assert result.exit_code == 1
    assert result.stderr == f"error: {study} has faults: 2\n"
    faults = [f for f in result.stdout.splitlines() if f.startswith("fault: ")]
    assert len(faults) == 2
    assert "case_004\\nweek.nii.gz is not named" in faults[0]
    assert "\\udcff" in faults[1]
    assert "\n" not in refusal(open_data, study, "smoke")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (PermissionError(13, "denied"), "may not be read; change its permissions"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ],
)
def test_files_that_may_not_be_read(study, monkeypatch, fault, words):
    """As root every file may be read, so the refusal is played."""

    def deny(path, *args, **kwargs):
        if str(path) == str(study / ONE):
            raise fault
        return real(path, *args, **kwargs)

    real = open
    monkeypatch.setattr("builtins.open", deny)
    assert words in only_fault(study, study / ONE)


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
