import errno
import json
import os
import shutil
from functools import cache
from pathlib import Path

import filelock
import nibabel as nib
import numpy as np
import pytest
from commands import content, vqlib
from scan_files import STACK, coronal_series, write_dicom, write_label, write_volume
from slice_files import refusal

from pelvis.convert import convert
from pelvis.phantom import make_volume, write_phantom
from vqlib.data import SliceIndex, open_data

QUIET = {"progress": False, "processes": 1}
SMALL = {"grid": (40, 30), "spacing": (10.0, 10.0), **QUIET}


@pytest.fixture
def scans(tmp_path):
    """A folder of five scans of four patients, two in the release's naming."""
    folder = tmp_path / "scans"
    names = ("Case_004_Week0_LFOV", "B036_Week2_LFOV", "man1_T2w", "man1_T1w", "man2")
    for name in names:
        write_volume(folder / f"{name}.nii.gz")
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def counts(scans, out, **how):
    report = convert(scans, out, **SMALL | how)
    return report.converted, report.skipped


def refused(scans, out, **how):
    return refusal(lambda: convert(scans, out, **SMALL | how))


def tree(folder: Path) -> dict[str, bytes]:
    return content(folder, (".convert.lock",))


def slices(folder: Path) -> set[str]:
    return {name for name in tree(folder) if name.startswith("keras")}


def kept(folder: Path) -> dict[str, dict]:
    """What the folder knows of its scans that are cut, by their source."""
    scans = json.loads((folder / "convert.json").read_text(encoding="utf-8"))["scans"]
    return {name: scan for name, scan in scans.items() if scan["files"]}


def files_of(folder: Path) -> set[str]:
    return {file for scan in kept(folder).values() for file in scan["files"]}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_the_tree_and_what_is_known_of_it(scans, out):
    assert counts(scans, out) == (5, 0)
    index = SliceIndex.from_folder(out)
    assert index.patients == [4, 36, 101, 102]
    assert list(index.volumes) == [(4, 0), (102, 0), (36, 2), (101, 0), (101, 1)]
    assert len(index) == 5 * 10
    assert files_of(out) == slices(out)
    assert all((scans / name).exists() for name in kept(out))
    image = nib.load(index.records[3].path)
    assert image.shape == (40, 30)
    assert nib.aff2axcodes(image.affine) == ("L", "S", "P")
    assert np.allclose(image.header["pixdim"][1:4], (10, 10, 21))


def test_the_phantom_as_volumes_gives_its_own_slices(tmp_path, out, monkeypatch):
    """Exactly, labels and splits included: its grid is the layout's."""
    drawn_once = cache(make_volume)
    monkeypatch.setattr("pelvis.phantom.write.make_volume", drawn_once)
    how = {"patients": (1, 1, 1), "weeks": 1, "seed": 3, "slices": 5, "jobs": 1}
    expected = write_phantom(tmp_path / "slices", **how, progress=False)
    volumes = write_phantom(tmp_path / "volumes", **how, progress=False, volumes=True)
    assert convert(volumes, out, **QUIET).converted == 3
    assert slices(out) == slices(expected)
    for name in slices(out):
        one, other = nib.load(expected / name), nib.load(out / name)
        assert one.get_data_dtype() == other.get_data_dtype()
        assert (np.asarray(one.dataobj) == np.asarray(other.dataobj)).all()
        assert np.allclose(one.affine, other.affine, atol=1e-3)
    data = open_data(out, "smoke", progress=False)
    assert data.test.images.shape == (5, 1, 64, 32)
    assert data.test.labels is not None


def test_dicom_and_nifti_of_any_name_together(tmp_path):
    scans, out = tmp_path / "scäns of 2024", tmp_path / "öut"
    write_dicom(scans / "a b" / "serie", coronal_series())
    write_volume(scans / "Jürgen 5.nii")
    names = {"a b/serie (series 1.2.1)", "Jürgen 5.nii"}
    try:
        no_text = scans / os.fsdecode(b"caf\xe9 5.nii")
        shutil.copy(scans / "Jürgen 5.nii", no_text)
        names.add(no_text.name)
    except OSError:
        pass  # this system wants text
    assert counts(scans, out) == (len(names), 0)
    assert counts(scans, out) == (0, len(names))
    assert kept(out).keys() == names
    middle = [out / file for file in sorted(files_of(out)) if "slice_4." in file]
    assert np.abs(pixels(middle[0]) - pixels(middle[1])).max() <= 1  # one body


def test_labels_are_for_all_or_for_none(tmp_path, out):
    scans = tmp_path / "scans"
    for case in (4, 36, 40):
        write_volume(scans / f"Case_{case:03d}_Week0_LFOV.nii.gz")
        write_label(scans / f"Case_{case:03d}_Week0_SEMANTIC_LFOV.nii.gz")
    write_volume(scans / "B041_Week0_LFOV.nii.gz")
    report = convert(scans, out, **SMALL)
    assert report.converted == 3
    assert "B041_Week0_LFOV.nii.gz has no label map" in report.faults[0]
    scan = kept(out)["Case_004_Week0_LFOV.nii.gz"]
    assert sum("seg_" in file for file in scan["files"]) == 10
    labels = pixels(SliceIndex.from_folder(out).records[5].label_path)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1, 5}


