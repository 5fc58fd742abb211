"""What the report on a folder holds: its figures, its faults and its notes."""

import json
import re
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from malformed import gz, nifti
from slice_files import write_nifti, write_slice

from pelvis.check import check
from pelvis.phantom import make_volume
from pelvis.report import Report
from vqlib.data.layout import SPLITS

LABEL = np.zeros((256, 128), np.uint8)
LABEL[20:200, 10:100] = 1
LABEL[100:110, 40:50] = 5


@pytest.fixture
def study(slices):
    """The folder of `conftest`, with labels."""
    for path in slices.glob("*/*.nii.gz"):
        name = path.name.replace("case", "seg")
        split = path.parent.name.replace("slices_", "slices_seg_")
        write_nifti(slices / split / name, LABEL)
    return slices


def notes(folder, word):
    return [note for note in check(folder).notes if word in note]


def test_figures_of_a_split(study):
    train = check(study).splits["train"]
    assert train == {
        "slices": 13,
        "unreadable": 0,
        "patients": 2,
        "volumes": 3,
        "labels": 13,
        "weeks": {"4": [0, 1], "12": [0]},
        "slices_per_volume": [1, 11],
        "intensity": [1.0, 299.0],
        "shapes": {"256x128": 13},
        "dtypes": {"int16": 13},
        "spacings_mm": {"1.68x1.56": 13},
        "orientations": {"RAS": 13},
        "label_dtypes": {"uint8": 13},
        "label_values": {"0": 13, "1": 13, "5": 13},
    }


def test_the_report_goes_through_json(study):
    (study / "keras_slices_test" / "case_040_week_2_slice_0.nii.gz").write_bytes(b"x")
    report = check(study)
    parsed = json.loads(json.dumps(report.as_json()))
    assert list(parsed) == ["folder", "ok", "splits", "faults", "notes"]
    assert parsed["folder"] == str(study)
    assert parsed["ok"] is False
    assert parsed["splits"] == report.splits
    assert parsed["splits"]["test"]["intensity"] == [None, None]
    assert [set(fault) for fault in parsed["faults"]] == [{"file", "what", "remedy"}]


def test_the_report_as_text(study):
    (study / "keras_slices_test" / "case_040_week_2_slice_0.nii.gz").write_bytes(b"x")
    write_slice(study, "train", 12, 0, 4, np.ones((256, 144), np.float32), LABEL)
    text = check(study).as_text().splitlines()
    assert text[0].split() == ["train", "validate", "test"]
    rows = [re.split("  +", line) for line in text]
    assert ["shapes", "256x128 (13), 256x144 (1)", "256x128", "none"] in rows
    assert ["weeks", "1 … 2", "1", "1"] in rows
    assert any(line.startswith("fault: ") and "gzip" in line for line in text)
    assert any(line.startswith("note: types of image files") for line in text)


def test_a_folder_that_is_not_there(tmp_path):
    report = check(tmp_path / "none")
    assert isinstance(report, Report)
    assert report.splits == {}
    assert report.notes == []
    assert report.as_text() == f"fault: {report.faults[0]}"
    assert "does not exist" in report.faults[0].what


def test_copies_across_splits_are_faults(slices):
    source = slices / "keras_slices_train" / "case_004_week_0_slice_3.nii.gz"
    pixels = np.asarray(nib.load(source).dataobj)
    path = write_slice(slices, "test", 41, 0, 0, pixels * 2)
    faults = check(slices).faults
    assert [fault.file for fault in faults] == [path]
    assert f"the same picture as keras_slices_train/{source.name}" in faults[0].what


def test_shapes_of_one_volume_and_the_odd_one_out(slices):
    """The one that differs from most is named, even where it comes first."""
    path = write_slice(slices, "train", 4, 0, 0, np.eye(256, 144, dtype=np.int16))
    faults = check(slices).faults
    assert [fault.file for fault in faults] == [path]
    assert "is 256x144, but its volume is 256x128" in faults[0].what


