import re
import shutil

import nibabel as nib
import numpy as np
import pytest
from commands import python
from scan_files import phantom_scans
from scipy.ndimage import gaussian_filter
from slice_files import AFFINE, write_nifti, write_slice

from pelvis.check import LIKE, check, sketch
from vqlib.data.layout import SPLITS

WIDER, MIRRORED = AFFINE + np.diag([0.32, 0, 0, 0]), AFFINE * [-1, 1, 1, 1]
LABEL = np.zeros((256, 128), np.uint8)
LABEL[20:200, 10:100] = 1
LABEL[100:110, 40:50] = 5
STEM = "case_{:03d}_week_{}_slice_{}.nii.gz".format
ODD = STEM(40, 2, 0)


def labels(study):
    for path in study.glob("*/*.nii.gz"):
        split = path.parent.name.replace("slices_", "slices_seg_")
        write_nifti(study / split / path.name.replace("case", "seg"), LABEL)


@pytest.fixture
def study(slices):
    labels(slices)
    return slices


def test_the_table_of_the_splits(study):
    (study / "keras_slices_test" / ODD).write_bytes(b"x")
    write_slice(study, "train", 12, 0, 4, np.ones((256, 144), np.float32), LABEL)
    report = check(study)
    assert report.table["train"] == {
        "slices": "14",
        "patients": "2",
        "scans": "3",
        "label maps": "14",
        "grey values": "1 … 299",
        "size": "256x128 (13), 256x144 (1)",
        "pixel, mm": "1.68x1.56",
        "axes": "RAS",
        "type": "int16 (13), float32 (1)",
        "labels": "0 1 5",
    }
    text = str(report).splitlines()
    assert text[0].split() == ["train", "validate", "test"]
    rows = [re.split("  +", line) for line in text]
    assert ["size", "256x128 (13), 256x144 (1)", "256x128", "none"] in rows
    assert "fault: " in str(report)
    assert "note: slices that are cropped" in str(report)


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


@pytest.fixture
def scans():
    """The middle slices of three patients' scans."""
    return [images[2:8].astype(np.int16) for images, _ in phantom_scans()[:3]]


def write_scans(folder, scans):
    for case, split, scan in zip((4, 36, 40), SPLITS, scans, strict=True):
        for number, pixels in enumerate(scan):
            write_slice(folder, split, case, 0, number, pixels)


