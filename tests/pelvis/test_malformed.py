"""Whatever a file holds: the right pixels or one clear line, and never more memory.

Each case of the corpus is read alone, opened within a data set, and audited within a
folder whose other files are sound. Random damage and random headers follow.
"""

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import malformed
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np
from malformed import PIXELS, gz, nifti
from slice_files import refusal

from vqlib import profiles
from vqlib.cli import main
from vqlib.data import SliceIndex, open_data, read_label, read_slice, scan_folder
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


def put(study: Path, ending: str, content: bytes, name: str = NAMES[1]) -> Path:
    """Replace one slice (or label map) by another file."""
    (study / name).unlink()
    path = (study / name).with_suffix("").with_suffix(ending)
    path.write_bytes(content)
    return path


def check(folder, *options):
    """Exit status and report of ``vqlib data check --json``, never a traceback."""
    result = CliRunner().invoke(
        main, ["data", "check", str(folder), "--json", *options]
    )
    assert result.exception is None or isinstance(result.exception, SystemExit)
    report = json.loads(result.stdout)
    assert report["ok"] == (not report["faults"]) == (result.exit_code == 0)
    if report["faults"]:
        assert result.stderr.startswith(f"error: {len(report['faults'])} fault")
    return result.exit_code, report


def opening(folder):
    return refusal(lambda: open_data(folder, profiles.get("smoke"), progress=False))


def only_fault(report, path) -> str:
    """What the one fault of a report says; it names the file and a remedy."""
    assert len(report["faults"]) == 1, report["faults"]
    fault = report["faults"][0]
    assert fault["file"] == str(path)
    assert fault["remedy"]
    assert "\n" not in fault["what"] + fault["remedy"]
    return f"{fault['what']}; {fault['remedy']}"


def sound(report) -> int:
    """How many slices were read."""
    splits = report["splits"].values()
    return sum(split["slices"] - split["unreadable"] for split in splits)


def test_the_corpus_is_large():
    assert len(malformed.REFUSED) + len(malformed.LISTED) + len(malformed.LABELS) > 100
    contents = [content for _, content, _ in malformed.REFUSED.values()]
    assert len({(c, e) for e, c, _ in malformed.REFUSED.values()}) == len(contents)


def test_a_sound_folder_has_no_fault(study):
    status, report = check(study)
    assert status == 0
    assert sound(report) == len(NAMES)
    assert len(open_data(study, profiles.get("smoke"), progress=False).train) == 2


@pytest.mark.parametrize("case", malformed.REFUSED)
def test_files_that_are_refused(case, study):
    ending, content, words = malformed.REFUSED[case]
    path = put(study, ending, content)
    status, report = check(study)
    assert status == 1
    read, opened, listed = (
        refusal(read_slice, path),
        opening(study),
        only_fault(report, path),
    )
    for line in (read, opened, listed):
        assert all(word in line for word in words), line
    assert str(path) in read
    assert str(path) in opened
    assert sound(report) == len(NAMES) - 1  # the others are read all the same
    assert report["splits"]["train"]["unreadable"] == 1


@pytest.mark.parametrize("case", malformed.RIGHT)
def test_files_that_are_odd_but_right(case, study):
    ending, content, pixels = malformed.RIGHT[case]
    path = put(study, ending, content)
    read = read_slice(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, pixels.astype(np.float32))
    assert check(study)[0] == 0
    open_data(study, profiles.get("smoke"), progress=False)


@pytest.mark.parametrize("case", malformed.LISTED)
def test_files_that_are_read_but_are_a_fault(case, study):
    fields, word = malformed.LISTED[case]
    path = put(study, ".nii", nifti(**fields))
    assert np.isfinite(read_slice(path)).all()
    status, report = check(study)
    assert status == 1
    faults = [f for f in report["faults"] if f["file"] == str(path)]
    assert word in faults[0]["what"]
    assert faults[0]["remedy"]
    assert sound(report) == len(NAMES)


