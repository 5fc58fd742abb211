"""``vqlib data fetch``: what it lists, asks, says, and how it exits."""

import json

import pytest
from archive_index import series, table
from click.testing import CliRunner

from pelvis import archive, download
from pelvis.convert import Report
from vqlib.cli import main

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


class Archive:
    """Copies a file for each series, but for those that are ``broken``."""

    def __init__(self):
        self.asked, self.broken = [], {}

    def __call__(self, uids, downloads):
        said = ""
        for uid in uids:
            self.asked.append(uid)
            fault = self.broken.get(uid, "")
            if isinstance(fault, BaseException):
                raise fault
            if fault:
                said += f'ERROR "cp {downloads}/{uid}": {fault}\n'
            else:
                (downloads / uid).mkdir()
                (downloads / uid / "a.dcm").write_bytes(b"123")
        return said


@pytest.fixture(autouse=True)
def copies(tmp_path, monkeypatch):
    """A small archive; nothing is converted but in name."""
    monkeypatch.chdir(tmp_path)
    copies = Archive()
    monkeypatch.setattr(archive, "read_index", lambda: INDEX)
    monkeypatch.setattr(archive, "index_version", lambda: "IDC v99")
    monkeypatch.setattr(archive, "citations", lambda d: dict.fromkeys(d, CITATION))
    monkeypatch.setattr(download, "transfer", copies)
    monkeypatch.setattr(download, "convert", convert)
    return copies


def convert(source, folder):
    folder.mkdir(exist_ok=True)
    (folder / "manifest.csv").write_text("")
    return Report(folder, len(list(source.iterdir())), 0)


def run(*arguments, answer=None):
    return CliRunner().invoke(main, ["data", "fetch", *arguments], input=answer)


def refused(*arguments, answer=None):
    """The one line that a refused command ends with."""
    result = run(*arguments, answer=answer)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_help():
    assert "download nothing" in run("--help").output


def test_listing_downloads_nothing(copies, tmp_path):
    result = run()
    assert result.exit_code == 0
    header, first, second, few, *_ = result.stdout.splitlines()
    assert header.split()[:3] == ["collection", "series", "patients"]
    assert first.split()[:3] == ["prostatex", "25", "25"]
    assert second.split()[:5] == ["beta", "3", "3", "5.0", "GB"]
    assert "CC BY 4.0, CC BY-NC 4.0 (non-commercial)" in second
    assert second.endswith("women")
    assert few == "with fewer than 3 patients: gamma"
    assert "IDC v99" in result.stdout
    assert not copies.asked
    assert not list(tmp_path.iterdir())


def test_listing_of_one_collection():
    lines = run("--collection", "beta").stdout.splitlines()
    assert [line[:6] for line in lines[1:3]] == ["Cor T2", "Cor T1"]
    lines = run("--description", "dyn").stdout.splitlines()
    assert lines[0] == "with fewer than 3 patients: delta"


def test_listing_for_machines():
    listed = json.loads(run("--json").stdout)
    assert [one["name"] for one in listed] == ["prostatex", "beta", "gamma"]
    assert listed[1]["size"] == 5_000_000_006


def test_shows_licence_and_citation_before_it_asks(copies):
    result = run("mine", answer="n\n")
    shown = result.stdout[: result.stdout.index("download and convert?")]
    assert f"CC BY 4.0: {CITATION}" in shown
    assert "10.1148/rg.230180" in shown
    assert "to download: 20 series" in shown
    assert result.exit_code == 1
    assert "nothing was downloaded" in result.stderr
    assert not copies.asked


def test_no_one_to_answer(copies, tmp_path):
    assert "--yes" in refused("mine", answer="")
    assert not list(tmp_path.iterdir())