@pytest.mark.parametrize("shape", [(256, 144), (256, 256), (128, 256)])
def test_what_the_crop_cuts_off(tmp_path, scans, shape):
    """Little is a note, of a folder of transposed slices a fault."""
    lying = shape == (128, 256)
    margin = (0, 0), (0, 0), ((shape[1] - 128) // 2,) * 2
    write_scans(
        tmp_path, [s.transpose(0, 2, 1) if lying else np.pad(s, margin) for s in scans]
    )
    report = check(tmp_path)
    assert any("cropped or padded" in note for note in report.notes)
    faults = [fault.file.name for fault in report.faults]
    assert faults == ([f"keras_slices_{s}" for s in SPLITS] if lying else [])
    for fault in report.faults:
        assert re.search(r"128x256 \(6\), and the crop .* \d\d % of", fault.what)


def noisy(pixels):
    noise = np.random.default_rng(9).normal(0, 0.05, pixels.shape)
    return np.abs(pixels + noise * np.percentile(pixels, 99.5)).astype(np.float32)


CHANGES = {
    "the same": lambda p: p,
    "rescaled": lambda p: np.rint(p * 0.37).astype(np.int16),
    "gamma": lambda p: p.astype(np.float32) ** 0.8,
    "noise": noisy,
    "blurred": lambda p: gaussian_filter(p.astype(np.float32), 0.7),
    "coil's shading": lambda p: p * np.linspace(0.7, 1.3, 256)[:, None],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_alike_and_another_patient_is_not(scans, change):
    for mine, *others in zip(*scans, strict=True):
        copy = sketch(CHANGES[change](mine))
        assert copy @ sketch(mine) > LIKE
        assert all(copy @ sketch(other) < LIKE - 0.1 for other in others)
    assert not sketch(np.ones((256, 128))).any()


def test_copies_in_later_splits_are_found_and_only_they(tmp_path, scans):
    first, second, _ = scans
    write_scans(tmp_path, scans)
    write_slice(tmp_path, "validate", 37, 0, 0, CHANGES["noise"](first[0]))
    write_slice(tmp_path, "test", 41, 0, 0, CHANGES["rescaled"](second[1]))
    write_slice(tmp_path, "train", 6, 0, 0, first[2])  # in one split it is no leak
    copies = [f.file.name for f in check(tmp_path).faults if "same picture" in f.what]
    assert copies == [STEM(37, 0, 0), STEM(41, 0, 0)]


def put(number, pixels, affine=AFFINE):
    return lambda study: write_slice(study, "test", 40, 2, number, pixels, None, affine)


def on_a_label(*content):
    """Label maps for all, of which one is another."""

    def add(study):
        labels(study)
        seg = ODD.replace("case", "seg")
        write_nifti(study / "keras_slices_seg_test" / seg, *content)

    return add


def without_labels(study):
    labels(study)
    shutil.rmtree(study / "keras_slices_seg_test")


NOISE = np.random.default_rng(0).integers(1, 300, (256, 144)).astype(np.int16)
# (what becomes of a folder, what is noted)
NOTES = [
    # takes no longer, nor memory
    (put(999_999_999, NOISE[:, :128]), f"of their slices: 2 ({STEM(12, 0, 3)}, …)"),
    (put(0, NOISE), "cropped or padded to 256x128: 1"),
    (put(1, 0 * NOISE[:, :128]), f"blank slices: 1 ({STEM(40, 2, 1)})"),
    (put(0, NOISE[:, :128], WIDER), "not of 1.68x1.56 mm, as figures assume: 1"),
    (labels, "slices that are not shown upright with left on the right"),
    (
        lambda study: (study / "keras_slices_val").mkdir(),
        "keras_slices_val is not read; the splits are train, validate, test",
    ),
    (labels, "labels that occur nowhere: bone, bladder, rectum"),
    (on_a_label(LABEL * 0), f"blank label maps: 1 ({ODD})"),
    (on_a_label(LABEL, MIRRORED), f"not their image's: 1 ({ODD})"),
    (without_labels, "no labels in test"),
]


@pytest.mark.parametrize(("change", "words"), NOTES)
def test_notes(slices, change, words):
    """None of them is a fault."""
    change(slices)
    report = check(slices)
    assert report.faults == []
    assert any(words in note for note in report.notes), report.notes


LOADED = """
import sys
import vqlib
slow = "numpy", "nibabel", "pandas", "pydicom", "scipy.ndimage", "torch"
print([name for name in slow if name in sys.modules])
from vqlib.cli import main
for command in ("phantom --help", "convert --help", "fetch --help", "check ."):
    main(["data", *command.split()], standalone_mode=False)
    print([name for name in slow if name in sys.modules])
import pelvis.convert, pelvis.fetch, pelvis.phantom
from vqlib.data import SliceIndex, cache
cache.load_slices(SliceIndex.from_folder("."), (64, 32), progress=False)
print(["torch" in sys.modules])
"""


def test_commands_load_only_what_they_need(slices, monkeypatch):
    """So they start in less than half a second; and processes that draw, convert or
    decode slices stay small."""
    monkeypatch.setenv("VQLIB_CACHE", "off")
    lines = python("-c", LOADED, cwd=slices).splitlines()
    loaded = [line for line in lines if line.startswith("[")]
    assert loaded == ["[]"] * 4 + ["['numpy', 'nibabel']", "[False]"]
