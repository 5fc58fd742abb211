"""What the NCI Imaging Data Commons (IDC) has of the pelvis, and a choice from it.

The package ``idc-index`` (the extra ``fetch``) carries an index of all series in the
archive, so that listing needs no network. Offered is what

- is MR of one of `BODY_PARTS`, with at least `MIN_IMAGES` images,
- has a licence that permits use and adaptation: CC0, CC BY, CC BY-SA, and their
  non-commercial forms, which are named as such,
- is coronal by its description (`is_coronal`), or has the description that was asked
  for: the index does not tell orientation or field of view.

The index is read from its file. ``idc_index.IDCClient`` would load all its columns,
which takes a gigabyte and a half of memory.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from vqlib.errors import UserError, unknown_name

BODY_PARTS = ("PROSTATE", "PELVIS", "BLADDER", "RECTUM", "UTERUS", "CERVIX")
MIN_IMAGES = 10  # scouts and thick slabs have fewer
DEFAULT_COLLECTION = "prostatex"  # by far the most men, all with the same sequence

_CORONAL = re.compile(r"(?<![a-z])cor(a|onal)?(?![a-z])", re.IGNORECASE)
# no stack of images as they were taken: scouts, projections, subtractions
_DERIVED = re.compile(r"(?<![a-z])(loc\w*|scout|mip|mpr|sub)(?![a-z])", re.IGNORECASE)
_OPEN = re.compile(r"CC0\b.*|CC BY(-NC)?(-SA)? \d.*")
_PEOPLE = {"M": "men", "F": "women"}

_SERIES = """
    SELECT SeriesInstanceUID, collection_id, PatientID, coalesce(PatientSex, ''),
        BodyPartExamined, coalesce(SeriesDescription, ''), instanceCount,
        CAST(round(series_size_MB * 1e6) AS BIGINT), coalesce(license_short_name, ''),
        coalesce(source_DOI, ''), series_aws_url
    FROM read_parquet(?)
    WHERE Modality = 'MR' AND list_contains(?, BodyPartExamined) AND instanceCount >= ?
    ORDER BY collection_id, PatientID, SeriesInstanceUID
"""
_CITATIONS = """
    SELECT source.source_doi, source.citation
    FROM (SELECT unnest(sources) AS source FROM read_parquet(?))
"""


@dataclass(frozen=True)
class Series:
    """One series of the archive, as its index describes it."""

    uid: str  # SeriesInstanceUID
    collection: str
    patient: str
    sex: str  # M, F, O (other), or empty
    body_part: str
    description: str
    images: int
    size: int  # bytes
    licence: str
    doi: str  # of the data set that it came with
    url: str  # s3://bucket/…/*


@dataclass(frozen=True)
class Offer:
    """Some series that have a collection, or a description, in common."""

    name: str
    series: int
    patients: int
    size: int  # bytes
    licence: str
    shows: str


def read_index() -> list[Series]:
    """Every pelvic MR series with an open licence, coronal or not, by patient.

    Raises `UserError` where the extra ``fetch`` is not installed.
    """
    path = str(needs_fetch("idc_index_data").IDC_INDEX_PARQUET_FILEPATH)
    found = [Series(*row) for row in _rows(_SERIES, path, BODY_PARTS, MIN_IMAGES)]
    return [series for series in found if _OPEN.fullmatch(series.licence)]


def _rows(query: str, *parameters) -> list[tuple]:
    base = needs_fetch("duckdb").connect()
    base.execute("SET enable_progress_bar = false")  # it would stand in the table
    return base.execute(query, parameters).fetchall()


def index_version() -> str:
    """The version of the archive that the installed index describes."""
    version = needs_fetch("idc_index_data").__version__
    return f"IDC v{version.partition('.')[0]}"


def citations(dois: Iterable[str]) -> dict[str, str]:
    """How to cite each data set, as the archive words it; without such words, its DOI.

    Raises `UserError` where the extra ``fetch`` is not installed.
    """
    tables = needs_fetch("idc_index_data").INDEX_METADATA
    path = str(tables["collections_index"]["parquet_filepath"])
    known = {
        doi.lower(): " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())
        for doi, text in _rows(_CITATIONS, path)
        if doi and text
    }
    dois = sorted(set(dois))
    return {doi: known.get(doi.lower(), f"https://doi.org/{doi}") for doi in dois}


def is_coronal(series: Series) -> bool:
    """Whether the description says coronal, and not scout, projection (MIP, MPR) or
    subtraction."""
    text = series.description
    return bool(_CORONAL.search(text)) and not _DERIVED.search(text)


def offers(found: Iterable[Series], by: str = "collection") -> list[Offer]:
    """Series counted by their collection, or ``by`` their description; the one with
    most patients first."""
    groups: dict[str, list[Series]] = {}
    for series in found:
        groups.setdefault(getattr(series, by), []).append(series)
    listed = [
        Offer(
            name=name,
            series=len(group),
            patients=len({series.patient for series in group}),
            size=sum(series.size for series in group),
            licence=", ".join(sorted({licence_name(s.licence) for s in group})),
            shows=_shows(group),
        )
        for name, group in groups.items()
    ]
    return sorted(listed, key=lambda offer: (-offer.patients, offer.name))


def licence_name(short: str) -> str:
    """A licence's short name, with a word where it forbids commercial use."""
    return f"{short} (non-commercial)" if "-NC" in short else short