@pytest.mark.parametrize("case", malformed.LABELS)
def test_label_maps_that_are_refused(case, study):
    content, word = malformed.LABELS[case]
    path = put(study, ".nii.gz", content, seg(NAMES[1]))
    assert word in opening(study)
    status, report = check(study)
    assert status == 1
    assert word in only_fault(report, path)
    assert sound(report) == len(NAMES)
    if "its image is" not in word:  # what only the pair can tell
        assert word in refusal(read_label, path)


def test_headers_and_bombs_take_no_memory(tmp_path):
    """A file of some kilobytes that stands for gigabytes is refused unread."""
    zeros = bytes(2**26)
    bombs = {
        "huge": malformed.REFUSED["huge"][1],
        "long tail": gz(nifti(tail=zeros), 1),
        "long extension": gz(nifti(gap=zeros), 1),
        "extension without end": gz(
            nifti(gap=b"\1\0\0\0" + bytes(28) + zeros, vox_offset=384), 1
        ),
    }
    del zeros
    for name, content in bombs.items():
        path = tmp_path / f"{name}.nii.gz"
        path.write_bytes(content)
        assert len(content) < 500_000
        tracemalloc.start()
        line = refusal(read_slice, path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6, (name, peak)  # twice the largest slice in float64
        assert "damaged" in line or "no NIfTI file" in line


# what a folder may hold, and what is said of it

FOLDERS = {}


def folder_case(*words, opens=False):
    """A way to spoil a folder: it returns the file at fault."""

    def add(function):
        FOLDERS[function.__name__.replace("_", " ")] = (function, words, opens)
        return function

    return add


@folder_case("is not named case_NNN_week_W_slice_S.nii.gz", "rename it")
def wrong_name(study):
    return shutil.copy(study / NAMES[1], study / TRAIN / "case_004_slice_1.nii.gz")


@folder_case("is not named seg_NNN", "rename it")
def image_name_among_labels(study):
    return shutil.copy(
        study / seg(NAMES[1]), study / SEG / "case_004_week_0_slice_1.nii"
    )


@folder_case("is not named", "rename it")
def digits_of_another_script(study):
    path = study / TRAIN / "case_٠٠٤_week_٠_slice_٧.nii.gz"
    return shutil.copy(study / NAMES[1], path)


@folder_case("is not named", "rename it")
def spaces_in_a_name(study):
    return shutil.copy(
        study / NAMES[1], study / TRAIN / "case_004_week_0_slice_1 (1).nii"
    )


@folder_case("is the same slice as", "remove one")
def same_slice_unpadded(study):
    return shutil.copy(study / NAMES[1], study / TRAIN / "case_4_week_0_slice_1.nii.gz")


@folder_case("is the same slice as", "remove one")
def same_slice_compressed_and_not(study):
    path = study / NAMES[1]
    path.with_suffix("").write_bytes(nifti())
    return path


@folder_case("has no label", "seg_004_week_0_slice_1.nii.gz")
def image_without_label(study):
    (study / seg(NAMES[1])).unlink()
    return study / NAMES[1]


@folder_case("has no image", "case_004_week_0_slice_1.nii.gz")
def label_without_image(study):
    (study / NAMES[1]).unlink()
    return study / seg(NAMES[1])


@folder_case("is missing", "put the slices of the test patients there")
def no_test_split(study):
    shutil.rmtree(study / "keras_slices_seg_test")
    shutil.rmtree(study / "keras_slices_test")
    return study / "keras_slices_test"


@folder_case("is missing", "put the slices of the test patients there")
def labels_without_their_images(study):
    shutil.rmtree(study / "keras_slices_test")
    return study / "keras_slices_test"


@folder_case("is empty", "put the slices of the test patients there")
def empty_test_split(study):
    shutil.rmtree(study / "keras_slices_seg_test")
    shutil.rmtree(study / "keras_slices_test")
    (study / "keras_slices_test").mkdir()
    return study / "keras_slices_test"


@folder_case("is a leak: patient 4 is also in keras_slices_train")
def patient_in_two_splits(study):
    for name in (NAMES[0], seg(NAMES[0])):
        shutil.move(study / name, study / name.replace("train", "test"))
    return study / NAMES[0].replace("train", "test")


@folder_case("is a folder, not a file", "remove it")
def folder_named_as_a_slice(study):
    path = study / TRAIN / "case_004_week_0_slice_9.nii.gz"
    path.mkdir()
    return path


@folder_case("is a link to", "where there is no file", "remove it")
def broken_link(study):
    path = study / TRAIN / "case_004_week_0_slice_9.nii.gz"
    path.symlink_to("gone.nii.gz")
    return path


@folder_case("is a link to", "where there is no file", "remove it")
def link_to_itself(study):
    path = study / TRAIN / "case_004_week_0_slice_9.nii.gz"
    path.symlink_to(path.name)
    return path


@folder_case("is a device or a pipe", "remove it")
def pipe(study):
    path = study / TRAIN / "case_004_week_0_slice_9.nii.gz"
    os.mkfifo(path)
    return path


@folder_case("is, with all of patient 4 week 0, without a positive pixel", opens=True)
def blank_volume(study):
    for name in NAMES[:2]:
        put(study, ".nii.gz", gz(nifti(-PIXELS)), name)
    return study / NAMES[0]


@pytest.mark.parametrize("case", FOLDERS)
def test_folders_with_a_fault(case, study):
    spoil, words, opens = FOLDERS[case]
    try:
        path = spoil(study)
    except (OSError, NotImplementedError, AttributeError):
        pytest.skip("this system has no such file")
    status, report = check(study)
    assert status == 1
    line = only_fault(report, path)
    assert all(word in line for word in words), line
    assert sound(report) >= 4
    if not opens:
        line = opening(study)
        assert path.name in line


def test_a_link_that_leads_round_in_a_circle(study):
    try:
        (study / TRAIN / "loop").symlink_to(study, target_is_directory=True)
        (study / "again").symlink_to(study, target_is_directory=True)
    except OSError:
        pytest.skip("this system has no links")
    status, report = check(study)
    assert status == 0
    assert sound(report) == len(NAMES)
    (study.parent / "round").symlink_to("round")
    status, report = check(study.parent / "round")
    assert status == 1
    assert "does not exist" in report["faults"][0]["what"]


@pytest.mark.parametrize("name", ["zwei Wörter", "研究", "a;b, c", "-rf", "%s{}"])
def test_spaces_and_other_scripts_in_paths(study, name):
    folder = study.rename(study.parent / name)
    assert check(folder)[0] == 0
    path = put(folder, ".nii.gz", b"")
    status, report = check(folder)
    assert status == 1
    assert "it is empty" in only_fault(report, path)


def test_what_is_no_file_is_not_read(tmp_path):
    """Above all not a pipe, which would wait for ever."""
    (tmp_path / "a.nii").mkdir()
    assert "is a folder, not a file" in refusal(read_slice, tmp_path / "a.nii")
    assert "does not exist" in refusal(read_label, tmp_path / "b.nii.gz")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "c.nii.gz")
        assert "a pipe, not a file" in refusal(read_slice, tmp_path / "c.nii.gz")