def test_fetch_after_yes(copies, tmp_path):
    result = run("mine", "--patients", "3", answer="y\n")
    assert result.exit_code == 0, result.output
    assert copies.asked == ["1.0", "1.1", "1.2"]
    assert (tmp_path / "mine.dicom" / "1.0" / "a.dcm").exists()
    credits = json.loads((tmp_path / "mine" / "credits.json").read_text("utf-8"))
    assert credits["cite"][0] == CITATION


def test_what_is_there_is_neither_asked_nor_fetched_again(copies):
    run("mine", "--patients", "2", "--yes")
    assert run("mine", "--patients", "2").exit_code == 0
    assert run("mine", "--patients", "4", "--yes").exit_code == 0
    assert copies.asked == ["1.0", "1.1", "1.2", "1.3"]


def test_chosen_series_and_folder(copies, tmp_path):
    arguments = ["--series", "4.1", "--series", "1.7", "--download-dir", "down"]
    assert run("mine", *arguments, "--yes").exit_code == 0
    assert copies.asked == ["4.1", "1.7"]
    assert {path.name for path in (tmp_path / "down").iterdir()} == {"4.1", "1.7"}


def test_all_patients_and_every_series(copies):
    assert run("a", "--patients", "all", "--yes").exit_code == 0
    assert len(copies.asked) == 25
    arguments = ["--collection", "beta", "--description", "t2", "--every-series"]
    assert run("b", *arguments, "--yes").exit_code == 0
    assert copies.asked[25:] == ["2.2", "2.3"]


def test_failed_series_is_named(copies, tmp_path):
    copies.broken["1.1"] = "no object found"
    result = run("mine", "--patients", "3", "--yes")
    assert result.exit_code == 1
    assert "series 1.1 did not come (no object found)" in result.stdout
    assert "1 of 3 series did not come" in result.stderr.splitlines()[-1]
    assert (tmp_path / "mine" / "credits.json").exists()


def test_faults_of_the_conversion(copies, monkeypatch):
    report = Report(None, 1, 1, ("1.1 lacks slices; leave it out",), ("a remark",))
    monkeypatch.setattr(download, "convert", lambda *args: report)
    result = run("mine", "--patients", "3", "--yes")
    assert result.exit_code == 1
    *_, note, fault, done = result.stdout.splitlines()
    assert (note, fault) == ("a remark", "1.1 lacks slices; leave it out")
    assert done.startswith("scans in mine: 2;")
    assert "1 faults" in result.stderr.splitlines()[-1]


def test_interrupted(copies, tmp_path):
    copies.broken["1.1"] = KeyboardInterrupt()
    result = run("mine", "--patients", "3", "--yes")
    assert result.exit_code == 130
    assert "1 of 3 series are in" in result.stderr
    assert not (tmp_path / "mine").exists()


def test_network_down(copies, tmp_path):
    copies.broken = dict.fromkeys(INDEX["uid"], "no such host")
    assert "none of 20 series came (no such host)" in refused("mine", "--yes")
    assert not (tmp_path / "mine").exists()


def test_refusals(copies, tmp_path):
    for arguments, message in [
        (["--collection", "bet"], "did you mean 'beta'"),
        (["mine", "--collection", "prostatx"], "did you mean 'prostatex'"),
        (["mine", "--collection", "delta"], "no series of delta is called coronal"),
        (["mine", "--description", "flair"], "has 'flair' in its description"),
        (["mine", "--series", "9.9"], "series 9.9 is not among"),
        (["mine", "--series", "1.1", "--collection", "beta"], "leave out"),
        (["mine", "--patients", "0"], "--patients '0' must be"),
        (["mine", "--patients", "some"], "--patients 'some' must be"),
        (["mine", "--json"], "leave out DIR"),
        (["mine", "--max-size", "big"], "such as '500 MB'"),
        (["mine", "--collection", "beta"], "5.0 GB, more than --max-size 2 GB"),
    ]:
        assert message in refused(*arguments), arguments
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    assert "not empty" in refused("other", "--yes")
    assert not copies.asked
