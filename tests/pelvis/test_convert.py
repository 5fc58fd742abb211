"""Whole conversions: what is written, what is resumed, what is refused."""

import csv
import errno
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from scan_files import coronal_series, write_dicom, write_label, write_volume
from slice_files import refusal

from pelvis.convert import convert
from pelvis.phantom import write_phantom
from vqlib.cli import main
from vqlib.data import SliceIndex, open_data
from vqlib.errors import UserError
from vqlib.profiles import get

SMALL = {"grid": (40, 30), "spacing": (10.0, 10.0), "progress": False, "processes": 1}


@pytest.fixture
def scans(tmp_path):
    """A folder of five scans of four patients, two in the release's naming."""
    folder = tmp_path / "scans"
    names = ("Case_004_Week0_LFOV", "B036_Week2_LFOV", "man1_T2w", "man1_T1w", "man2")
    for name in names:
        write_volume(folder / f"{name}.nii.gz")
    return folder


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, str]:
    """Relative name -> checksum of all files, but the lock."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".convert.lock"
    }


def manifest(folder: Path) -> list[dict]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_tree_and_its_manifest(scans, tmp_path):
    out = tmp_path / "out"
    report = convert(scans, out, **SMALL)
    assert (report.converted, report.skipped) == (5, 0)
    assert not report.faults
    index = SliceIndex.from_folder(out)
    assert index.patients == [4, 36, 101, 102]
    assert list(index.volumes) == [(4, 0), (102, 0), (36, 2), (101, 0), (101, 1)]
    rows = manifest(out)
    assert len(rows) == len(index) == 5 * 10
    for row, record in zip(rows, index.records, strict=True):
        assert out / row["file"] == record.path
        named = [row[key] for key in ("split", "patient", "week", "slice")]
        asked = [record.split, record.case, record.week, record.slice]
        assert named == [str(value) for value in asked]
        assert row["sha256"] == checksum(record.path)
        assert (scans / row["source"]).exists()
    image = nib.load(out / rows[3]["file"])
    assert image.shape == (40, 30)
    assert nib.aff2axcodes(image.affine) == ("L", "S", "P")
    assert np.allclose(image.header.get_zooms(), (10, 10))
    assert np.allclose(image.header["pixdim"][3], 21)


def test_the_notebooks_read_what_was_converted(tmp_path):
    for number in range(4, 7):
        write_volume(tmp_path / "scans" / f"p{number}.nii.gz")
    convert(tmp_path / "scans", tmp_path / "out", progress=False, processes=1)
    data = open_data(tmp_path / "out", get("smoke"), progress=False)
    for part in (data.train, data.validate, data.test):
        assert part.images.shape == (10, 1, 64, 32)
        assert part.images.max() > 0.9


def test_the_phantom_as_volumes_gives_its_own_slices(tmp_path):
    """Exactly, labels and splits included: its grid is the layout's."""
    how = {"patients": (1, 1, 1), "weeks": 1, "seed": 3, "slices": 8, "jobs": 1}
    slices = write_phantom(tmp_path / "slices", **how, progress=False)
    volumes = write_phantom(tmp_path / "volumes", **how, progress=False, volumes=True)
    names = sorted(path.name for path in volumes.glob("*.nii.gz"))
    assert names[:2] == [
        "Case_004_Week0_LFOV.nii.gz",
        "Case_004_Week0_SEMANTIC_LFOV.nii.gz",
    ]
    image = nib.load(volumes / names[0])
    assert image.shape == (256, 8, 128)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    out = tmp_path / "out"
    assert convert(volumes, out, progress=False, processes=1).converted == 3
    expected = sorted(p.relative_to(slices) for p in slices.glob("keras*/*"))
    assert expected == sorted(p.relative_to(out) for p in out.glob("keras*/*"))
    for name in expected:
        one, other = nib.load(slices / name), nib.load(out / name)
        assert one.get_data_dtype() == other.get_data_dtype()
        assert (np.asarray(one.dataobj) == np.asarray(other.dataobj)).all()
        assert np.allclose(one.affine, other.affine, atol=1e-3)