def _shows(group: list[Series]) -> str:
    """Body parts and who was scanned, as far as the index tells."""
    parts = "/".join(sorted({series.body_part.lower() for series in group}))
    sexes = {series.sex for series in group}
    people = [_PEOPLE[sex] for sex in sorted(sexes & _PEOPLE.keys(), reverse=True)]
    if sexes - _PEOPLE.keys():
        people.append("sex not told")
    return f"{parts}; {', '.join(people)}"


def select(
    index: list[Series], collection: str | None = None, description: str | None = None
) -> list[Series]:
    """The coronal series of a collection, or of all; with ``description``, the series
    that have it in theirs (in upper or lower case) instead.

    Raises `UserError` for an unknown collection and where nothing fits.
    """
    if collection is not None:
        name = collection.lower().replace("-", "_")
        known = {series.collection for series in index}
        if name not in known:
            raise unknown_name("collection", collection, known)
        index = [series for series in index if series.collection == name]
    if description is None:
        found, wanted = [s for s in index if is_coronal(s)], "is called coronal"
    else:
        part = description.lower()
        found = [series for series in index if part in series.description.lower()]
        wanted = f"has {description!r} in its description"
    if not found:
        common = [repr(offer.name) for offer in offers(index, by="description")[:5]]
        raise UserError(
            f"no series of {collection or 'the pelvis'} {wanted}; name another with "
            f"--description, such as {', '.join(common)}"
        )
    return found


def take(
    found: list[Series], patients: int | None = 20, every_series: bool = False
) -> list[Series]:
    """The series of the first ``patients`` patients by their names (None: of all).

    One a patient: T2-weighted where there is one, then the description that most
    patients have, then the most images; or every one. The first 20 patients are
    among the first 40, so that a choice can grow.
    """
    common = Counter(
        description for _, description in {(s.patient, s.description) for s in found}
    )
    groups: dict[str, list[Series]] = {}
    for series in sorted(found, key=lambda series: (series.patient, series.uid)):
        groups.setdefault(series.patient, []).append(series)

    def preference(series: Series):
        t2 = "t2" in series.description.lower()
        return t2, common[series.description], series.images

    chosen = list(groups.values())[:patients]
    if not every_series:
        chosen = [[max(group, key=preference)] for group in chosen]
    return [series for group in chosen for series in group]


def by_uid(index: list[Series], uids: Iterable[str]) -> list[Series]:
    """Series by their SeriesInstanceUID; raises `UserError` for an unknown one."""
    known = {series.uid: series for series in index}
    for uid in uids:
        if uid not in known:
            raise UserError(
                f"series {uid} is not among the {len(known)} openly licensed pelvic MR "
                f"series of {index_version()}; check the UID"
            )
    return [known[uid] for uid in dict.fromkeys(uids)]


def needs_fetch(module: str) -> ModuleType:
    """Import a module of the extra ``fetch``; raises `UserError`."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise UserError(
            f"the package {missing.name} is not installed; listing and downloading "
            'scans need: pip install -e ".[fetch]"'
        ) from None
