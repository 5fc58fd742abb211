"""What the report on a folder holds: its figures, its faults and its notes."""

import json
import re
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from malformed import nifti
from slice_files import write_nifti, write_slice

from pelvis.check import check
from pelvis.phantom import make_volume
from vqlib.data.layout import SPLITS

LABEL = np.zeros((256, 128), np.uint8)
LABEL[20:200, 10:100] = 1
LABEL[100:110, 40:50] = 5
NOISE = np.random.default_rng(0).normal(100, 90, (256, 144)).astype(np.float32)
STEM = "case_{:03d}_week_{}_slice_{}.nii.gz".format
ODD = STEM(40, 2, 0)


def labels(study, change=lambda path: None):
    """Label maps for all, of which one is changed."""
    for path in study.glob("*/*.nii.gz"):
        split = path.parent.name.replace("slices_", "slices_seg_")
        write_nifti(study / split / path.name.replace("case", "seg"), LABEL)
    change(study / "keras_slices_seg_test" / ODD.replace("case", "seg"))


@pytest.fixture
def study(slices):
    labels(slices)
    return slices


def test_figures_of_a_split(study):
    assert check(study).splits["train"] == {
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


def test_the_report_as_json_and_as_text(study):
    (study / "keras_slices_test" / ODD).write_bytes(b"x")
    write_slice(study, "train", 12, 0, 4, np.ones((256, 144), np.float32), LABEL)
    report = check(study)
    parsed = json.loads(json.dumps(report.as_json()))
    assert list(parsed) == ["folder", "ok", "splits", "faults", "notes"]
    assert parsed["folder"] == str(study)
    assert parsed["ok"] is False
    assert parsed["splits"] == report.splits
    assert parsed["splits"]["test"]["intensity"] == [None, None]
    assert {*parsed["faults"][0]} == {"file", "what", "remedy"}
    text = report.as_text().splitlines()
    assert text[0].split() == ["train", "validate", "test"]
    rows = [re.split("  +", line) for line in text]
    assert ["shapes", "256x128 (13), 256x144 (1)", "256x128", "none"] in rows
    assert ["weeks", "1 … 2", "1", "1"] in rows
    assert any(line.startswith("fault: ") and "gzip" in line for line in text)
    assert any(line.startswith("note: types of image files") for line in text)


def test_every_fault_is_listed(study):
    train = study / "keras_slices_train"
    (train / "odd.nii.gz").write_bytes(b"")
    (train / STEM(4, 0, 2)).write_bytes(b"")
    wide = np.pad(LABEL, ((0, 0), (8, 8)))
    write_slice(study, "train", 4, 0, 0, np.eye(256, 144, dtype=np.int16), wide)
    write_slice(study, "train", 4, 1, 0, np.full((256, 128), 3, np.int16), LABEL[:9])
    write_slice(study, "test", 12, 1, 0, label=LABEL * 60)
    pixels = np.asarray(nib.load(train / STEM(4, 0, 3)).dataobj)
    write_slice(study, "test", 41, 0, 0, pixels * 2, LABEL)
    wanted = [
        ("odd.nii.gz", "is not named"),
        (STEM(12, 1, 0), "patient 12 is also in"),
        (STEM(4, 0, 2), "empty"),
        (STEM(4, 0, 0), "is 256x144, but its volume is 256x128"),
        (STEM(4, 1, 0), "constant"),
        ("seg_004_week_1_slice_0.nii.gz", "is 9x128, but its image is 256x128"),
        ("seg_012_week_1_slice_0.nii.gz", "has the value 60"),
        (STEM(41, 0, 0), f"the same picture as keras_slices_train/{STEM(4, 0, 3)}"),
    ]
    faults = [(fault.file.name, fault.what) for fault in check(study).faults]
    for name, what in wanted:
        assert any(name == file and what in said for file, said in faults), what
    assert len({file for file, _ in faults}) == len(wanted)


@pytest.fixture(scope="module")
def scan():
    return make_volume(4, 0, 6)[0].astype(np.int16)


@pytest.mark.parametrize("shape", [(256, 144), (256, 256), (128, 256)])
def test_what_the_crop_cuts_off(tmp_path, scan, shape):
    """Little is a note, of a folder of transposed slices a fault."""
    if shape == (128, 256):
        scan = scan.transpose(0, 2, 1)
    scan = np.pad(scan, ((0, 0), (0, 0), ((shape[1] - scan.shape[2]) // 2,) * 2))
    for case, split in ((4, "train"), (36, "validate"), (40, "test")):
        for number, pixels in enumerate(scan):
            write_slice(tmp_path, split, case, 0, number, pixels)
    report = check(tmp_path)
    faults = [fault for fault in report.faults if "crop" in fault.what]
    notes = [note for note in report.notes if "cropped or padded" in note]
    assert len(notes) == 1
    if shape == (128, 256):
        assert [f.file.name for f in faults] == [f"keras_slices_{s}" for s in SPLITS]
        assert re.search(r"128x256 \(6\), and the crop .* 3\d % of", faults[0].what)
        assert "transpose" in faults[0].remedy
    else:
        assert not faults


def test_a_folder_as_hipmri_has_nothing_to_note(tmp_path):
    affine = np.array([[-1.68, 0, 0, 0], [0, 0, 3, 0], [0, 1.56, 0, 0], [0, 0, 0, 1]])
    for case, split in ((4, "train"), (36, "validate"), (40, "test")):
        for number in range(3):
            path = write_slice(tmp_path, split, case, 0, number)
            pixels = np.asarray(nib.load(path).dataobj)
            nib.save(nib.Nifti1Image(pixels, affine), path)
    report = check(tmp_path)
    assert report.faults == report.notes == []


def test_notes(slices):
    """None of them is a fault."""
    test, train = slices / "keras_slices_test", slices / "keras_slices_train"
    write_slice(slices, "test", 40, 2, 999_999_999)  # takes no longer, nor memory
    for number in range(1, 4):
        write_slice(slices, "validate", 36, 0, number)
        write_slice(slices, "test", 40, 2, number)
    write_slice(slices, "test", 40, 3, 0, NOISE)
    write_slice(slices, "test", 40, 2, 4, np.zeros((256, 128), np.int16))
    pixels = np.random.default_rng(0).integers(1, 9, (256, 128)).astype(np.int16)
    (test / "case_040_week_2_slice_6.nii").write_bytes(nifti(pixels, pixdim=(1, 2.0)))
    (train / STEM(12, 0, 0)).write_bytes((train / STEM(4, 0, 3)).read_bytes())
    (slices / "keras_slices_val").mkdir()
    for name in ("a.txt", "b.png", ".DS_Store"):
        (test / name).touch()
    report = check(slices)
    assert report.faults == []
    for words in (
        "volumes with gaps in the numbering of their slices: 2 "
        "(patient 12 week 0 lacks 1, …)",
        "volumes with less than half as many slices as most: 2 (patient 4 week 1, …)",
        "slices of 256x144 (HipMRI has one such scan), cropped or padded to 256x128 "
        f"about the centre: 1 ({STEM(40, 3, 0)})",
        "types of image files: int16 (25), float32 (1)",
        f"blank slices: 1 ({STEM(40, 2, 4)})",
        "below 0",
        "but 2x1.56: 1 (case_040_week_2_slice_6.nii)",
        "axes point to RAS (25), LSP (1);",
        f"slices that repeat another one of their split: 1 ({STEM(12, 0, 0)})",
        "files in keras_slices_test that are not read: 2 (a.txt, …)",
        "keras_slices_val is not read; the splits are train, validate, test",
    ):
        assert any(words in note for note in report.notes), report.notes


LEFT = nib.Nifti1Image(LABEL, np.diag([-1.68, 1.56, 1, 1]))
# (what becomes of a label map, what is noted)
NOTES_ON_LABELS = [
    (lambda path: None, "labels that occur nowhere: bone, bladder, rectum"),
    (lambda path: write_nifti(path, LABEL * 0), f"whose label map is: 1 ({ODD})"),
    (lambda path: nib.save(LEFT, path), f"not their image's: 1 ({ODD})"),
    (
        lambda path: shutil.rmtree(path.parent),
        "labels in train, validate, none",
    ),
]


@pytest.mark.parametrize(("change", "words"), NOTES_ON_LABELS)
def test_notes_on_labels(slices, change, words):
    labels(slices, change)
    report = check(slices)
    assert report.faults == []
    assert any(words in note for note in report.notes), report.notes


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
        ("data phantom --help", []),
        ("data convert --help", []),
        ("data fetch --help", []),
        ("data check .", ["numpy", "nibabel"]),
    ],
)
def test_commands_load_only_what_they_need(slices, command, loaded):
    """So they start in less than half a second."""
    run = [sys.executable, "-c", LOADED, *command.split()]
    done = subprocess.run(run, capture_output=True, text=True, cwd=slices)
    assert done.stdout.splitlines()[-1] == str(loaded), done.stderr