@pytest.fixture(scope="module")
def scan():
    return make_volume(4, 0, 10)[0].astype(np.int16)


def put(folder, scan):
    """One scan of a patient in each split."""
    for case, split in ((4, "train"), (36, "validate"), (40, "test")):
        for number, pixels in enumerate(scan):
            write_slice(folder, split, case, 0, number, pixels)


def test_a_folder_of_transposed_slices_is_a_fault(tmp_path, scan):
    put(tmp_path, scan.transpose(0, 2, 1))
    faults = [f for f in check(tmp_path).faults if "crop" in f.what]
    assert [f.file.name for f in faults] == [f"keras_slices_{s}" for s in SPLITS]
    assert re.search(r"128x256 \(10\), and the crop .* 3\d % of", faults[0].what)
    assert "transpose" in faults[0].remedy


@pytest.mark.parametrize(
    "margins", [((0, 0), (8, 8)), ((0, 0), (64, 64)), ((9, 9),) * 2]
)
def test_a_crop_that_cuts_off_little_is_a_note(tmp_path, scan, margins):
    put(tmp_path, np.pad(scan, ((0, 0), *margins)))
    assert not [f for f in check(tmp_path).faults if "crop" in f.what]
    assert len(notes(tmp_path, "cropped or padded")) == 1


def test_every_fault_is_listed(study):
    train = study / "keras_slices_train"
    (train / "odd.nii.gz").write_bytes(b"")
    (train / "case_004_week_0_slice_2.nii.gz").write_bytes(b"")
    (train / "case_004_week_0_slice_5.nii.gz").write_bytes(gz(nifti())[:50])
    write_slice(study, "train", 4, 1, 0, np.full((256, 128), 3, np.int16), LABEL[:9])
    write_slice(study, "test", 12, 1, 0, label=LABEL * 60)
    found = [(fault.file.name, fault.what) for fault in check(study).faults]
    for name, what in (
        ("odd.nii.gz", "is not named"),
        ("case_012_week_1_slice_0.nii.gz", "patient 12 is also in"),
        ("case_004_week_0_slice_2.nii.gz", "empty"),
        ("case_004_week_0_slice_5.nii.gz", "truncated"),
        ("case_004_week_1_slice_0.nii.gz", "constant"),
        ("seg_004_week_1_slice_0.nii.gz", "is 9x128, but its image is 256x128"),
        ("seg_012_week_1_slice_0.nii.gz", "has the value 60"),
    ):
        found = [f for f in found if not (f[0] == name and what in f[1])]
    assert found == []


def test_a_folder_as_hipmri_has_nothing_to_note(tmp_path):
    affine = np.array([[-1.68, 0, 0, 0], [0, 0, 3, 0], [0, 1.56, 0, 0], [0, 0, 0, 1]])
    rng = np.random.default_rng(0)
    for case, split in ((4, "train"), (36, "validate"), (40, "test")):
        for number in range(3):
            pixels = rng.integers(0, 300, (256, 128)).astype(np.int16)
            name = f"case_{case:03d}_week_0_slice_{number}.nii.gz"
            path = tmp_path / f"keras_slices_{split}" / name
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(pixels, affine), path)
    report = check(tmp_path)
    assert report.faults == []
    assert report.notes == []


def test_notes_on_volumes(slices):
    write_slice(slices, "test", 40, 2, 999_999_999)  # takes no longer, nor memory
    assert notes(slices, "gaps") == [
        "volumes with gaps in the numbering of their slices: 2 "
        "(patient 12 week 0 lacks 0, …)"
    ]
    (slices / "keras_slices_test" / "case_040_week_2_slice_999999999.nii.gz").unlink()
    assert notes(slices, "gaps") == [
        "volumes with gaps in the numbering of their slices: 1 "
        "(patient 12 week 0 lacks 0)"
    ]
    for number in range(4):
        write_slice(slices, "validate", 36, 0, number)
        write_slice(slices, "test", 40, 2, number)
    assert notes(slices, "half as many") == [
        "volumes with less than half as many slices as most: 2 (patient 4 week 1, …)"
    ]


