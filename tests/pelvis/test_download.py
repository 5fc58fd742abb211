"""Downloading into a folder, with a stand-in for the archive, and the credits."""

import errno
import json
import logging
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from archive_index import series, table
from scan_files import coronal_series, write_dicom
from slice_files import refusal

from pelvis import archive, download
from pelvis.convert import convert
from pelvis.download import CREDITS, check_target, make_slices, missing
from vqlib.data import SliceIndex
from vqlib.errors import UserError

CHOSEN = table(*(series(f"1.{n}", f"man-{n}", images=2, size=30) for n in range(4)))
FILES = {"a.dcm": b"0123456789", "b.dcm": b"01234567890123456789"}


class Archive:
    """Gives each series two files; ``broken`` ones come in part, or with a fault."""

    def __init__(self, said="", **broken):
        self.said, self.broken, self.asked = said, broken, []

    def __call__(self, uids, downloads):
        self.asked += uids
        for uid in uids:
            (downloads / uid).mkdir()
            (downloads / uid / "a.dcm").write_bytes(FILES["a.dcm"])
            fault = self.broken.get("u" + uid.replace(".", "_"))
            if isinstance(fault, BaseException):
                raise fault
            if not fault:
                (downloads / uid / "b.dcm").write_bytes(FILES["b.dcm"])
        return self.said


@pytest.fixture
def downloads(tmp_path):
    return tmp_path / "mine.dicom"


@pytest.fixture
def fetched(downloads, monkeypatch):
    """Downloads with a stand-in; returns it."""

    def fetch(chosen=CHOSEN, **archive):
        stand_in = Archive(**archive)
        monkeypatch.setattr(download, "transfer", stand_in)
        stand_in.failed = download.download(chosen, downloads)
        return stand_in

    return fetch


@pytest.fixture(autouse=True)
def converted(monkeypatch):
    """Notes what is converted, instead of converting it."""
    calls = []

    def convert(source, folder):
        calls.append(sorted(path.name for path in Path(source).iterdir()))
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "manifest.csv").write_text("")
        return "report"

    monkeypatch.setattr(download, "convert", convert)
    monkeypatch.setattr(archive, "citations", lambda dois: dict.fromkeys(dois, "Doe."))
    monkeypatch.setattr(archive, "index_version", lambda: "IDC v99")
    return calls


def test_download_fetches_once(downloads, fetched):
    assert fetched().asked == ["1.0", "1.1", "1.2", "1.3"]
    assert (downloads / "1.2" / "b.dcm").read_bytes() == FILES["b.dcm"]
    assert missing(CHOSEN, downloads).empty
    again = fetched()
    assert (again.asked, again.failed) == ([], {})


def test_an_interrupted_download_goes_on(downloads, fetched):
    with pytest.raises(KeyboardInterrupt):
        fetched(u1_2=KeyboardInterrupt())
    assert sorted(path.name for path in downloads.iterdir()) == ["1.0", "1.1"]
    assert fetched().asked == ["1.2", "1.3"]


def test_a_killed_download_goes_on(downloads, fetched):
    """What a killed process left in part does not count."""
    (downloads / "1.1").mkdir(parents=True)
    (downloads / "1.1" / "old.dcm").write_bytes(b"half")
    assert fetched().failed == {}
    found = {p.name: p.read_bytes() for p in (downloads / "1.1").iterdir()}
    assert found == FILES


def test_a_failed_series_is_named_and_others_kept(downloads, fetched):
    said = f'a line\nERROR "cp s3://x/* {downloads}/1.1": no such host\n'
    assert fetched(said=said, u1_1=True).failed == {"1.1": "no such host"}
    assert list(missing(CHOSEN, downloads)["uid"]) == ["1.1"]
    assert sorted(path.name for path in downloads.iterdir()) == ["1.0", "1.2", "1.3"]


@pytest.mark.parametrize("wrong", [{"images": 3}, {"size": 31}])
def test_an_incomplete_series_is_not_kept(downloads, fetched, wrong):
    chosen = table(series("1.0", images=2, size=30), series("1.1", **wrong))
    assert fetched(chosen).failed == {"1.1": "not all of its files came"}
    assert not (downloads / "1.1").exists()


def test_network_down(downloads, fetched):
    with pytest.raises(UserError, match=r"none of 4 series came .*network connection"):
        fetched(u1_0=True, u1_1=True, u1_2=True, u1_3=True)
    assert not downloads.exists()


def test_folders_that_cannot_be_used(tmp_path, downloads, monkeypatch):
    (tmp_path / "file").write_text("")
    line = refusal(download.download, CHOSEN, tmp_path / "file" / "x")
    assert "cannot write there (Not a directory)" in line
    target = tmp_path / "mine"
    line = refusal(check_target, CHOSEN, tmp_path / "file", downloads)
    assert "cannot be read (Not a directory)" in line
    target.mkdir()
    check_target(CHOSEN, target, downloads)  # empty
    (target / "thesis.tex").write_text("")
    assert "not empty" in refusal(check_target, CHOSEN, target, downloads)

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", refuse)
    line = refusal(check_target, CHOSEN, target, downloads)
    assert "cannot be read (Permission denied)" in line


