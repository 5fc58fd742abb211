"""Whatever a file holds: the right pixels or one clear line, and never more memory.

Each file of the tables is read alone, opened within a data set, and checked within a
folder whose other files are sound. Folders with a fault and random damage follow.
"""

import json
import os
import re
import shutil
import tracemalloc
from pathlib import Path

import malformed
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import PIXELS, gz, nifti
from slice_files import refusal

from vqlib import profiles
from vqlib.cli import main
from vqlib.data import open_data, read_label, read_slice
from vqlib.errors import UserError

TRAIN, SEG = "keras_slices_train", "keras_slices_seg_train"
NAMES = [
    f"keras_slices_{split}/case_{case:03d}_week_0_slice_{number}.nii.gz"
    for case, split in ((4, "train"), (36, "validate"), (40, "test"))
    for number in range(2)
]
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)


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


def check(folder):
    """The report of ``vqlib data check --json``, never a traceback."""
    result = CliRunner().invoke(main, ["data", "check", str(folder), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    report = json.loads(result.stdout)
    assert report["ok"] == (not report["faults"]) == (result.exit_code == 0)
    if report["faults"]:
        assert result.stderr.startswith(f"error: {len(report['faults'])} fault")
    return report


def opening(folder):
    return refusal(lambda: open_data(folder, profiles.get("smoke"), progress=False))


def only_fault(study, path, sound=4) -> str:
    """What the one fault of a folder says; it names the file and a remedy, and at least
    so many slices are read all the same."""
    report = check(study)
    splits = report["splits"].values()
    assert sum(split["slices"] - split["unreadable"] for split in splits) >= sound
    (fault,) = report["faults"]
    assert fault["file"] == str(path)
    assert fault["remedy"]
    assert "\n" not in fault["what"] + fault["remedy"]
    return f"{fault['what']}; {fault['remedy']}"


def test_a_sound_folder_has_no_fault(study):
    """And nothing is written into it, so that it may be read-only."""
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    report = check(study)
    assert report["ok"]
    assert len(open_data(study, profiles.get("smoke"), progress=False).train) == 2
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


@pytest.mark.parametrize("case", malformed.REFUSED)
def test_files_that_are_refused(case, study):
    file, words = malformed.REFUSED[case]
    path = put(study, file)
    read, opened = refusal(read_slice, path), opening(study)
    for line in (read, opened, only_fault(study, path, sound=len(NAMES) - 1)):
        assert re.search(words, line), line
        assert "; " in line  # then the remedy
    assert str(path) in read
    assert str(path) in opened


@pytest.mark.parametrize("case", malformed.RIGHT)
def test_files_that_are_odd_but_right(case, study):
    file, pixels = malformed.RIGHT[case]
    read = read_slice(put(study, file))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, pixels.astype(np.float32))
    assert check(study)["ok"]
    open_data(study, profiles.get("smoke"), progress=False)


@pytest.mark.parametrize("case", malformed.LISTED)
def test_files_that_are_read_but_are_a_fault(case, study):
    file, words = malformed.LISTED[case]
    path = put(study, file)
    assert np.isfinite(read_slice(path)).all()
    report = check(study)
    (fault,) = (f for f in report["faults"] if f["file"] == str(path))
    assert words in fault["what"]
    assert fault["remedy"]


@pytest.mark.parametrize("case", malformed.LABELS)
def test_label_maps_that_are_refused(case, study):
    file, words = malformed.LABELS[case]
    path = put(study, file, seg(NAMES[1]))
    assert words in opening(study)
    assert words in only_fault(study, path, sound=len(NAMES))
    if "its image is" not in words:  # what only the pair can show
        assert words in refusal(read_label, path)


def test_headers_and_bombs_take_no_memory(tmp_path):
    """A file of some kilobytes that stands for gigabytes is refused unread."""
    zeros = bytes(2**26)
    endless = b"\1\0\0\0" + bytes(28) + zeros
    bombs = [
        malformed.REFUSED["huge"][0][1],
        gz(nifti(tail=zeros), 1),
        gz(nifti(gap=zeros), 1),
        gz(nifti(gap=endless, vox_offset=384), 1),
    ]
    del zeros, endless
    path = tmp_path / "bomb.nii.gz"
    for content in bombs:
        path.write_bytes(content)
        assert len(content) < 500_000
        tracemalloc.start()
        line = refusal(read_slice, path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6, peak  # twice the largest slice in float64
        assert "damaged" in line or "no NIfTI file" in line


NEW, ONE = f"{TRAIN}/case_004_week_0_slice_9.nii.gz", NAMES[1]
SAME = f"{TRAIN}/case_4_week_0_slice_1.nii.gz"
TEST, SEG_TEST = "keras_slices_test", "keras_slices_seg_test"
LEAK = NAMES[0].replace("train", "test")


def copy(name, source=ONE):
    return lambda study: shutil.copy(study / source, study / name)


def remove(*names):
    def spoil(study):
        for path in (study / name for name in names):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def link(study, to):
    try:
        (study / NEW).symlink_to(to)
    except OSError:
        pytest.skip("this system has no links")


def pipe(study):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes")
    os.mkfifo(study / NEW)


def empty_split(study):
    remove(SEG_TEST, TEST)(study)
    (study / TEST).mkdir()


def leak(study):
    for name in (NAMES[0], seg(NAMES[0])):
        shutil.move(study / name, study / name.replace("train", "test"))


NOT_A_FILE = "is a folder, a pipe or a broken link, not a file.*remove it"
# (the file at fault, how a folder is spoiled, what is said)
FOLDERS = [
    (f"{TRAIN}/case_004_slice_1.nii.gz", copy, "is not named case_NNN.*rename it"),
    (f"{SEG}/case_004_week_0_slice_1.nii", copy, "is not named seg_NNN.*rename it"),
    (f"{TRAIN}/case_٠٠٤_week_٠_slice_٧.nii.gz", copy, "is not named"),
    (f"{TRAIN}/case_004_week_0_slice_1 (1).nii", copy, "is not named"),
    (SAME, copy, "is the same slice as.*remove one"),
    (ONE, remove(seg(ONE)), "has no label.*seg_004_week_0_slice_1.nii.gz"),
    (seg(ONE), remove(ONE), "has no image.*case_004_week_0_slice_1.nii.gz"),
    (TEST, remove(SEG_TEST, TEST), "is missing.*put the slices of the test patients"),
    (TEST, remove(TEST), "is missing.*put the slices of the test patients there"),
    (TEST, empty_split, "is empty.*put the slices of the test patients there"),
    (LEAK, leak, "is a leak: patient 4 is also in keras_slices_train"),
    (NEW, lambda study: (study / NEW).mkdir(), NOT_A_FILE),
    (NEW, lambda study: link(study, "gone"), NOT_A_FILE),
    (NEW, lambda study: link(study, NEW), NOT_A_FILE),
    (NEW, pipe, NOT_A_FILE),
]


@pytest.mark.parametrize(("name", "spoil", "words"), FOLDERS)
def test_folders_with_a_fault(study, name, spoil, words):
    (copy(name) if spoil is copy else spoil)(study)
    assert re.search(words, only_fault(study, study / name))
    assert Path(name).name in opening(study)


def test_a_blank_volume_is_a_fault_but_opens(study):
    for name in NAMES[:2]:
        put(study, malformed.packed(-PIXELS), name)
    assert "without a positive pixel" in only_fault(study, study / NAMES[0])
    open_data(study, profiles.get("smoke"), progress=False)


def test_a_link_that_leads_round_in_a_circle(study):
    try:
        (study / TRAIN / "loop").symlink_to(study, target_is_directory=True)
        (study.parent / "round").symlink_to("round")
    except OSError:
        pytest.skip("this system has no links")
    assert check(study)["ok"]
    assert "does not exist" in check(study.parent / "round")["faults"][0]["what"]


@pytest.mark.parametrize("name", ["zwei Wörter", "研究", "a;b, c", "-rf", "%s{}"])
def test_spaces_and_other_scripts_in_paths(study, name):
    folder = study.rename(study.parent / name)
    assert check(folder)["ok"]
    path = put(folder, (".nii.gz", b""))
    assert "it is empty" in only_fault(folder, path)


def test_names_that_cannot_be_printed(study):
    """A line end in a name, or bytes that are no text, must not break the one line."""
    names = ["case_004\nweek.nii.gz", os.fsdecode(b"case_\xff.nii.gz")]
    try:
        for name in names:
            (study / TRAIN / name).write_bytes(b"x")
    except (OSError, UnicodeError):
        pytest.skip("this system has no such names")
    assert len(check(study)["faults"]) == 2
    result = CliRunner().invoke(main, ["data", "check", str(study)])
    faults = [f for f in result.stdout.splitlines() if f.startswith("fault: ")]
    assert len(faults) == 2
    assert "case_004\\nweek.nii.gz is not named" in faults[0]
    assert "\\udcff" in faults[1]
    assert "\n" not in opening(study)


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


# random damage


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("random") / "slice.nii.gz"


def right_or_refused(path, content, pixels) -> None:
    path.write_bytes(content)
    try:
        read = read_slice(path)
    except UserError:
        assert re.fullmatch(f"{re.escape(str(path))} .*; .*", refusal(read_slice, path))
    else:
        np.testing.assert_array_equal(read, pixels)


@SETTINGS
@given(
    flips=st.lists(
        st.tuples(st.integers(0, len(malformed.GOOD) - 1), st.integers(1, 255)),
        min_size=1,
        max_size=4,
    ),
    keep=st.none() | st.integers(0, len(malformed.GOOD)),
    tail=st.binary(max_size=20),
)
def test_flipped_cut_or_longer_it_is_right_or_refused(scratch, flips, keep, tail):
    content = malformed.GOOD
    for at, bits in flips:
        content = malformed.flipped(content, at, bits)
    right_or_refused(scratch, content[:keep] + tail, PIXELS)


FIELDS = {
    "sizeof_hdr": st.integers(0, 2**31 - 1),
    "datatype": st.integers(-(2**15), 2**15 - 1) | st.sampled_from([2, 4, 8, 16, 64]),
    "bitpix": st.integers(-(2**15), 2**15 - 1) | st.sampled_from([8, 16, 32, 64]),
    "vox_offset": st.floats(width=32),
    "magic": st.binary(max_size=4),
    "dim": st.tuples(st.integers(0, 7), st.integers(-(2**15), 2**15 - 1)),
    "pixdim": st.tuples(st.integers(0, 7), st.floats(width=32)),
    "sform_code": st.integers(-9, 9),
    "qform_code": st.integers(-9, 9),
    "quatern_b": st.floats(width=32),
    "srow_x": st.tuples(st.integers(0, 3), st.floats(width=32)),
    "xyzt_units": st.integers(0, 255),
    "descrip": st.binary(max_size=80),
}


@SETTINGS
@given(fields=st.fixed_dictionaries({}, optional=FIELDS), order=st.sampled_from("<>"))
def test_any_header_gives_the_right_pixels_or_a_refusal(scratch, fields, order):
    right_or_refused(scratch, gz(nifti(order=order, **fields), 1), PIXELS)
