"""The phantom: determinism, likeness of weeks, anatomy, files."""

import hashlib
import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock

from pelvis.phantom import make_volume, shapes, write_phantom
from pelvis.phantom.patient import Grid
from pelvis.phantom.shapes import Points
from pelvis.phantom.tissue import scan
from pelvis.phantom.volume import BLADDER, BONE, PROSTATE, RECTUM
from vqlib.errors import UserError

SLICES = 20
MILLILITRES = np.prod(Grid.SPACING) * Grid.DEPTH / SLICES / 1000


@pytest.fixture(scope="module")
def scans():
    """Three men in week 0, the first also in week 1."""
    men = [make_volume(seed, 0, SLICES) for seed in (11, 12, 13)]
    return [*men, make_volume(11, 1, SLICES)]


def centre(labels: np.ndarray, label: int) -> np.ndarray:
    """Centre of a label in slices, left–right and inferior–superior pixels."""
    return np.argwhere(labels == label).mean(axis=0)


def test_a_volume_has_the_promised_form(scans):
    image, labels = scans[0]
    assert image.shape == labels.shape == (SLICES, 256, 128)
    assert image.dtype == np.float32
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == set(range(6))
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert 60 < np.percentile(image, 99.5) < 450


def test_weeks_are_alike_and_patients_differ(scans):
    def likeness(a, b):
        return np.corrcoef(scans[a][0].ravel(), scans[b][0].ravel())[0, 1]

    same = likeness(0, 3)
    assert same > 0.8
    assert same < 0.995  # another filling, another set-up, other noise
    assert max(likeness(0, 1), likeness(0, 2), likeness(1, 2)) < same - 0.05


@pytest.mark.parametrize("scan", range(4))
def test_the_anatomy_is_plausible(scans, scan):
    labels = scans[scan][1]
    bladder, rectum, prostate = (
        centre(labels, label) for label in (BLADDER, RECTUM, PROSTATE)
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
    assert min(right, left) > 300
    assert columns[118:138].sum() < min(right, left) / 3
    # the sacrum is at the back, above; the symphysis in front, below
    halves = np.split(labels[:, 108:148] == BONE, 2)
    front, back = (np.argwhere(half)[:, 2].mean() for half in halves)
    assert back > front + 15


def test_tissues_have_their_signals(scans):
    image, labels = scans[0]
    air = image[labels == 0]
    assert 0 < np.median(air) < 0.08 * np.percentile(image, 99.5)
    bladder, bone, prostate = (
        np.median(image[labels == label]) for label in (BLADDER, BONE, PROSTATE)
    )
    assert bladder > 1.4 * prostate
    assert bladder > bone > prostate
    cortex = np.percentile(image[labels == BONE], 10)
    assert cortex < 0.4 * bone  # a dark shell around bright marrow


def test_air_holds_rician_noise():
    image, labels = make_volume(5, 0, 3)
    corner = image[0, :20, -20:]
    assert (labels[0, :20, -20:] == 0).all()
    # the magnitude of pure noise is Rayleigh distributed: mean / sd = 1.913
    assert corner.mean() / corner.std() == pytest.approx(1.913, rel=0.12)


@pytest.fixture
def points():
    axis = np.linspace(-40, 40, 41, dtype=np.float32)
    x, z = np.meshgrid(axis, axis, indexing="ij")
    return Points(x, np.zeros_like(x), z)


def test_distances_are_in_millimetres(points):
    expected = np.hypot(points.x, points.z) - 10
    ball = shapes.sphere(points, (0, 0, 0), 10)
    assert ball == pytest.approx(expected, abs=1e-3)
    ball = shapes.cone(points, (0, 0, 0), (0, 0, 0), 10, 10)
    assert ball == pytest.approx(expected, abs=1e-3)
    edge = np.abs(expected) < 2
    ball = shapes.ellipsoid(points, (0, 0, 0), (10, 10, 10))
    assert ball[edge] == pytest.approx(expected[edge], abs=0.3)
    assert np.ndim(shapes.sphere(points, (0, 500, 0), 10)) == 0  # costs nothing
    assert shapes.coverage(np.array([-5.0, 0.0, 5.0]), 2).tolist() == [1, 0.5, 0]


def test_a_thin_tube_is_a_tube_near_it(points):
    course = [(-20, 0, -30), (0, 3, 0), (25, -2, 5)], [3, 4, 2]
    whole, thin = shapes.tube(points, *course), shapes.thin_tube(points, *course)
    assert thin[whole < 4] == pytest.approx(whole[whole < 4], abs=1e-4)
    assert (thin[whole > 25] == shapes.FAR).all()
    assert np.ndim(shapes.thin_tube(points, [(0, 50, 0), (0, 60, 0)], [3, 3])) == 0


def test_the_scanner_blurs_ghosts_and_adds_smooth_noise():
    signal = np.zeros((256, 128), np.float32)
    signal[100:130, 40:90] = 1
    clean = scan(signal, 0, 1.0, 0, np.random.default_rng(0))
    assert clean[105:125, 45:85] == pytest.approx(1, abs=0.05)
    assert 0.2 < clean[99:101, 64].mean() < 0.8  # the edge is no longer sharp
    ghosts = scan(signal, 0, 1.0, 0.05, np.random.default_rng(0)) - clean
    beside = np.abs(ghosts[:, 45:85])[np.r_[0:90, 140:256]]
    assert 0.03 < beside.max() < 0.06  # faint copies beside the body
    assert np.abs(ghosts[:, :30]).max() < 0.01  # none along the other axis
    noise = scan(signal * 0 + 9, 0.1, 0.8, 0, np.random.default_rng(0)) - 9
    neighbours = np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]
    assert 0.1 < neighbours < 0.6


