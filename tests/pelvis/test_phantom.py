import errno
import json

import numpy as np
import pytest
from commands import content
from scan_files import phantom_scans

from pelvis.check import check
from pelvis.phantom import make_volume, write_phantom
from pelvis.phantom.patient import Grid
from pelvis.phantom.volume import BLADDER, BONE, PROSTATE, RECTUM
from vqlib.errors import UserError

SLICES = 10
MILLILITRES = np.prod(Grid.SPACING) * Grid.DEPTH / SLICES / 1000


def test_weeks_are_alike_and_patients_differ():
    likeness = np.corrcoef([image.ravel() for image, _ in phantom_scans()])
    same = likeness[0, 3]
    assert 0.8 < same < 0.995  # another filling, another set-up, other noise
    assert likeness[[0, 0, 1], [1, 2, 2]].max() < same - 0.05


@pytest.mark.parametrize("scan", range(4))
def test_the_anatomy_is_plausible(scan):
    labels = phantom_scans()[scan][1]
    bladder, rectum, prostate = (  # slices, left–right and inferior–superior pixels
        np.argwhere(labels == label).mean(axis=0)
        for label in (BLADDER, RECTUM, PROSTATE)
    )
    assert bladder[2] > prostate[2] + 10  # the bladder sits on the prostate
    assert rectum[0] > prostate[0] + 1  # slices run to the back
    assert rectum[0] > bladder[0] + 1
    for organ in (bladder, rectum, prostate):
        assert abs(organ[1] - 127.5) < 12  # near the midline
    millilitres = np.bincount(labels.ravel(), minlength=6) * MILLILITRES
    assert 25 <= millilitres[PROSTATE] <= 80
    assert 80 <= millilitres[BLADDER] <= 450
    assert 40 <= millilitres[RECTUM] <= 150
    # a femur on either side: the bottom 37 mm hold shafts and a little ischium
    columns = (labels[:, :, :24] == BONE).sum(axis=(0, 2))
    right, left = columns[:73].sum(), columns[183:].sum()  # 92 mm from the midline
    assert min(right, left) > 150
    assert columns[118:138].sum() < min(right, left) / 3
    # the sacrum is at the back, above; the symphysis in front, below
    halves = np.split(labels[:, 108:148] == BONE, 2)
    front, back = (np.argwhere(half)[:, 2].mean() for half in halves)
    assert back > front + 15


def test_an_image_has_the_promised_signals():
    image, labels = phantom_scans()[0]
    bright = np.percentile(image, 99.5)
    assert 60 < bright < 450
    air, _, bone, bladder, _, prostate = (
        np.median(image[labels == label]) for label in range(6)
    )
    assert 0 < air < 0.08 * bright
    assert bladder > 1.4 * prostate
    assert bladder > bone > prostate
    cortex = np.percentile(image[labels == BONE], 10)
    assert cortex < 0.4 * bone  # a dark shell around bright marrow


def test_the_pictures_stay_what_they_are():
    """Whoever changes them on purpose raises `VERSION` in `pelvis.phantom.write`."""
    image, labels = make_volume(11, 1, 2)
    assert image[0, 100:103, 60] == pytest.approx([50.726, 50.349, 49.339], abs=0.01)
    counts = np.bincount(labels.ravel())
    assert counts == pytest.approx([11497, 50695, 2028, 6, 1310], abs=5)


HOW = {"patients": (1, 1, 1), "weeks": 2, "seed": 1, "slices": 1, "progress": False}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("phantom") / "one", **HOW, jobs=1)


def test_the_folder_is_laid_out_as_hipmri(written):
    scans = {"train/{}_004_week_0", "train/{}_004_week_1"}
    scans |= {"validate/{}_036_week_0", "test/{}_040_week_0"}
    names = {
        f"keras_slices_{kind}{scan.format(prefix)}_slice_0.nii.gz"
        for kind, prefix in (("", "case"), ("seg_", "seg"))
        for scan in scans
    }
    assert content(written).keys() == names | {"phantom.json"}
    settings = json.loads((written / "phantom.json").read_text())
    assert settings["seed"] == 1
    assert settings["patients"] == {"train": 1, "validate": 1, "test": 1}
    report = check(written)
    assert not report.faults
    assert report.table["train"]["axes"] == "LSP"


@pytest.mark.parametrize(
    ("fault", "raised"), [(KeyboardInterrupt, KeyboardInterrupt), (OSError, UserError)]
)
def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch, fault, raised):
    def stop(*_):
        raise fault(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pelvis.phantom.write._write_scan", stop)
    with pytest.raises(raised, match="No space left"):
        write_phantom(tmp_path / "half", **HOW, jobs=1)
    assert list(tmp_path.iterdir()) == []


def test_any_number_of_processes_writes_the_same(written, tmp_path):
    new = tmp_path / "new"
    assert content(write_phantom(new, **HOW, jobs=2)) == content(written)
    assert list(tmp_path.iterdir()) == [new]
