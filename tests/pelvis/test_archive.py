"""What is listed from the archive's index, and what a choice takes."""

import sys

import pytest
from slice_files import refusal

pytest.importorskip("pyarrow")

from archive_index import INDEX, series, table, write_index

from pelvis import archive


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts an index of a few rows in the place of the archive's."""

    def put(*rows, citations=()):
        module = write_index(tmp_path, rows, citations)
        monkeypatch.setitem(sys.modules, "idc_index_data", module)
        return archive.read_index()

    return put


def test_index_lists_open_pelvic_mr(stand_in):
    kept = [
        series("1", licence="CC BY 3.0"),
        series("2", licence="CC BY-NC 4.0", body_part="PELVIS"),
        series("3", licence="CC0 1.0", sex="", images=10),
    ]
    licences = ["CC BY-ND 4.0", "CC BY-NC-ND 4.0", "Terms and Conditions", ""]
    left_out = [
        *(series(f"4.{n}", licence=licence) for n, licence in enumerate(licences)),
        series("8", body_part="BREAST"),
        series("9", images=9),
        series("10", Modality="CT"),
    ]
    assert stand_in(*left_out, *kept).to_dict("records") == kept
    assert archive.index_version() == "IDC v99"


def test_empty_cells_of_the_index(stand_in):
    empty = {"sex": None, "description": None, "doi": None}
    rows = [
        series("1", **empty),
        series("2", body_part=None),
        series("3", licence=None),
    ]
    found = stand_in(*rows).to_dict("records")
    assert found == [series("1", **dict.fromkeys(empty, ""))]


def test_citations_are_plain_text(stand_in):
    text = "Doe &amp; Roe. <i>A\nset</i> [Data set]."
    stand_in(series("1"), citations=[("10.1234/a", text), ("b", None)])
    assert archive.citations(["10.1234/A", "10.1/b", "10.1234/A"]) == {
        "10.1/b": "https://doi.org/10.1/b",
        "10.1234/A": "Doe & Roe. A set [Data set].",
    }


def test_package_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "idc_index_data", None)
    for call in (archive.read_index, lambda: archive.citations([])):
        line = refusal(call)
        assert "idc_index_data" in line
        assert 'pip install -e ".[fetch]"' in line


def test_coronal_by_the_description():
    coronal = "t2_tse_cor|COR T2 TSE|T2W_TSE_CORA|T1 coronal|t2_tse_cor_320_p2"
    others = "t2_tse_tra|cortex|decor||t2_trufi_cor_loc multi|Cor LOC|cor localizer|"
    others += "dyn_SUB_MIP_COR|Trufi_COR_MPR"
    for texts, wanted in ((coronal, True), (others, False)):
        found = table(*(series("1", description=text) for text in texts.split("|")))
        assert (archive.is_coronal(found["description"]) == wanted).all()


def test_offers_count_and_name():
    alpha, beta = archive.offers(archive.select(INDEX)).to_dict("records")
    assert alpha == {
        "name": "alpha",
        "series": 4,
        "patients": 3,
        "size": 10_000_000,
        "licence": "CC BY 4.0",
        "shows": "prostate; men",
    }
    assert beta["licence"] == "CC BY 4.0, CC BY-NC 4.0 (non-commercial)"
    assert beta["shows"] == "pelvis/prostate/uterus; women, sex not given"
    kinds = archive.offers(archive.select(INDEX, "alpha"), by="description")
    assert list(zip(kinds["name"], kinds["patients"], strict=True)) == [
        ("t1_tse_cor", 2),
        ("COR T2 FRFSE", 1),
        ("t2_tse_cor", 1),
    ]


@pytest.mark.parametrize(
    ("how", "uids"),
    [
        (("Beta-MRI",), ["2.1", "2.2", "2.3"]),
        (("alpha", "LOCALIZER"), ["1.6"]),
        ((None, "tra"), ["1.5", "3.1"]),
    ],
)
def test_select_by_collection_and_description(how, uids):
    assert list(archive.select(INDEX, *how)["uid"]) == uids


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (("alfa",), ["did you mean 'alpha'"]),
        (("gamma",), ["no series of gamma is called coronal", "'dyn_tra'"]),
        (("alpha", "flair"), ["no series of alpha has 'flair'"]),
    ],
)
def test_select_refuses(how, words):
    line = refusal(archive.select, INDEX, *how)
    assert all(word in line for word in words)


def test_take():
    found = archive.select(INDEX, "alpha")
    assert list(archive.take(found)["uid"]) == ["1.1", "1.3", "1.4"]
    assert list(archive.take(found, patients=2)["uid"]) == ["1.1", "1.3"]
    every = archive.take(found, patients=2, every_series=True)
    assert list(every["uid"]) == ["1.1", "1.2", "1.3"]


def test_take_prefers_the_common_then_the_larger():
    found = table(
        series("1", "a", "cor rare", images=90),
        series("2", "a", "cor", images=20),
        series("3", "a", "cor", images=30),
        series("4", "b", "cor"),
    )
    assert list(archive.take(found, patients=1)["uid"]) == ["3"]


def test_a_smaller_choice_is_part_of_a_larger():
    found = table(*(series(f"1.{n}", f"man-{n % 7}") for n in range(20)))
    few, more = archive.take(found, 3), archive.take(found[::-1], None)
    assert set(few["uid"]) < set(more["uid"])
    assert len(more) == 7


def test_by_uid(monkeypatch):
    monkeypatch.setattr(archive, "index_version", lambda: "IDC v99")
    found = archive.by_uid(INDEX, ["2.1", "1.5", "2.1"])
    assert list(found["uid"]) == ["2.1", "1.5"]
    line = refusal(archive.by_uid, INDEX, ["1.1", "9.9"])
    assert "series 9.9 is not among the 10" in line


def test_the_real_index():
    """Names that the command's help and the README rely on are still there."""
    pytest.importorskip("idc_index_data")
    index = archive.read_index()
    listed = archive.offers(archive.select(index)).set_index("name")
    default = listed.loc[archive.DEFAULT_COLLECTION]
    assert default["patients"] > 300
    assert default["licence"] == "CC BY 3.0"
    assert default["shows"] == "prostate; men"
    assert len(archive.select(index, "cptac_ucec", "t1_tse_cor"))
    chosen = archive.take(archive.select(index, archive.DEFAULT_COLLECTION))
    assert chosen["patient"].nunique() == len(chosen) == 20
    (text,) = archive.citations(chosen["doi"]).values()
    assert text.startswith("Litjens, G.")
    assert "https://doi.org/10.7937" in text
