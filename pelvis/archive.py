"""What the NCI Imaging Data Commons (IDC) has of the pelvis, and a choice from it.

The package ``idc-index`` (the extra ``fetch``) carries an index of all series in the
archive, so that listing needs no network. Offered is MR of one of `BODY_PARTS`, with a
licence that permits use and adaptation (CC0, CC BY, CC BY-SA, and their non-commercial
forms, which are named as such), that is coronal by its description, or has the
description asked for: the index does not say orientation or field of view.
"""

import html
import re
from collections.abc import Iterable
from importlib import import_module

import pandas as pd
from pandas import DataFrame

from vqlib.errors import UserError, unknown_name

BODY_PARTS = ("PROSTATE", "PELVIS", "BLADDER", "RECTUM", "UTERUS", "CERVIX")
MIN_IMAGES = 10  # scouts and thick slabs have fewer
DEFAULT_COLLECTION = "prostatex"  # by far the most patients, with the same sequence
# columns read of the index (all of them take a gigabyte) -> columns of our tables
COLUMNS = {
    "SeriesInstanceUID": "uid",
    "collection_id": "collection",
    "PatientID": "patient",
    "PatientSex": "sex",  # M, F, O (other), or empty
    "BodyPartExamined": "body_part",
    "SeriesDescription": "description",
    "instanceCount": "images",
    "series_size_MB": "size",  # in our tables bytes
    "license_short_name": "licence",
    "source_DOI": "doi",  # of the data set that it came with
}

CITATION = (
    "Fedorov, A., et al. (2023). National Cancer Institute Imaging Data Commons: "
    "Toward Transparency, Reproducibility, and Scalability in Imaging Artificial "
    "Intelligence. RadioGraphics. https://doi.org/10.1148/rg.230180"
)
_CORONAL = r"(?i)(?<![a-z])cor(?:a|onal)?(?![a-z])"
# no stack of images as they were taken: scouts, projections, subtractions
_DERIVED = r"(?i)(?<![a-z])(?:loc\w*|scout|mip|mpr|sub)(?![a-z])"
_OPEN = r"CC0\b.*|CC BY(?:-NC)?(?:-SA)? \d.*"


def read_index() -> DataFrame:
    """Every pelvic MR series with an open licence, coronal or not, by patient."""
    wanted = [("Modality", "==", "MR"), ("BodyPartExamined", "in", BODY_PARTS)]
    wanted.append(("instanceCount", ">=", MIN_IMAGES))
    path = needs_fetch("idc_index_data").IDC_INDEX_PARQUET_FILEPATH
    found = pd.read_parquet(path, columns=list(COLUMNS), filters=wanted)
    found = found.rename(columns=COLUMNS)
    found["size"] = (found["size"] * 1e6).round().astype("int64")
    found["images"] = found["images"].astype("int64")
    text = ["sex", "description", "licence", "doi"]
    found[text] = found[text].fillna("").astype(str)
    found = found[found["licence"].str.fullmatch(_OPEN)]
    return found.sort_values(["collection", "patient", "uid"], ignore_index=True)


def index_version() -> str:
    """The version of the archive that the installed index describes."""
    version = needs_fetch("idc_index_data").__version__
    return f"IDC v{version.partition('.')[0]}"


def citations(dois: Iterable[str]) -> dict[str, str]:
    """How to cite each data set, as the archive words it, or its DOI."""
    tables = needs_fetch("idc_index_data").INDEX_METADATA
    path = tables["collections_index"]["parquet_filepath"]
    table = pd.read_parquet(path, columns=["sources"])
    known = {}
    for source in table["sources"].explode().dropna():
        if source["source_doi"] and source["citation"]:
            text = html.unescape(re.sub(r"<[^>]+>", "", source["citation"]))
            known[source["source_doi"].lower()] = " ".join(text.split())
    dois = sorted(set(dois))
    return {doi: known.get(doi.lower(), f"https://doi.org/{doi}") for doi in dois}


def is_coronal(descriptions: pd.Series) -> pd.Series:
    """Whether descriptions say coronal, and no scout, projection or subtraction."""
    says = descriptions.str.contains
    return says(_CORONAL) & ~says(_DERIVED)


