"""A small index of an archive, as idc-index has one, and series that fit it."""

from types import SimpleNamespace

from pelvis.archive import Series

OPEN = "CC BY 4.0"


def series(uid, patient="man-1", description="t2_tse_cor", collection="alpha", **other):
    """A series of the archive with 20 images of 100 kB."""
    values = {
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
        "url": f"s3://bucket/{uid}/*",
    }
    return Series(**(values | other))


INDEX = [
    series("1.1", "man-1"),
    series("1.2", "man-1", "t1_tse_cor"),
    series("1.3", "man-2", "t1_tse_cor", size=4_000_000),
    series("1.4", "man-3", "COR T2 FRFSE"),
    series("1.5", "man-3", "t2_tse_tra"),
    series("1.6", "man-4", "t2_localizer"),
    series("2.1", "w-1", "Cor T1", "beta_mri", sex="F", body_part="PELVIS"),
    series("2.2", "w-2", "Cor T1", "beta_mri", sex="F", body_part="UTERUS"),
    series("2.3", "w-3", "Cor T1", "beta_mri", sex="", licence="CC BY-NC 4.0"),
    series("3.1", "x", "dyn_tra", "gamma"),
]


def write_index(folder, rows, citations):
    """A stand-in for the module ``idc_index_data``, with its two tables as files.

    ``rows`` are `Series` or (`Series`, other columns); ``citations`` are pairs of DOI
    and text. Needs duckdb, which idc-index brings.
    """
    import duckdb

    base = duckdb.connect()
    base.execute(
        "CREATE TABLE i (SeriesInstanceUID VARCHAR, collection_id VARCHAR, PatientID "
        "VARCHAR, PatientSex VARCHAR, BodyPartExamined VARCHAR, SeriesDescription "
        "VARCHAR, instanceCount BIGINT, series_size_MB DOUBLE, license_short_name "
        "VARCHAR, source_DOI VARCHAR, series_aws_url VARCHAR, Modality VARCHAR)"
    )
    for row in rows:
        one, modality = row if isinstance(row, tuple) else (row, "MR")
        values = list(vars(one).values())
        values[7] /= 1e6
        base.execute(f"INSERT INTO i VALUES ({'?, ' * 11}?)", [*values, modality])
    index, table = folder / "index.parquet", folder / "collections.parquet"
    base.execute(f"COPY i TO '{index}' (FORMAT parquet)")
    base.execute(
        "CREATE TABLE c (sources STRUCT(source_doi VARCHAR, citation VARCHAR)[])"
    )
    pairs = [{"source_doi": doi, "citation": text} for doi, text in citations]
    base.execute("INSERT INTO c VALUES (?)", [pairs])
    base.execute(f"COPY c TO '{table}' (FORMAT parquet)")
    return SimpleNamespace(
        __version__="99.1.0",
        IDC_INDEX_PARQUET_FILEPATH=index,
        INDEX_METADATA={"collections_index": {"parquet_filepath": table}},
    )