def test_names_that_cannot_be_printed(study):
    """A line end in a name, or bytes that are no text, must not break the one line."""
    names = ["case_004\nweek.nii.gz", os.fsdecode(b"case_\xff.nii.gz")]
    try:
        for name in names:
            (study / TRAIN / name).write_bytes(b"x")
    except (OSError, UnicodeError):
        pytest.skip("this system has no such names")
    status, report = check(study)
    assert status == 1
    assert len(report["faults"]) == 2
    result = CliRunner().invoke(main, ["data", "check", str(study)])
    faults = [f for f in result.stdout.splitlines() if f.startswith("fault: ")]
    assert len(faults) == 2
    assert "case_004\\nweek.nii.gz is not named" in faults[0]
    assert "\\udcff" in faults[1]
    assert "\n" not in opening(study)


def test_files_that_may_not_be_read(study, monkeypatch):
    """As root every file may be read, so the refusal is played."""
    target = study / NAMES[1]

    def deny(path, *args, **kwargs):
        if str(path) == str(target):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    real = open
    monkeypatch.setattr("builtins.open", deny)
    status, report = check(study)
    assert status == 1
    assert "may not be read; change its permissions" in only_fault(report, target)
    assert sound(report) == len(NAMES) - 1


def test_a_disk_that_fails_while_reading(study, monkeypatch):
    target = study / NAMES[1]

    def fail(path, *args, **kwargs):
        if str(path) == str(target):
            raise OSError(5, "Input/output error", str(path))
        return real(path, *args, **kwargs)

    real = open
    monkeypatch.setattr("builtins.open", fail)
    status, report = check(study)
    assert status == 1
    assert "Input/output error" in only_fault(report, target)


