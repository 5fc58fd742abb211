"""An index of an archive, as idc-index has one, for the tests here."""

from types import SimpleNamespace

import pandas as pd

from pelvis.archive import COLUMNS

OPEN = "CC BY 4.0"


def series(uid, patient="man-1", description="t2_tse_cor", collection="alpha", **other):
    """A series of the archive with 20 images of 100 kB, as a row of a table."""
    return {
        "uid": uid,
        "collection": collection,
        "patient": patient,
        "sex": "M",
        "body_part": "PROSTATE",
        "description": description,
        "images": 20,
        "size": 2_000_000,
        "licence": OPEN,
        "doi": f"10.1234/{collection}",
    } | other


def table(*rows) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def write_index(folder, rows, citations=()):
    """A stand-in for the module ``idc_index_data``, with its two tables as files, of
    rows as from `series`, and of pairs of DOI and text."""
    found = table(*({"Modality": "MR"} | row for row in rows))
    found["size"] /= 1e6
    found = found.rename(columns={ours: theirs for theirs, ours in COLUMNS.items()})
    found.to_parquet(folder / "index.parquet")
    pairs = [{"source_doi": doi, "citation": text} for doi, text in citations]
    collections = folder / "collections.parquet"
    pd.DataFrame({"sources": [pairs]}).to_parquet(collections)
    return SimpleNamespace(
        __version__="99.1.0",
        IDC_INDEX_PARQUET_FILEPATH=folder / "index.parquet",
        INDEX_METADATA={"collections_index": {"parquet_filepath": collections}},
    )