def test_notes_on_sizes_types_and_grey_values(slices):
    pixels = np.random.default_rng(0).normal(100, 90, (256, 144)).astype(np.float32)
    write_slice(slices, "test", 40, 3, 0, pixels)
    write_slice(slices, "test", 40, 2, 1, np.zeros((256, 128), np.int16))
    assert notes(slices, "256x144") == [
        "slices of 256x144 (HipMRI has one such scan), cropped or padded to 256x128 "
        "about the centre: 1 (case_040_week_3_slice_0.nii.gz)"
    ]
    assert notes(slices, "types") == ["types of image files: int16 (16), float32 (1)"]
    assert notes(slices, "blank") == [
        "blank slices: 1 (case_040_week_2_slice_1.nii.gz)"
    ]
    assert len(notes(slices, "below 0")) == 1
    assert check(slices).faults == []


def test_notes_on_headers(slices):
    folder = slices / "keras_slices_test"
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 9, (256, 128)).astype(np.int16)
    content = nifti(pixels, pixdim=(1, 2.0))
    (folder / "case_040_week_2_slice_6.nii").write_bytes(content)
    assert "but 2x1.56: 1 (case_040_week_2_slice_6.nii)" in notes(slices, "mm as")[0]
    assert notes(slices, "axes")[0].startswith("axes point to RAS (15), LSP (1);")
    assert check(slices).faults == []


def test_notes_on_labels(study):
    assert notes(study, "labels") == [
        "labels that occur nowhere: bone, bladder, rectum"
    ]
    write_slice(study, "test", 40, 2, 0, label=LABEL * 0)
    path = study / "keras_slices_seg_test" / "seg_040_week_2_slice_0.nii.gz"
    assert "whose label map is: 1 (case_040_week_2" in notes(study, "not blank")[0]
    nib.save(nib.Nifti1Image(LABEL, np.diag([-1.68, 1.56, 1, 1])), path)
    assert "not their image's: 1 (case_040_week_2" in notes(study, "affine is")[0]
    path.unlink()
    path.parent.rmdir()
    assert "labels in train, validate, none in test" in notes(study, "labels")
    assert check(study).faults == []


def test_a_slice_twice_in_one_split_is_a_note(slices):
    source = slices / "keras_slices_train" / "case_004_week_0_slice_3.nii.gz"
    target = source.with_name("case_012_week_0_slice_0.nii.gz")
    target.write_bytes(source.read_bytes())
    assert notes(slices, "repeat") == [
        f"slices that repeat another one of their split: 1 ({target.name})"
    ]
    assert check(slices).faults == []


def test_notes_on_what_is_not_read(slices):
    (slices / "keras_slices_val").mkdir()
    for name in ("a.txt", "b.png", ".DS_Store"):
        (slices / "keras_slices_test" / name).touch()
    assert notes(slices, "not read") == [
        "files in keras_slices_test that are not read: 2 (a.txt, …)",
        "keras_slices_val is not read; the splits are train, validate, test",
    ]


LOADED = """
import sys
from vqlib.cli import main
main(sys.argv[1:], standalone_mode=False)
slow = "numpy", "nibabel", "pandas", "pydicom", "scipy.ndimage", "torch"
print([name for name in slow if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("command", "loaded"),
    [
        (["data", "--help"], []),
        (["data", "phantom", "--help"], []),
        (["data", "convert", "--help"], []),
        (["data", "fetch", "--help"], []),
        (["data", "check", "."], ["numpy", "nibabel"]),
    ],
    ids=" ".join,
)
def test_commands_load_only_what_they_need(slices, command, loaded):
    """So they start in less than half a second."""
    run = [sys.executable, "-c", LOADED, *command]
    done = subprocess.run(run, capture_output=True, text=True, cwd=slices)
    assert done.stdout.splitlines()[-1] == str(loaded), done.stderr