def test_a_folder_that_may_not_be_listed(study, monkeypatch):
    def deny(path):
        if Path(path).name == "keras_slices_test":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    real = os.scandir
    monkeypatch.setattr("os.scandir", deny)
    status, report = check(study)
    assert status == 1
    line = only_fault(report, study / "keras_slices_test")
    assert line == "may not be read (Permission denied); change its permissions"
    assert sound(report) == len(NAMES) - 2
    assert line in opening(study)


def test_nothing_is_written_into_a_folder(study):
    """So a folder that is read-only is no case of its own."""
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    check(study)
    open_data(study, profiles.get("smoke"), progress=False)
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


# random damage


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("random") / "slice.nii.gz"


def right_or_refused(path, content, pixels) -> None:
    path.write_bytes(content)
    try:
        read = read_slice(path)
    except UserError as error:
        line = str(error)
        assert line.startswith(f"{path} ") and "; " in line and "\n" not in line  # noqa: PT018
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
    "intent_code": st.integers(-(2**15), 2**15 - 1),
    "glmin": st.integers(-(2**31), 2**31 - 1),
    "descrip": st.binary(max_size=80),
}


@SETTINGS
@given(fields=st.fixed_dictionaries({}, optional=FIELDS), order=st.sampled_from("<>"))
def test_any_header_gives_the_right_pixels_or_a_refusal(scratch, fields, order):
    right_or_refused(scratch, gz(nifti(order=order, **fields), 1), PIXELS)


@SETTINGS
@given(content=st.binary(max_size=600), packed=st.booleans())
def test_any_bytes_are_refused(scratch, content, packed):
    scratch.write_bytes(gz(content, 1) if packed else content)
    assert str(scratch) in refusal(read_slice, scratch)


@settings(SETTINGS, max_examples=80)
@given(
    pixels=st_np.arrays(
        st.sampled_from(
            [np.dtype(t) for t in ("u1", "i1", "i2", "u2", "i4", "f4", "f8")]
        ),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
    ),
    order=st.sampled_from("<>"),
    version=st.sampled_from([1, 2]),
    gap=st.integers(4, 99),
)
def test_any_pixels_come_back(scratch, pixels, order, version, gap):
    with np.errstate(over="ignore"):
        wanted = pixels.astype(np.float32)
    scratch.write_bytes(gz(nifti(pixels, order, version, bytes(gap)), 1))
    if np.isfinite(wanted).all():
        np.testing.assert_array_equal(read_slice(scratch), wanted)
    else:
        assert "NaN or infinite" in refusal(read_slice, scratch)


@settings(SETTINGS, max_examples=50)
@given(
    names=st.lists(
        st.from_regex(
            r"(case|seg|Case)_[0-9٤]{0,3}_week_?[0-9]_slice_-?[0-9]{1,2}\.nii(\.gz)?",
            fullmatch=True,
        )
        | st.text(st.characters(exclude_characters="/\0\\"), min_size=1, max_size=40),
        max_size=5,
    )
)
def test_any_names_give_a_record_a_fault_or_nothing(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    train = folder / TRAIN
    train.mkdir()
    for name in names:
        try:
            (train / name).touch()
        except (OSError, ValueError):
            continue
    records, faults = scan_folder(folder)
    told = {record.path.name for record in records} | {f.file.name for f in faults}
    for name in os.listdir(train):
        nifti_like = name.lower().endswith((".nii", ".nii.gz"))
        assert (name in told) == (nifti_like and not name.startswith("."))
    assert all("\n" not in str(fault) for fault in faults)
    for record in records:
        assert record.path.name.isascii()
    if faults:
        refusal(SliceIndex.from_folder, folder)
