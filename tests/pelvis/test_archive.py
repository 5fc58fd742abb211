"""What is listed from the archive's index, and what a choice takes."""

import sys

import pytest
from archive_index import INDEX, series, write_index
from slice_files import refusal

from pelvis import archive


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts an index of a few rows in the place of the archive's."""
    pytest.importorskip("duckdb")

    def put(rows, citations=()):
        module = write_index(tmp_path, rows, citations)
        monkeypatch.setitem(sys.modules, "idc_index_data", module)

    return put


def uids(found):
    return [one.uid for one in found]


def test_index_lists_open_pelvic_mr(stand_in):
    kept = [
        series("1", licence="CC BY 3.0"),
        series("2", licence="CC BY-NC 4.0", body_part="PELVIS"),
        series("3", licence="CC0 1.0", sex="", images=10),
    ]
    left_out = [
        series("4", licence="CC BY-ND 4.0"),
        series("5", licence="CC BY-NC-ND 4.0"),
        series("6", licence="Terms and Conditions"),
        series("7", licence=""),
        series("8", body_part="BREAST"),
        series("9", images=9),
        (series("10"), "CT"),
    ]
    stand_in([*left_out, *kept])
    assert archive.read_index() == kept
    assert archive.index_version() == "IDC v99"


def test_empty_cells_of_the_index(stand_in):
    stand_in([series("1", sex=None, description=None, doi=None)])
    assert archive.read_index() == [series("1", sex="", description="", doi="")]
    stand_in([series("2", body_part=None), series("3", licence=None)])
    assert archive.read_index() == []


def test_citations_are_plain_text(stand_in):
    stand_in(
        [], [("10.1234/a", "Doe &amp; Roe. <i>A\nset</i> [Data set]."), ("b", None)]
    )
    assert archive.citations(["10.1234/A", "10.1/b", "10.1234/A"]) == {
        "10.1/b": "https://doi.org/10.1/b",
        "10.1234/A": "Doe & Roe. A set [Data set].",
    }


@pytest.mark.parametrize("module", ["idc_index_data", "duckdb"])
def test_package_missing(monkeypatch, module):
    pytest.importorskip("duckdb")
    pytest.importorskip("idc_index_data")
    monkeypatch.setitem(sys.modules, module, None)
    assert 'pip install -e ".[fetch]"' in refusal(archive.read_index)
    assert module in refusal(archive.citations, [])


@pytest.mark.parametrize(
    ("description", "coronal"),
    [
        ("t2_tse_cor", True),
        ("COR T2 TSE", True),
        ("T2W_TSE_CORA", True),
        ("T1 coronal", True),
        ("t2_tse_cor_320_p2", True),
        ("t2_tse_tra", False),
        ("cortex", False),
        ("decor", False),
        ("", False),
        ("t2_trufi_cor_loc multi", False),
        ("Cor LOC", False),
        ("cor localizer", False),
        ("dyn_SUB_MIP_COR", False),
        ("Trufi_COR_MPR", False),
    ],
)
def test_coronal_by_the_description(description, coronal):
    assert archive.is_coronal(series("1", description=description)) is coronal


def test_offers_count_and_name():
    alpha, beta = archive.offers(archive.select(INDEX))
    assert (alpha.name, alpha.series, alpha.patients) == ("alpha", 4, 3)
    assert alpha.size == 10_000_000
    assert alpha.licence == "CC BY 4.0"
    assert alpha.shows == "prostate; men"
    assert beta.licence == "CC BY 4.0, CC BY-NC 4.0 (non-commercial)"
    assert beta.shows == "pelvis/prostate/uterus; women, sex not told"


def test_offers_by_description():
    kinds = archive.offers(archive.select(INDEX, "alpha"), by="description")
    assert [(kind.name, kind.patients) for kind in kinds] == [
        ("t1_tse_cor", 2),
        ("COR T2 FRFSE", 1),
        ("t2_tse_cor", 1),
    ]


def test_select_by_collection_and_description():
    assert uids(archive.select(INDEX, "Beta-MRI")) == ["2.1", "2.2", "2.3"]
    assert uids(archive.select(INDEX, "alpha", "LOCALIZER")) == ["1.6"]
    assert uids(archive.select(INDEX, None, "tra")) == ["1.5", "3.1"]


def test_select_refuses():
    assert "did you mean 'alpha'" in refusal(archive.select, INDEX, "alfa")
    no_coronal = refusal(archive.select, INDEX, "gamma")
    assert "no series of gamma is called coronal" in no_coronal
    assert "'dyn_tra'" in no_coronal
    assert "no series of alpha has 'flair'" in refusal(
        archive.select, INDEX, "alpha", "flair"
    )


def test_take_one_series_a_patient():
    found = archive.select(INDEX, "alpha")
    assert uids(archive.take(found)) == ["1.1", "1.3", "1.4"]
    assert uids(archive.take(found, patients=2)) == ["1.1", "1.3"]
    every = archive.take(found, patients=2, every_series=True)
    assert uids(every) == ["1.1", "1.2", "1.3"]


def test_take_prefers_the_common_then_the_larger():
    found = [
        series("1", "a", "cor rare", images=90),
        series("2", "a", "cor", images=20),
        series("3", "a", "cor", images=30),
        series("4", "b", "cor"),
    ]
    assert uids(archive.take(found, patients=1)) == ["3"]


def test_a_smaller_choice_is_part_of_a_larger():
    found = [series(f"1.{n}", f"man-{n % 7}") for n in range(20)]
    few, more = archive.take(found, 3), archive.take(found[::-1], None)
    assert set(few) < set(more)
    assert len(more) == 7


def test_by_uid(monkeypatch):
    monkeypatch.setattr(archive, "index_version", lambda: "IDC v99")
    assert uids(archive.by_uid(INDEX, ["2.1", "1.5", "2.1"])) == ["2.1", "1.5"]
    fault = refusal(archive.by_uid, INDEX, ["1.1", "9.9"])
    assert "series 9.9 is not among the 10" in fault


def test_the_real_index():
    """Names that the command's help and the README rely on are still there."""
    pytest.importorskip("duckdb")
    pytest.importorskip("idc_index_data")
    index = archive.read_index()
    listed = {offer.name: offer for offer in archive.offers(archive.select(index))}
    default = listed[archive.DEFAULT_COLLECTION]
    assert default.patients > 300
    assert default.licence == "CC BY 3.0"
    assert default.shows == "prostate; men"
    assert archive.select(index, "cptac_ucec", "t1_tse_cor")
    chosen = archive.take(archive.select(index, archive.DEFAULT_COLLECTION))
    assert len({one.patient for one in chosen}) == len(chosen) == 20
    assert all(one.url.startswith("s3://") for one in chosen)
    (text,) = archive.citations({one.doi for one in chosen}).values()
    assert text.startswith("Litjens, G.")
    assert "https://doi.org/10.7937" in text