def failing_after(count, fault, monkeypatch):
    """Lets so many slices be written, and then fails."""
    real, left = Path.write_bytes, iter(range(count))

    def write(path, content):
        if path.parent.name.startswith(".case_") and next(left, None) is None:
            path.touch()
            raise fault
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)


def test_a_full_disk_and_a_run_that_was_killed(scans, out, tmp_path, monkeypatch):
    """What was finished stays, what is in the tree but not written down goes, and the
    same call brings what is missing."""
    convert(scans, tmp_path / "whole", **SMALL)
    fault = OSError(errno.ENOSPC, "No space left on device")
    failing_after(2 * 10 + 4, fault, monkeypatch)
    assert "No space left on device); free some" in refused(scans, out)
    assert len(kept(out)) == 2
    assert files_of(out) == slices(out)
    assert not list(out.glob(".case*"))
    monkeypatch.undo()
    slice_3 = out / "keras_slices_train/case_004_week_0_slice_3.nii.gz"
    slice_3.rename(slice_3.with_name("case_004_week_0_slice_55.nii.gz"))
    (out / ".case_004_x.tmp").mkdir()
    (out / ".case_004_x.tmp" / "half.nii.gz").write_bytes(b"x")
    assert counts(scans, out) == (4, 1)
    assert tree(out) == tree(tmp_path / "whole")


def test_only_what_changed_is_cut_again(scans, out):
    convert(scans, out, **SMALL)
    before = {p: p.stat().st_mtime_ns for p in out.glob("keras*/*")}
    assert counts(scans, out) == (0, 5)
    assert before == {p: p.stat().st_mtime_ns for p in before}
    first, body = kept(out), pixels(scans / "man2.nii.gz")
    write_volume(scans / "man2.nii.gz", body // 2)  # changed
    (scans / "man1_T1w.nii.gz").unlink()  # gone
    write_volume(scans / "aman.nii.gz")  # new
    report = convert(scans, out, **SMALL)
    assert (report.converted, report.skipped) == (2, 3)
    assert "1 scans are no longer in the source" in report.notes[0]
    new = {name: scan for name, scan in kept(out).items() if scan != first.get(name)}
    cases = {name: scan["case"] for name, scan in new.items()}
    assert cases == {"man2.nii.gz": 102, "aman.nii.gz": 103}
    for file in new["man2.nii.gz"]["files"]:
        assert pixels(out / file).max() < body.max() / 1.5


def test_other_settings_are_refused(scans, out):
    convert(scans, out, **SMALL)
    before = tree(out)
    other = {"plane": "axial", "grid": (40, 31), "spacing": (9, 10), "slices": "all"}
    for name, value in (other | {"seed": 1}).items():
        assert f"with other settings ({name}: " in refused(scans, out, **{name: value})
    scans = scans.rename(scans.with_name("other"))
    assert "with other settings (source: " in refused(scans, out)
    assert tree(out) == before


def test_places_that_make_no_sense(scans, out, tmp_path):
    other = tmp_path / "other"
    convert(scans, out, **SMALL)
    shutil.copytree(out, other / "study")  # slices beside scans, or below
    assert f"{other / 'study'} holds slices already" in refused(other, tmp_path / "new")
    for damage in ("{", "{}", "[]", '{"settings": {}, "scans": {"a": 1}}'):
        (out / "convert.json").write_text(damage)
        assert "has a damaged convert.json" in refused(scans, out)
    shutil.rmtree(other)
    other.mkdir()
    with filelock.FileLock(other / ".convert.lock"):
        assert "another process is writing" in refused(scans, other)


def test_the_command(scans, out, monkeypatch):
    command = ["data", "convert", scans, out, "--processes", 1]
    command += ["--grid", "40x30", "--spacing", "10x10"]
    failing_after(14, KeyboardInterrupt(), monkeypatch)
    said = vqlib(*command, code=130).stderr
    assert "the same command goes on" in said.replace("\n", " ")
    monkeypatch.undo()
    assert "scans converted: 4, there before: 1" in vqlib(*command).stdout
    bad = scans / "man1_T2w.nii.gz"  # does not stop the others
    bad.write_bytes(bad.read_bytes()[:3000])
    moved = STACK + np.outer([30, 0, 0, 0], [0, 0, 0, 1])
    write_volume(scans / "man3.nii.gz", qform=moved)
    shown = ""
    for said in ("converted: 1, there before: 4", "converted: 0, there before: 5"):
        result = vqlib(*command, code=1)
        assert str(bad) in result.stdout.splitlines()[0]
        assert said in result.stderr
        shown += result.stdout
    assert shown.count("man3.nii.gz has sform and qform that lie 30 mm apart; its") == 1
