"""What the NCI Imaging Data Commons (IDC) has of the pelvis, and a choice from it.

The package ``idc-index`` (the extra ``fetch``) carries an index of all series in the
archive, so that listing needs no network. Offered is what

- is MR of one of `BODY_PARTS`, with at least `MIN_IMAGES` images,
- has a licence that permits use and adaptation: CC0, CC BY, CC BY-SA, and their
  non-commercial forms, which are named as such,
- is coronal by its description, or has the description that was asked for: the index
  does not say orientation or field of view.

Series come as tables with the columns of `COLUMNS`. Of the index only these columns are
read: ``idc_index.IDCClient``, which downloads, loads all, in a gigabyte of memory.
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
DEFAULT_COLLECTION = "prostatex"  # by far the most men, all with the same sequence
COLUMNS = {  # of the index -> of our tables
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

_CORONAL = r"(?i)(?<![a-z])cor(?:a|onal)?(?![a-z])"
# no stack of images as they were taken: scouts, projections, subtractions
_DERIVED = r"(?i)(?<![a-z])(?:loc\w*|scout|mip|mpr|sub)(?![a-z])"
_OPEN = r"CC0\b.*|CC BY(?:-NC)?(?:-SA)? \d.*"


def read_index() -> DataFrame:
    """Every pelvic MR series with an open licence, coronal or not, by patient.

    Raises `UserError` where the extra ``fetch`` is not installed.
    """
    wanted = [
        ("Modality", "==", "MR"),
        ("BodyPartExamined", "in", BODY_PARTS),
        ("instanceCount", ">=", MIN_IMAGES),
    ]
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
    """How to cite each data set, as the archive words it; without such words, its DOI.

    Raises `UserError` where the extra ``fetch`` is not installed.
    """
    tables = needs_fetch("idc_index_data").INDEX_METADATA
    path = tables["collections_index"]["parquet_filepath"]
    table = pd.read_parquet(path, columns=["sources"])
    known = {
        source["source_doi"].lower(): " ".join(
            html.unescape(re.sub(r"<[^>]+>", "", source["citation"])).split()
        )
        for source in table["sources"].explode().dropna()
        if source["source_doi"] and source["citation"]
    }
    dois = sorted(set(dois))
    return {doi: known.get(doi.lower(), f"https://doi.org/{doi}") for doi in dois}


def is_coronal(descriptions: pd.Series) -> pd.Series:
    """Whether each description says coronal, and not scout, projection (MIP, MPR) or
    subtraction."""
    says = descriptions.str.contains
    return says(_CORONAL) & ~says(_DERIVED)


def offers(found: DataFrame, by: str = "collection") -> DataFrame:
    """Series counted by their collection, or ``by`` their description: columns name,
    series, patients, size (bytes), licence and shows; the one with most patients first.
    """
    listed = found.groupby(by).agg(
        series=("uid", "size"),
        patients=("patient", "nunique"),
        size=("size", "sum"),
        licence=("licence", lambda some: ", ".join(sorted(set(map(named, some))))),
    )
    listed["shows"] = [_shows(group) for _, group in found.groupby(by)]
    listed = listed.rename_axis("name").reset_index()
    return listed.sort_values(
        ["patients", "name"], ascending=[False, True], ignore_index=True
    )


def named(licence: str) -> str:
    """A licence's short name, with a word where it forbids commercial use."""
    return f"{licence} (non-commercial)" if "-NC" in licence else licence


def _shows(group: DataFrame) -> str:
    """Body parts and who was scanned, as far as the index says."""
    parts = "/".join(sorted(set(group["body_part"].str.lower())))
    sexes = set(group["sex"])
    people = [who for sex, who in (("M", "men"), ("F", "women")) if sex in sexes]
    if sexes - {"M", "F"}:
        people.append("sex not given")
    return f"{parts}; {', '.join(people)}"


def select(
    index: DataFrame, collection: str | None = None, description: str | None = None
) -> DataFrame:
    """The coronal series of a collection, or of all; with ``description``, the series
    that have it in theirs (in upper or lower case) instead.

    Raises `UserError` for an unknown collection and where none fits.
    """
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
        common = [repr(name) for name in offers(index, by="description")["name"][:5]]
        raise UserError(
            f"no series of {collection or 'the pelvis'} {wanted}; name another with "
            f"--description, such as {', '.join(common)}"
        )
    return found


def take(
    found: DataFrame, patients: int | None = 20, every_series: bool = False
) -> DataFrame:
    """The series of the first ``patients`` patients by their names (None: of all).

    One a patient: T2-weighted where there is one, then the description that most
    patients have, then the most images; or every one. The first 20 patients are
    among the first 40, so that a choice can grow.
    """
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


def by_uid(index: DataFrame, uids: Iterable[str]) -> DataFrame:
    """Series by their SeriesInstanceUID; raises `UserError` for an unknown one."""
    uids = list(dict.fromkeys(uids))
    for uid in set(uids) - set(index["uid"]):
        raise UserError(
            f"series {uid} is not among the {len(index)} openly licensed pelvic MR "
            f"series of {index_version()}; check the UID"
        )
    return index.set_index("uid", drop=False).loc[uids].reset_index(drop=True)


def needs_fetch(module: str):
    """Import a module of the extra ``fetch``; raises `UserError`."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise UserError(
            f"the package {missing.name} is not installed; listing and downloading "
            'scans need: pip install -e ".[fetch]"'
        ) from None