def test_credits_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(path, content):
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    line = refusal(download.write_credits, CHOSEN, tmp_path)
    assert "cannot write there (No space left on device); free some space" in line
    assert list(tmp_path.iterdir()) == []


def test_disk_too_small(tmp_path, downloads, monkeypatch):
    needed = 4 * 30 + 4 * download.CONVERTED
    free = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    line = refusal(check_target, CHOSEN, tmp_path / "mine", downloads)
    assert "16 MB free" in line
    assert "--patients" in line
    free.free = needed
    check_target(CHOSEN, tmp_path / "mine", downloads)


def test_folders_of_another_choice(tmp_path, downloads, fetched):
    target = tmp_path / "mine"
    fetched()
    line = refusal(check_target, CHOSEN[:3], target, downloads)
    assert f"{downloads} holds series that are not in this choice (1.3)" in line
    make_slices(CHOSEN, downloads, target)
    shutil.rmtree(downloads)
    line = refusal(check_target, CHOSEN[1:], target, downloads)
    assert f"{target} holds series that are not in this choice (1.0)" in line
    check_target(CHOSEN, target, downloads)
    (target / CREDITS).write_text("{}")
    assert "credits.json is damaged" in refusal(check_target, CHOSEN, target, downloads)


def test_slices_and_credits(tmp_path, downloads, fetched, converted):
    fetched(u1_1=True)
    assert make_slices(CHOSEN, downloads, tmp_path / "mine") == "report"
    assert converted == [["1.0", "1.2", "1.3"]]
    credits = json.loads((tmp_path / "mine" / CREDITS).read_text(encoding="utf-8"))
    assert credits["archive"] == "NCI Imaging Data Commons, IDC v99"
    assert credits["credit"] == [
        "alpha, CC BY 4.0, https://doi.org/10.1234/alpha, resampled"
    ]
    assert credits["cite"][0] == "Doe."
    assert "10.1148/rg.230180" in credits["cite"][1]
    assert [one["uid"] for one in credits["series"]] == ["1.0", "1.2", "1.3"]
    assert credits["series"][0]["patient"] == "man-0"


def test_slices_are_credited_whatever_stops_the_others(
    tmp_path, downloads, fetched, monkeypatch
):
    def convert(source, folder):
        raise UserError("a faulty series")

    fetched()
    monkeypatch.setattr(download, "convert", convert)
    target = tmp_path / "mine"
    target.mkdir()
    assert refusal(make_slices, CHOSEN, downloads, target) == "a faulty series"
    assert not list(target.iterdir())
    (target / "manifest.csv").write_text("")
    assert refusal(make_slices, CHOSEN, downloads, target) == "a faulty series"
    assert (target / CREDITS).exists()


def test_the_client_is_asked_for_these_series_and_heard_quietly(
    downloads, monkeypatch, caplog
):
    class Client:
        def __init__(self):
            self.index = table({"SeriesInstanceUID": "1"}, {"SeriesInstanceUID": "2"})

        def download_from_selection(self, folder, **how):
            assert list(self.index["SeriesInstanceUID"]) == ["2"]
            assert folder == str(downloads)
            assert how["seriesInstanceUID"] == ["2"]
            assert how["dirTemplate"] == "%SeriesInstanceUID"
            logging.getLogger("idc_index.index").error("ERROR %s", "no such host")

    monkeypatch.setitem(sys.modules, "idc_index", SimpleNamespace(IDCClient=Client))
    assert download.transfer(["2"], downloads) == "ERROR no such host"
    assert not caplog.records


def test_sizes_are_readable():
    sizes = [2e6, 999.4e6, 999.6e6, 1.25e9]
    texts = [download.size_text(size) for size in sizes]
    assert texts == ["2 MB", "999 MB", "1.0 GB", "1.2 GB"]


def test_from_the_archive_to_slices(tmp_path, downloads, monkeypatch):
    """Three men's series come, in two goes, and become slices of three splits."""
    rows = []
    for man in (1, 2, 3):
        uid = f"1.2.{man}"
        images = coronal_series(series=str(man), PatientID=f"man-{man}")
        paths = write_dicom(tmp_path / "bucket" / uid, images)
        size = sum(path.stat().st_size for path in paths)
        rows.append(series(uid, f"man-{man}", images=len(paths), size=size))

    def copy(uids, folder):
        for uid in uids:
            shutil.copytree(tmp_path / "bucket" / uid, folder / uid)
        return ""

    monkeypatch.setattr(download, "transfer", copy)
    monkeypatch.setattr(
        download, "convert", partial(convert, processes=1, progress=False)
    )
    target = tmp_path / "mine"
    for part in (table(*rows[:2]), table(*rows)):
        check_target(part, target, downloads)
        assert download.download(part, downloads) == {}
        report = make_slices(part, downloads, target)
        assert not report.faults
    assert (report.converted, report.skipped) == (1, 2)
    assert len(SliceIndex.from_folder(target).patients) == 3
    credits = json.loads((target / CREDITS).read_text(encoding="utf-8"))
    assert [one["patient"] for one in credits["series"]] == ["man-1", "man-2", "man-3"]
