"""``vqlib data fetch``: what it lists, asks, downloads and writes, and how it exits.

A stand-in takes the place of the archive: it copies small files, or fails.
"""

import errno
import json
import os
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from archive_index import series, table
from click.testing import CliRunner
from scan_files import coronal_series, write_dicom

from pelvis import archive
from pelvis import fetch as download
from pelvis.convert import Report, convert
from vqlib.cli import main
from vqlib.data import SliceIndex
from vqlib.errors import UserError

CITATION = "Doe, J. (2020). A set. https://doi.org/10.1234/alpha"


def one(uid, patient, description="t2_tse_cor", collection="prostatex", **other):
    small = {"images": 1, "size": 3, "doi": "10.1234/alpha"}
    return series(uid, patient, description, collection, **(small | other))


INDEX = table(
    *(one(f"1.{n}", f"man-{n:02}") for n in range(25)),
    one("2.1", "w-1", "Cor T1", "beta", sex="F", size=5_000_000_000),
    one("2.2", "w-2", "Cor T2", "beta", sex="F", licence="CC BY-NC 4.0"),
    one("2.3", "w-3", "Cor T2", "beta", sex="F"),
    one("3.1", "x", "cor", "gamma"),
    one("4.1", "x", "dyn_tra", "delta"),
)
THREE, FOUR = ("mine", "--patients", "3", "--yes"), ("mine", "--patients", "4", "--yes")


class Archive:
    """Copies a file for each series, but for those that are ``broken``."""

    def __init__(self):
        self.asked, self.broken = [], {}

    def __call__(self, uids, downloads):
        said = ""
        for uid in uids:
            self.asked.append(uid)
            fault = self.broken.get(uid, "")
            (downloads / uid).mkdir()
            (downloads / uid / "a.dcm").write_bytes(b"12" if fault else b"123")
            if isinstance(fault, BaseException):
                raise fault
            if fault:
                said += f'ERROR "cp {downloads}/{uid}": {fault}\n'
        return said


@pytest.fixture(autouse=True)
def copies(tmp_path, monkeypatch):
    """A small archive; nothing is converted but in name."""

    def named(source, folder):
        folder.mkdir(exist_ok=True)
        (folder / "convert.json").write_text("")
        return Report(folder, len(list(source.iterdir())), 0)

    monkeypatch.chdir(tmp_path)
    copies = Archive()
    monkeypatch.setattr(archive, "read_index", lambda: INDEX)
    monkeypatch.setattr(archive, "index_version", lambda: "IDC v99")
    monkeypatch.setattr(archive, "citations", lambda d: dict.fromkeys(d, CITATION))
    monkeypatch.setattr(download, "transfer", copies)
    monkeypatch.setattr(download, "convert", named)
    return copies


def run(*arguments, answer=None, code=0):
    result = CliRunner().invoke(main, ["data", "fetch", *arguments], input=answer)
    assert result.exit_code == code, result.output
    return result


def refused(*arguments, answer=None):
    """The one line that a refused command ends with."""
    last = run(*arguments, answer=answer, code=1).stderr.splitlines()[-1]
    assert last.startswith("error: ")
    return last


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def credits():
    return json.loads(Path("mine/credits.json").read_text("utf-8"))


def test_listing_downloads_nothing(copies, tmp_path):
    listing = run().stdout
    header, first, second, few, *_ = listing.splitlines()
    assert header.split()[:3] == ["collection", "series", "patients"]
    assert first.split()[:3] == ["prostatex", "25", "25"]
    assert second.split()[:5] == ["beta", "3", "3", "5.0", "GB"]
    assert "CC BY 4.0, CC BY-NC 4.0 (non-commercial)" in second
    assert second.endswith("women")
    assert few == "with fewer than 3 patients: gamma"
    assert "IDC v99" in listing
    lines = run("--collection", "beta").stdout.splitlines()
    assert [line[:6] for line in lines[1:3]] == ["Cor T2", "Cor T1"]
    lines = run("--description", "dyn").stdout.splitlines()
    assert lines[0] == "with fewer than 3 patients: delta"
    listed = json.loads(run("--json").stdout)
    assert [offer["name"] for offer in listed] == ["prostatex", "beta", "gamma"]
    assert listed[1]["size"] == 5_000_000_006
    assert not copies.asked
    assert not list(tmp_path.iterdir())


def test_shows_licence_and_citation_before_it_asks(copies, tmp_path):
    result = run("mine", answer="n\n", code=1)
    shown = result.stdout[: result.stdout.index("download and convert?")]
    for words in (f"CC BY 4.0: {CITATION}", "rg.230180", "to download: 20 series"):
        assert words in shown
    assert "nothing was downloaded" in result.stderr
    assert "--yes" in refused("mine", answer="")  # no one there
    assert not copies.asked
    assert not list(tmp_path.iterdir())


