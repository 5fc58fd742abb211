"""The way from scans to slices, on scans of your own.

    VQLIB_SCANS=DIR:DIR pytest tests/data/test_real_scans.py

Each DIR holds 3D NIfTI volumes or DICOM series; all are converted together. Without the
variable these tests are skipped: real scans are not part of this project.
"""

import csv
import hashlib
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pelvis.check import check
from pelvis.convert import convert
from vqlib import profiles
from vqlib.data import SPLITS, SliceIndex, open_data

pytestmark = pytest.mark.skipif(
    "VQLIB_SCANS" not in os.environ, reason="VQLIB_SCANS names no real scans"
)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """All folders as one study."""
    source = tmp_path_factory.mktemp("scans")
    for number, name in enumerate(os.environ["VQLIB_SCANS"].split(os.pathsep)):
        folder = source / f"{number}"
        folder.mkdir()
        for path in Path(name).resolve().rglob("*"):
            if path.is_file():
                copy = folder / path.relative_to(Path(name).resolve())
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.hardlink_to(path) if _same_disk(
                    path, folder
                ) else copy.write_bytes(path.read_bytes())
    target = tmp_path_factory.mktemp("slices") / "study"
    report = convert(source, target, progress=False)
    return source, target, report


def _same_disk(path: Path, folder: Path) -> bool:
    return path.stat().st_dev == folder.stat().st_dev


def test_every_scan_is_converted_once(converted):
    source, target, report = converted
    assert report.faults == ()
    assert report.converted > 0
    again = convert(source, target, progress=False)
    assert (again.converted, again.skipped) == (0, report.converted)


def test_the_manifest_tells_what_is_there(converted):
    _, target, _ = converted
    with (target / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    files = {str(p.relative_to(target)) for p in target.glob("keras_slices_*/*.nii*")}
    assert {row["file"] for row in rows} == files
    for row in rows[::20]:
        content = (target / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]


def test_slices_lie_as_hipmri_does(converted):
    """Rows to the left, columns to the head, each slice further front or back."""
    _, target, _ = converted
    for path in sorted(target.glob("keras_slices_*/*.nii*"))[::20]:
        image = nib.load(path)
        assert image.shape == (256, 128)
        assert image.header.get_zooms()[:2] == pytest.approx((1.68, 1.56))
        assert nib.aff2axcodes(image.affine)[:2] == ("L", "S")
        assert np.ptp(image.get_fdata()) > 0


def test_a_check_finds_no_fault_and_notebooks_can_open_it(converted):
    _, target, _ = converted
    report = check(target)
    there = {s for s in SPLITS if (target / f"keras_slices_{s}").is_dir()}
    missing = {f"keras_slices_{s}" for s in SPLITS if s not in there}
    assert {fault.file.name for fault in report.faults} == missing
    if missing:
        pytest.skip("fewer than three patients: no split by patient is possible")
    data = open_data(target, profiles.get("smoke"), progress=False)
    patients = [set(part.patients.tolist()) for part in (data.train, data.validate)]
    assert not patients[0] & patients[1]
    assert len(SliceIndex.from_folder(target)) == sum(
        len(part) for part in (data.train, data.validate, data.test)
    )