def test_the_pictures_stay_what_they_are():
    """Whoever changes them on purpose raises `VERSION` in `pelvis.phantom.write`."""
    image, labels = make_volume(11, 1, 2)
    assert image[0, 100:103, 60] == pytest.approx([50.726, 50.349, 49.339], abs=0.01)
    counts = np.bincount(labels.ravel())
    assert counts == pytest.approx([11497, 50695, 2028, 6, 1310], abs=5)


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "one"
    return write_phantom(folder, (2, 1, 1), 2, seed=1, slices=2, jobs=1, progress=False)


def test_the_folder_is_laid_out_as_hipmri(written):
    names = sorted(p.name for p in (written / "keras_slices_train").iterdir())
    assert names == sorted(
        f"case_{case:03d}_week_{week}_slice_{s}.nii.gz"
        for case in (4, 5) for week in (0, 1) for s in (0, 1)
    )  # fmt: skip
    assert (
        written / "keras_slices_seg_validate/seg_036_week_0_slice_1.nii.gz"
    ).exists()
    assert (written / "keras_slices_test/case_040_week_0_slice_0.nii.gz").exists()
    assert len(list(written.glob("keras_slices_*/*.nii.gz"))) == 2 * (4 + 1 + 1) * 2
    settings = json.loads((written / "phantom.json").read_text())
    assert settings["seed"] == 1
    assert settings["patients"] == {"train": 2, "validate": 1, "test": 1}


def test_a_file_says_where_its_slice_lies(written):
    image = nib.load(written / "keras_slices_train/case_004_week_0_slice_1.nii.gz")
    label = nib.load(written / "keras_slices_seg_train/seg_004_week_0_slice_1.nii.gz")
    assert image.shape == label.shape == (256, 128)
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == np.uint8
    assert image.header.get_zooms()[:2] == pytest.approx((1.68, 1.56))
    assert nib.aff2axcodes(image.affine) == ("L", "S", "P")
    assert np.array_equal(image.affine, label.affine)


def test_the_bytes_do_not_depend_on_the_number_of_processes(written, tmp_path):
    two = write_phantom(
        tmp_path / "two", (2, 1, 1), 2, seed=1, slices=2, jobs=2, progress=False
    )
    assert digests(two) == digests(written)
    assert [p.name for p in tmp_path.iterdir()] == ["two"]


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pelvis.phantom.write._write_scan", stop)
    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "half", (1, 1, 1), 1, slices=1, jobs=1, progress=False)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from pelvis.phantom import write
draw = write._write_scan

def draw_and_die(*job):
    draw(*job)
    os._exit(9)

write._write_scan = draw_and_die
write.write_phantom(sys.argv[1], (1, 1, 1), 1, slices=1, jobs=1, progress=False)
"""


def test_what_a_killed_run_leaves_is_removed_by_the_next(written, tmp_path):
    settings = dict(patients=(2, 1, 1), weeks=2, seed=1, slices=2)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "new")])
    assert killed.returncode == 9
    assert (tmp_path / ".new.tmp").is_dir()
    assert not (tmp_path / "new").exists()
    write_phantom(tmp_path / "new", **settings, progress=False)
    assert digests(tmp_path / "new") == digests(written)
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_two_runs_for_one_folder(tmp_path):
    with FileLock(tmp_path / ".new.lock"):
        with pytest.raises(UserError, match="another process is writing to"):
            write_phantom(tmp_path / "new", (1, 1, 1), 1, slices=1, progress=False)
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (dict(patients=(0, 1, 1)), "train"),
        (dict(patients=(1, 1)), "three"),
        (dict(patients=3), "three"),
        (dict(patients=(900, 90, 90)), "too many"),
        (dict(weeks=0), "weeks"),
        (dict(slices=-3), "slices"),
        (dict(slices=2.5), "slices"),
        (dict(jobs=0), "jobs"),
        (dict(seed=-1), "seed"),
        (dict(seed=2**62), "seed"),
        (dict(seed="abc"), "seed"),
    ],
)
def test_counts_that_make_no_sense_are_refused(tmp_path, arguments, word):
    with pytest.raises(UserError, match=word) as error:
        write_phantom(tmp_path / "new", progress=False, **arguments)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds"):
        write_phantom(tmp_path, progress=False)
    with pytest.raises(UserError, match="is a file"):
        write_phantom(tmp_path / "notes.txt", progress=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"