def test_fetch_after_yes(copies):
    run("mine", "--patients", "3", answer="y\n")
    assert copies.asked == names("mine.dicom") == ["1.0", "1.1", "1.2"]
    assert credits()["archive"] == "NCI Imaging Data Commons, IDC v99"
    (line,) = credits()["credit"]
    assert line == "prostatex, CC BY 4.0, https://doi.org/10.1234/alpha, resampled"
    assert credits()["cite"][0] == CITATION
    assert "10.1148/rg.230180" in credits()["cite"][1]
    patients = [one["patient"] for one in credits()["series"]]
    assert patients == ["man-00", "man-01", "man-02"]
    run("mine", "--patients", "3")  # nothing to ask
    Path("mine.dicom/1.2/a.dcm").write_bytes(b"1")  # of a killed download
    run(*FOUR)
    assert copies.asked[3:] == ["1.2", "1.3"]


@pytest.mark.parametrize(
    ("options", "uids"),
    [
        ("--patients all", [f"1.{n}" for n in range(25)]),
        ("--collection Beta --description t2 --every-series", ["2.2", "2.3"]),
    ],
)
def test_choices(copies, options, uids):
    run("mine", "--yes", *options.split())
    assert copies.asked == uids
    assert names("mine.dicom") == sorted(uids)


def test_a_failed_series_is_named_and_others_kept(copies, tmp_path):
    copies.broken = dict.fromkeys(INDEX["uid"], "no such host")
    line = refused("mine", "--yes")
    assert "none of 20 series came (no such host); check the network" in line
    assert not list(tmp_path.iterdir())
    copies.broken = {"1.1": "no object found"}
    result = run(*THREE, code=1)
    assert "series 1.1 did not come (no object found)" in result.stdout
    assert "1 of 3 series did not come" in result.stderr.splitlines()[-1]
    assert names("mine.dicom") == ["1.0", "1.2"]  # what came in part is gone
    assert [one["uid"] for one in credits()["series"]] == ["1.0", "1.2"]


def test_an_interrupted_download_goes_on(copies):
    copies.broken["1.1"] = KeyboardInterrupt()
    assert "1 of 3 series are in" in run(*THREE, code=130).stderr
    assert not Path("mine").exists()
    copies.broken.clear()
    run(*THREE)
    assert copies.asked == ["1.0", "1.1", "1.1", "1.2"]


def test_a_full_disk(copies, monkeypatch):
    free = SimpleNamespace(free=4 * 3 + 4 * download.CONVERTED - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    assert "16 MB free" in refused(*FOUR)
    free.free += 1
    copies.broken["1.1"] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    full = "cannot write there (No space left on device); free some space"
    assert full in refused(*FOUR)


def test_targets_that_are_refused():
    run(*FOUR)
    other = "holds series that are not in this choice (1.3)"
    assert f"mine.dicom {other}" in refused(*THREE)
    shutil.rmtree("mine.dicom")
    assert f"mine {other}" in refused(*THREE)
    Path("mine/credits.json").write_text("{}")
    assert "credits.json is damaged" in refused(*FOUR)
    Path("mine/credits.json").unlink()
    assert "not empty, and not of an earlier fetch" in refused(*FOUR)


def test_faults_of_the_conversion(monkeypatch):
    report = Report(None, 1, 1, ("1.1 lacks slices; leave it out",), ("a remark",))
    monkeypatch.setattr(download, "convert", lambda *args: report)
    result = run(*THREE, code=1)
    *_, note, fault, done = result.stdout.splitlines()
    assert (note, fault) == ("a remark", "1.1 lacks slices; leave it out")
    assert done.startswith("scans in mine: 2;")
    assert "1 faults" in result.stderr.splitlines()[-1]

    def convert(source, folder):
        folder.mkdir(exist_ok=True)
        (folder / "convert.json").write_text("")
        raise UserError("a faulty series")

    monkeypatch.setattr(download, "convert", convert)
    assert "a faulty series" in refused(*THREE)
    assert credits()["series"]  # whatever stops the others


def test_from_the_archive_to_slices(tmp_path, monkeypatch):
    """Three men's series come, in two goes, and become slices of three splits."""
    rows = []
    for man in (1, 2, 3):
        uid = f"1.2.{man}"
        images = coronal_series(series=str(man), PatientID=f"man-{man}")
        paths = write_dicom(tmp_path / "bucket" / uid, images)
        size = sum(path.stat().st_size for path in paths)
        rows.append(one(uid, f"man-{man}", images=len(paths), size=size))

    def copy(uids, folder):
        for uid in uids:
            shutil.copytree(tmp_path / "bucket" / uid, folder / uid)
        return ""

    monkeypatch.setattr(archive, "read_index", lambda: table(*rows))
    monkeypatch.setattr(download, "transfer", copy)
    quiet = partial(convert, processes=1, progress=False)
    monkeypatch.setattr(download, "convert", quiet)
    for patients in ("2", "3"):
        result = run("mine", "--patients", patients, "--yes")
        assert f"scans in mine: {patients}" in result.stdout, result.output
    assert len(SliceIndex.from_folder("mine").patients) == 3