def offers(found: DataFrame, by: str = "collection") -> DataFrame:
    """Series counted by collection or description: columns name, series, patients, size
    (bytes), licence and shows; the one with most patients first."""
    groups = found.groupby(by)
    listed = groups.agg(
        series=("uid", "size"),
        patients=("patient", "nunique"),
        size=("size", "sum"),
        licence=("licence", lambda some: ", ".join(sorted(set(map(named, some))))),
    )
    listed["shows"] = [_shows(group) for _, group in groups]
    listed = listed.sort_values("patients", ascending=False, kind="stable")
    return listed.rename_axis("name").reset_index()


def named(licence: str) -> str:
    """A licence's short name, with a word where it forbids commercial use."""
    return f"{licence} (non-commercial)" if "-NC" in licence else licence


def _shows(group: DataFrame) -> str:
    """Body parts and who was scanned, as far as the index says."""
    parts = "/".join(sorted(set(group["body_part"].str.lower())))
    known = {"M": "men", "F": "women"}
    found = {known.get(sex, "sex not given") for sex in group["sex"]}
    people = [who for who in (*known.values(), "sex not given") if who in found]
    return f"{parts}; {', '.join(people)}"


def choice(collection, patients, description, every_series) -> DataFrame:
    """The series that the command's options mean. Raises `UserError`."""
    if patients != "all" and not (patients.isdecimal() and int(patients) > 0):
        raise UserError(f"--patients {patients!r} must be a number from 1, or all")
    found = select(read_index(), collection or DEFAULT_COLLECTION, description)
    return take(found, None if patients == "all" else int(patients), every_series)


def select(
    index: DataFrame, collection: str | None = None, description: str | None = None
) -> DataFrame:
    """The coronal series of a collection, or of all; with ``description``, the series
    that have it in theirs instead. Raises `UserError` where there are none."""
    if collection is not None:
        name = collection.lower().replace("-", "_")
        known = set(index["collection"])
        if name not in known:
            raise unknown_name("collection", collection, known)
        index = index[index["collection"] == name]
    if description is None:
        found, wanted = index[is_coronal(index["description"])], "is called coronal"
    else:
        lower = index["description"].str.lower()
        found = index[lower.str.contains(description.lower(), regex=False)]
        wanted = f"has {description!r} in its description"
    if found.empty:
        what = f"no series of {collection or 'the pelvis'} {wanted}"
        common = ", ".join(map(repr, offers(index, by="description")["name"][:5]))
        raise UserError(f"{what}; name another with --description, such as {common}")
    return found


def take(
    found: DataFrame, patients: int | None = 20, every_series: bool = False
) -> DataFrame:
    """The series of the first ``patients`` patients by their names (None: of all). One
    each: T2-weighted if there is one, then with the most common description, then with
    the most images; or every one."""
    found = found.assign(
        t2=found["description"].str.lower().str.contains("t2"),
        common=found.groupby("description")["patient"].transform("nunique"),
    )
    found = found[found["patient"].isin(sorted(set(found["patient"]))[:patients])]
    if not every_series:
        order = ["t2", "common", "images", "uid"]
        found = found.sort_values(order, ascending=[False, False, False, True])
        found = found.drop_duplicates("patient")
    found = found.drop(columns=["t2", "common"])
    return found.sort_values(["patient", "uid"], ignore_index=True)


def table(first: str, listed: DataFrame) -> str:
    """Offers as text in columns, of which those of words are flush left."""
    listed = listed.assign(size=listed["size"].map(size_text))
    for column in ("name", "licence", "shows"):
        width = max(listed[column].str.len().max(), len(column), len(first))
        listed[column] = listed[column].str.ljust(width)
    text = listed.rename(columns={"name": first}).to_string(index=False, justify="left")
    return "\n".join(line.strip() for line in text.splitlines())


def size_text(size: float) -> str:
    """Bytes as a person reads them: 68 MB, 1.2 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 999.5e6 else f"{size / 1e6:.0f} MB"


def needs_fetch(module: str):
    """Import a module of the extra ``fetch``; raises `UserError` without it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        what = f"the package {missing.name} is not installed"
        remedy = 'listing and downloading scans need: pip install -e ".[fetch]"'
        raise UserError(f"{what}; {remedy}") from None