def test_dicom_and_nifti_of_any_kind_together(tmp_path):
    scans = tmp_path / "scäns of 2024"
    write_dicom(scans / "a b" / "serie", coronal_series())
    write_volume(scans / "Jürgen 5.nii")
    assert convert(scans, tmp_path / "öut", **SMALL).converted == 2
    sources = {row["source"] for row in manifest(tmp_path / "öut")}
    assert sources == {"a b/serie (series 1.2.1)", "Jürgen 5.nii"}
    one, other = (
        np.asarray(nib.load(tmp_path / "öut" / row["file"]).dataobj)
        for row in manifest(tmp_path / "öut")
        if row["slice"] == "4"
    )
    assert np.abs(one - other).max() <= 1  # the same body by either door


def test_names_of_bytes_that_are_no_text(tmp_path):
    scans = tmp_path / "scans"
    write_volume(scans / "good 5.nii")
    try:
        (scans / "good 5.nii").rename(scans / os.fsdecode(b"caf\xe9 5.nii"))
    except OSError:
        pytest.skip("this system wants text")
    assert convert(scans, tmp_path / "out", **SMALL).converted == 1
    assert convert(scans, tmp_path / "out", **SMALL).skipped == 1
    assert manifest(tmp_path / "out")[0]["source"] == "caf\\xe9 5.nii"


def test_the_second_run_does_nothing(scans, tmp_path):
    out = tmp_path / "out"
    convert(scans, out, **SMALL)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if "lock" not in p.name}
    report = convert(scans, out, **SMALL)
    assert (report.converted, report.skipped) == (0, 5)
    assert before == {p: p.stat().st_mtime_ns for p in before}


