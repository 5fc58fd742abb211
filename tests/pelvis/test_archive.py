"""What is listed from the archive's index, and what a choice takes."""

import sys

import pytest
from slice_files import refusal

pytest.importorskip("pyarrow")

from archive_index import series, table, write_index

from pelvis import archive


def test_the_index_lists_open_pelvic_mr_and_how_to_cite_it(tmp_path, monkeypatch):
    empty = {"sex": None, "description": None, "doi": None}
    kept = [
        series("1", licence="CC BY 3.0"),
        series("2", licence="CC BY-NC 4.0", body_part="PELVIS"),
        series("3", licence="CC0 1.0", images=10, **dict.fromkeys(empty, "")),
    ]
    licences = ["CC BY-ND 4.0", "CC BY-NC-ND 4.0", "Terms and Conditions", "", None]
    left_out = [
        *(series(f"4.{n}", licence=licence) for n, licence in enumerate(licences)),
        series("7", body_part=None),
        series("8", body_part="BREAST"),
        series("9", images=9),
        series("10", Modality="CT"),
    ]
    said = "Doe &amp; Roe. <i>A\nset</i> [Data set]."
    rows = [*left_out, *kept[:2], kept[2] | empty]
    index = write_index(tmp_path, rows, [("10.1234/a", said), ("b", None)])
    monkeypatch.setitem(sys.modules, "idc_index_data", index)
    assert archive.read_index().to_dict("records") == kept
    assert archive.index_version() == "IDC v99"
    assert archive.citations(["10.1234/A", "10.1/b", "10.1234/A"]) == {
        "10.1/b": "https://doi.org/10.1/b",
        "10.1234/A": "Doe & Roe. A set [Data set].",
    }
    monkeypatch.setitem(sys.modules, "idc_index_data", None)
    line = refusal(archive.read_index)
    assert "idc_index_data is not installed" in line
    assert 'pip install -e ".[fetch]"' in line


def test_coronal_by_the_description():
    coronal = "t2_tse_cor|COR T2 TSE|T2W_TSE_CORA|T1 coronal|t2_tse_cor_320_p2"
    others = "t2_tse_tra|cortex|decor||t2_trufi_cor_loc multi|Cor LOC|cor localizer|"
    others += "dyn_SUB_MIP_COR|Trufi_COR_MPR"
    for texts, wanted in ((coronal, True), (others, False)):
        found = table(*(series("1", description=text) for text in texts.split("|")))
        assert (archive.is_coronal(found["description"]) == wanted).all()


def test_one_series_a_patient():
    """T2-weighted, then as most patients have it, then the one of most images."""
    rows = [
        series("1", "a", "cor rare", images=90),
        series("2", "a", "cor", images=20),
        series("3", "a", "cor", images=30),
        series("4", "b", "cor"),
        series("5", "b", "COR T2 FRFSE", images=10),
    ]
    assert list(archive.take(table(*rows))["uid"]) == ["3", "5"]
    assert list(archive.take(table(*rows[::-1]), patients=1)["uid"]) == ["3"]


def test_the_real_index():
    """Names that the command's help and the README rely on are still there."""
    pytest.importorskip("idc_index_data")
    index = archive.read_index()
    listed = archive.offers(archive.select(index)).set_index("name")
    default = listed.loc[archive.DEFAULT_COLLECTION]
    assert default["patients"] > 300
    assert (default["licence"], default["shows"]) == ("CC BY 3.0", "prostate; men")
    assert len(archive.select(index, "cptac_ucec", "t1_tse_cor"))
    chosen = archive.take(archive.select(index, archive.DEFAULT_COLLECTION))
    assert chosen["patient"].nunique() == len(chosen) == 20
    (text,) = archive.citations(chosen["doi"]).values()
    assert text.startswith("Litjens, G.")
    assert "https://doi.org/10.7937" in text
