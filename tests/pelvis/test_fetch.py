"""``vqlib data fetch``: what it lists, asks, downloads and writes, and how it exits.

A stand-in takes the place of the archive: it copies small files, or fails.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import commands
import pandas as pd
import pytest
from scan_files import coronal_series, series, write_dicom

from pelvis import fetch
from pelvis.convert import Report, convert
from vqlib.data import SliceIndex

CITATION = "Doe, J. (2020). A set. https://doi.org/10.1234/alpha"
READ_INDEX, READ_CITATIONS = fetch.read_index, fetch.citations
INDEX = pd.DataFrame(
    [
        *(series(f"1.{n}", f"man-{n:02}") for n in range(25)),
        series("2.1", "w-1", "Cor T1", "beta", size=5_000_000_000),
        series("2.2", "w-2", "Cor T2", "beta", licence="CC BY-NC 4.0"),
        series("2.3", "w-3", "Cor T2", "beta"),
        series("4.1", "x", "dyn_tra", "delta"),
    ]
)
THREE, FOUR = ("mine", "--patients", "3", "--yes"), ("mine", "--patients", "4", "--yes")


class Archive:
    """Copies a file for each series, but for those that are ``broken``."""

    def __init__(self):
        self.asked, self.broken = [], {}

    def __call__(self, uids, downloads):
        for uid in uids:
            self.asked.append(uid)
            fault = self.broken.get(uid)
            (downloads / uid).mkdir(exist_ok=True)
            (downloads / uid / "a.dcm").write_bytes(b"12" if fault else b"123")
            if fault is KeyboardInterrupt:
                raise fault


@pytest.fixture(autouse=True)
def copies(tmp_path, monkeypatch):
    """A small archive; nothing is converted but in name."""

    def named(source, folder):
        folder.mkdir(exist_ok=True)
        (folder / "convert.json").write_text("")
        return Report(len(list(source.iterdir())), 0, [], [])

    monkeypatch.chdir(tmp_path)
    copies = Archive()
    monkeypatch.setattr(fetch, "read_index", lambda: INDEX)
    monkeypatch.setattr(fetch, "citations", lambda d: dict.fromkeys(d, CITATION))
    monkeypatch.setattr(fetch, "transfer", copies)
    monkeypatch.setattr(fetch, "convert", named)
    return copies


run = partial(commands.vqlib, "data", "fetch")
refused = partial(commands.refused, "data", "fetch")


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def credits():
    return json.loads(Path("mine/credits.json").read_text("utf-8"))


def test_listing_downloads_nothing(copies):
    header, first, second, *_ = run().stdout.splitlines()
    assert header.split() == ["collection", "series", "patients", "MB", "licence"]
    assert first.split()[:3] == ["prostatex", "25", "25"]
    assert second.split()[:4] == ["beta", "3", "3", "5000"]
    assert second.endswith("CC BY 4.0, CC BY-NC 4.0")
    lines = run("--collection", "beta").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["Cor", "T2"], ["Cor", "T1"]]
    assert run("--description", "dyn").stdout.splitlines()[1].split()[0] == "delta"
    assert not copies.asked
    assert names(".") == []


def test_shows_licence_and_citation_before_it_asks(copies):
    result = run("mine", answer="n\n", code=1)
    shown = result.stdout[: result.stdout.index("download and convert?")]
    for words in ("CC BY 4.0", CITATION, "rg.230180", "to download: 20 series"):
        assert words in shown
    assert "nothing was downloaded" in result.stderr
    assert not copies.asked
    assert names(".") == []


def test_fetch_after_yes(copies):
    run("mine", "--patients", "3", answer="y\n")
    assert copies.asked == names("mine.dicom") == ["1.0", "1.1", "1.2"]
    assert credits()["cite"][0] == CITATION
    assert "10.1148/rg.230180" in credits()["cite"][1]
    patients = [one["patient"] for one in credits()["series"]]
    assert patients == ["man-00", "man-01", "man-02"]
    run("mine", "--patients", "3")  # nothing to ask
    Path("mine.dicom/1.2/a.dcm").write_bytes(b"1")  # of a killed download
    run(*FOUR)
    assert copies.asked[3:] == ["1.2", "1.3"]
    assert len(credits()["series"]) == 4


def test_what_is_chosen(monkeypatch):
    """T2-weighted, then as most patients have it, then the one of most images."""
    assert list(fetch.choose("Beta", "all", "t2")["uid"]) == ["2.2", "2.3"]
    assert len(fetch.choose(None, "all", None)) == 25
    rows = [
        series("1", "a", "cor rare", images=90),
        series("2", "a", "cor", images=20),
        series("3", "a", "cor", images=30),
        series("4", "b", "cor"),
        series("5", "b", "COR T2 FRFSE"),
    ]
    monkeypatch.setattr(fetch, "read_index", lambda: pd.DataFrame(rows))
    assert list(fetch.choose(None, "2", None)["uid"]) == ["3", "5"]


def test_coronal_by_the_description():
    coronal = "t2_tse_cor|COR T2 TSE|T2W_TSE_CORA|T1 coronal|t2_tse_cor_320_p2"
    others = "t2_tse_tra|cortex|decor||t2_trufi_cor_loc multi|Cor LOC|cor localizer|"
    others += "dyn_SUB_MIP_COR|Trufi_COR_MPR"
    rows = [series(text, "a", text) for text in f"{coronal}|{others}".split("|")]
    found = fetch.select(pd.DataFrame(rows), None, None)
    assert list(found["uid"]) == coronal.split("|")


def test_a_failed_series_is_counted_and_others_kept(copies):
    copies.broken = dict.fromkeys(INDEX["uid"], "no such host")
    assert "none of 20 series came; check the network" in refused("mine", "--yes")
    copies.broken = {"1.1": "no object found"}
    assert "1 of 3 series did not come" in run(*THREE, code=1).stdout
    assert names("mine.dicom") == ["1.0", "1.2"]  # what came in part is gone
    assert [one["uid"] for one in credits()["series"]] == ["1.0", "1.2"]


def test_an_interrupted_download_goes_on(copies):
    copies.broken["1.1"] = KeyboardInterrupt
    assert "the same command goes on from there" in run(*THREE, code=130).stderr
    assert not Path("mine").exists()
    copies.broken.clear()
    run(*THREE)
    assert copies.asked == ["1.0", "1.1", "1.1", "1.2"]


def test_from_the_archive_to_slices(tmp_path, monkeypatch):
    """Three men's series come, in two goes, and become slices of three splits."""
    rows, bucket = [], tmp_path / "bucket"
    for man in (1, 2, 3):
        uid = f"1.2.{man}"
        images = coronal_series(series=str(man), PatientID=f"man-{man}")
        paths = write_dicom(bucket / uid, images)
        size = sum(path.stat().st_size for path in paths)
        rows.append(series(uid, f"man-{man}", images=len(paths), size=size))

    def copy(uids, folder):
        for uid in uids:
            shutil.copytree(bucket / uid, folder / uid)

    monkeypatch.setattr(fetch, "read_index", lambda: pd.DataFrame(rows))
    monkeypatch.setattr(fetch, "transfer", copy)
    quiet = partial(convert, processes=1, progress=False)
    monkeypatch.setattr(fetch, "convert", quiet)
    for patients in (2, 3):
        said = run("mine", "--patients", patients, "--yes").stdout
        assert "scans converted" in said
    assert len(SliceIndex.from_folder("mine").patients) == 3


def test_the_real_index():
    """Names that the command's help and the docs rely on are still there."""
    pytest.importorskip("idc_index_data")
    index = READ_INDEX()
    assert index["licence"].str.startswith("CC").all()
    assert not index["licence"].str.contains("ND").any()
    prostatex = fetch.select(index, fetch.DEFAULT_COLLECTION, None)
    assert prostatex["patient"].nunique() > 300
    assert set(prostatex["licence"]) == {"CC BY 3.0"}
    assert len(fetch.select(index, "cptac_ucec", "t1_tse_cor"))
    (text,) = READ_CITATIONS(prostatex["doi"]).values()
    assert text.startswith("Litjens, G.")
    assert "https://doi.org/10.7937" in text