def failing_after(count, fault, monkeypatch):
    """Lets so many slices be written, and then fails."""
    real, left = Path.write_bytes, iter(range(count))

    def write(path, content):
        if path.parent.name.startswith(".case_") and next(left, None) is None:
            raise fault
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_stopped_run_is_completed_by_the_next(scans, tmp_path, monkeypatch, count):
    whole, out = tmp_path / "whole", tmp_path / "out"
    convert(scans, whole, **SMALL)
    failing_after(count * 10 + 4, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        convert(scans, out, **SMALL)
    assert len({row["source"] for row in manifest(out)}) == count
    files = {row["file"] for row in manifest(out)}
    assert files == {name for name in tree(out) if name.startswith("keras")}
    monkeypatch.undo()
    report = convert(scans, out, **SMALL)
    assert (report.converted, report.skipped) == (5 - count, count)
    assert tree(out) == tree(whole)


def test_a_run_that_was_killed_while_it_moved_slices(scans, tmp_path):
    """What is in the tree but not in the manifest goes, what is missing comes."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    convert(scans, whole, **SMALL)
    convert(scans, out, **SMALL)
    (out / "keras_slices_train/case_004_week_0_slice_3.nii.gz").unlink()
    extra = out / "keras_slices_train/case_004_week_0_slice_55.nii.gz"
    shutil.copy(out / "keras_slices_train/case_004_week_0_slice_4.nii.gz", extra)
    for case in ("004", "555"):
        (out / f".case_{case}_week_0.tmp").mkdir()
        (out / f".case_{case}_week_0.tmp" / "half.nii.gz").write_bytes(b"x")
    assert convert(scans, out, **SMALL).converted == 1
    assert tree(out) == tree(whole)


@pytest.mark.slow
def test_a_killed_process_is_completed_by_the_next(tmp_path):
    """The real thing: many processes, killed without a word, and called again."""
    scans = tmp_path / "scans"
    for number in range(14):
        write_volume(scans / f"p{number}.nii.gz")
    code = (
        "from pelvis.convert import convert\n"
        "if __name__ == '__main__':\n"
        f"    convert({str(scans)!r}, {str(tmp_path / 'out')!r}, processes=2)"
    )
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    command = [sys.executable, str(script)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    manifest_file = tmp_path / "out" / "manifest.csv"
    while process.poll() is None:
        if manifest_file.exists() and len(manifest(tmp_path / "out")) >= 20:
            process.kill()
            process.wait()
    assert 2 <= len(manifest(tmp_path / "out")) / 10 < 14
    whole = tmp_path / "whole"
    for folder in (tmp_path / "out", whole):
        convert(scans, folder, progress=False, processes=1)
    assert tree(tmp_path / "out") == tree(whole)


def test_a_scan_that_changed_is_cut_again(scans, tmp_path):
    out = tmp_path / "out"
    convert(scans, out, **SMALL)
    path = scans / "man2.nii.gz"
    pixels = np.asarray(nib.load(path).dataobj)
    write_volume(path, pixels // 2)
    assert convert(scans, out, **SMALL).converted == 1
    assert convert(scans, out, **SMALL).skipped == 5
    halved = next(row for row in manifest(out) if row["source"] == path.name)
    assert np.asarray(nib.load(out / halved["file"]).dataobj).max() < pixels.max() / 1.5
    assert checksum(out / halved["file"]) == halved["sha256"]


def test_new_patients_and_those_that_are_gone(scans, tmp_path):
    out = tmp_path / "out"
    convert(scans, out, **SMALL)
    before = manifest(out)
    (scans / "man2.nii.gz").unlink()
    write_volume(scans / "aman.nii.gz")
    report = convert(scans, out, **SMALL)
    assert (report.converted, report.skipped) == (1, 4)
    assert "1 scans are no longer in the source" in report.notes[0]
    after = manifest(out)
    assert [row for row in after if row in before] == before
    assert {row["patient"] for row in after if row not in before} == {"103"}


@pytest.mark.parametrize(
    "change",
    [
        {"plane": "axial"},
        {"grid": (40, 31)},
        {"spacing": (9, 10)},
        {"slices": "all"},
        {"seed": 1},
    ],
)
def test_other_settings_are_refused(scans, tmp_path, change):
    convert(scans, tmp_path / "out", **SMALL)
    before = tree(tmp_path / "out")
    with pytest.raises(UserError, match="with other settings") as caught:
        convert(scans, tmp_path / "out", **SMALL | change)
    assert next(iter(change)) in str(caught.value)
    assert tree(tmp_path / "out") == before


def test_another_source_is_refused(scans, tmp_path):
    convert(scans, tmp_path / "out", **SMALL)
    scans.rename(tmp_path / "other")
    with pytest.raises(UserError, match="source"):
        convert(tmp_path / "other", tmp_path / "out", **SMALL)


def test_one_bad_scan_does_not_stop_the_others(scans, tmp_path):
    bad = scans / "man2.nii.gz"
    good = bad.read_bytes()
    bad.write_bytes(good[:3000])
    out = tmp_path / "out"
    for _again in range(2):
        report = convert(scans, out, **SMALL)
        assert len(report.faults) == 1
        assert str(bad) in report.faults[0]
    assert report.skipped == 4
    assert not list(out.glob(".case*"))
    bad.write_bytes(good)
    assert convert(scans, out, **SMALL).converted == 1
    assert len(SliceIndex.from_folder(out)) == 50


def test_labels_are_for_all_or_for_none(tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    for case in (4, 36, 40):
        write_volume(scans / f"Case_{case:03d}_Week0_LFOV.nii.gz")
        write_label(scans / f"Case_{case:03d}_Week0_SEMANTIC_LFOV.nii.gz")
    write_volume(scans / "B041_Week0_LFOV.nii.gz")
    report = convert(scans, out, **SMALL)
    assert report.converted == 3
    assert "B041_Week0_LFOV.nii.gz has no label map" in report.faults[0]
    index = SliceIndex.from_folder(out)
    assert index.has_labels
    row = manifest(out)[0]
    assert row["label_source"] == "Case_004_Week0_SEMANTIC_LFOV.nii.gz"
    assert row["label_sha256"] == checksum(out / row["label_file"])
    labels = nib.load(index.records[5].label_path)
    assert labels.get_data_dtype() == np.uint8
    assert set(np.unique(labels.dataobj)) == {0, 1, 5}


def test_a_bad_label_leaves_its_image_out(tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    for name in ("p1", "p2"):
        write_volume(scans / f"{name}.nii.gz")
    write_label(scans / "p1_seg.nii.gz")
    write_label(scans / "p2_seg.nii.gz", values=np.full((40, 12, 30), 9, np.uint8))
    report = convert(scans, out, **SMALL)
    assert report.converted == 1
    assert "p2_seg.nii.gz has the value 9" in report.faults[0]
    assert len(list(out.glob("keras*/*"))) == 20


def test_a_full_disk(scans, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "out"
    convert(scans, whole, **SMALL)
    failing_after(25, OSError(errno.ENOSPC, "No space left on device"), monkeypatch)
    with pytest.raises(UserError, match=r"No space left on device\); free some"):
        convert(scans, out, **SMALL)
    monkeypatch.undo()
    assert len(manifest(out)) == 20
    assert not list(out.glob(".case*"))
    assert len(list(out.glob("keras*/*"))) == 20
    convert(scans, out, **SMALL)
    assert tree(out) == tree(whole)


def test_a_folder_that_cannot_be_written(scans, tmp_path, monkeypatch):
    def forbid(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", forbid)
    line = refusal(lambda: convert(scans, tmp_path / "out", **SMALL))
    assert "cannot write there (Permission denied)" in line
    assert not (tmp_path / "out").exists()


def test_places_that_make_no_sense(scans, tmp_path):
    def refused(source, folder, **how):
        return refusal(lambda: convert(source, folder, **SMALL | how))

    out = tmp_path / "out"
    assert "lies in" in refused(scans, scans / "out")
    assert "lies in" in refused(scans, scans)
    assert "does not exist" in refused(tmp_path / "none", out)
    assert "is a file" in refused(scans / "man2.nii.gz", out)
    (tmp_path / "empty").mkdir()
    assert "holds no NIfTI volumes" in refused(tmp_path / "empty", out)
    assert "already holds files" in refused(scans, tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    assert "already holds files" in refused(scans, tmp_path / "full")
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(scans, tmp_path / "file")
    assert not out.exists()
    convert(scans, out, **SMALL)
    assert "holds slices already" in refused(out, tmp_path / "again")
    out.rename(tmp_path / "empty" / "out")
    line = refused(tmp_path / "empty", tmp_path / "again")
    assert f"{tmp_path / 'empty' / 'out'} holds slices already" in line
    (tmp_path / "empty" / "out").rename(out)
    (out / "convert.json").unlink()
    line = refused(scans, out)
    assert "already holds slices that no conversion made (keras_slices_" in line
    (out / "convert.json").write_text("{")
    assert "damaged" in refused(scans, out)
    (out / "convert.json").write_text("{}")
    assert "damaged" in refused(scans, out)


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ({"plane": "cornal"}, "did you mean 'coronal'"),
        ({"grid": (0, 128)}, "grid"),
        ({"grid": (256, 128.5)}, "grid"),
        ({"spacing": (1.68, -1)}, "spacing"),
        ({"spacing": (float("nan"), 1)}, "spacing"),
        ({"slices": 0}, "slices"),
        ({"slices": "some"}, "slices"),
        ({"processes": 0}, "processes"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_settings_that_make_no_sense(scans, tmp_path, how, what):
    with pytest.raises(UserError, match=what):
        convert(scans, tmp_path / "out", **SMALL | how)
    assert not (tmp_path / "out").exists()


def test_two_conversions_at_once(scans, tmp_path):
    import filelock

    out = tmp_path / "out"
    out.mkdir()
    with filelock.FileLock(out / ".convert.lock"):
        line = refusal(lambda: convert(scans, out, **SMALL))
    assert "another process is writing" in line


def test_fewer_than_three_patients_are_remarked(tmp_path):
    write_volume(tmp_path / "scans" / "p1.nii.gz")
    report = convert(tmp_path / "scans", tmp_path / "out", **SMALL)
    assert "no patient is in validate and test" in report.notes[0]


def test_the_command(scans, tmp_path):
    def run(*options):
        out = str(tmp_path / "out")
        return CliRunner().invoke(main, ["data", "convert", str(scans), out, *options])

    options = ("--grid", "40x30", "--spacing", "10x10", "--processes", "1")
    assert "5 scans converted, 0 there before" in run(*options).stdout
    assert "nothing to do, all 5 scans are there" in run(*options).stdout
    result = run(*options, "--slices", "all")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    (scans / "man1_T2w.nii.gz").write_bytes(b"")
    result = run(*options)
    assert result.exit_code == 1
    assert "man1_T2w.nii.gz" in result.stdout.splitlines()[0]
    assert "0 scans converted, 4 there before, and 1 fault;" in result.stderr
    for option, text in (("--grid", "40"), ("--spacing", "axb"), ("--slices", "x")):
        assert f"{option} '{text}'" in run(option, text).stderr


def test_ctrl_c_says_how_to_go_on(scans, tmp_path, monkeypatch):
    failing_after(14, KeyboardInterrupt(), monkeypatch)
    command = ["data", "convert", str(scans), str(tmp_path / "out"), "--processes", "1"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr.replace("\n", " ")
