"""``vqlib data fetch``: openly licensed coronal MR of the pelvis, listed, downloaded,
and turned into slices, from the NCI Imaging Data Commons (IDC).

The package ``idc-index`` (the extra ``fetch``) carries an index of all series in the
archive, so that listing needs no network, and downloads. Offered is MR of one of
`BODY_PARTS`, with a licence that permits use and adaptation, that is coronal by its
description, or has the description asked for: the index does not say orientation or
field of view. A series has come only when its files are as many and as large as the
index says; what came in part comes again with the next call.
"""

import html
import json
import logging
import re
import shutil
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import click
import pandas as pd
from pandas import DataFrame

from pelvis.convert import STATE, Report, convert
from pelvis.files import write_whole, writing
from vqlib.errors import UserError, unknown_name

BODY_PARTS = ("PROSTATE", "PELVIS", "BLADDER", "RECTUM", "UTERUS", "CERVIX")
MIN_IMAGES = 10  # scouts and thick slabs have fewer
DEFAULT_COLLECTION = "prostatex"  # by far the most patients, with the same sequence
CREDITS = "credits.json"
# columns read of the index (all of them take a gigabyte) -> columns of our tables
COLUMNS = {
    "SeriesInstanceUID": "uid",
    "collection_id": "collection",
    "PatientID": "patient",
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
_OPEN = r"CC0\b.*|CC BY(?:-NC)?(?:-SA)? \d.*"  # -NC forbids commercial use


def read_index() -> DataFrame:
    """Every pelvic MR series with an open licence, coronal or not, by patient."""
    wanted = [("Modality", "==", "MR"), ("BodyPartExamined", "in", BODY_PARTS)]
    wanted.append(("instanceCount", ">=", MIN_IMAGES))
    path = _needs("idc_index_data").IDC_INDEX_PARQUET_FILEPATH
    found = pd.read_parquet(path, columns=list(COLUMNS), filters=wanted)
    found = found.rename(columns=COLUMNS)
    found["size"] = (found["size"] * 1e6).round().astype("int64")
    text = ["description", "licence", "doi"]
    found[text] = found[text].fillna("").astype(str)
    found = found[found["licence"].str.fullmatch(_OPEN)]
    return found.sort_values(["collection", "patient", "uid"], ignore_index=True)


def citations(dois: Iterable[str]) -> dict[str, str]:
    """How to cite each data set, as the archive words it, or its DOI."""
    tables = _needs("idc_index_data").INDEX_METADATA
    path = tables["collections_index"]["parquet_filepath"]
    table = pd.read_parquet(path, columns=["sources"])
    known = {}
    for source in table["sources"].explode().dropna():
        if source["source_doi"] and source["citation"]:
            text = html.unescape(re.sub(r"<[^>]+>", "", source["citation"]))
            known[source["source_doi"].lower()] = " ".join(text.split())
    return {d: known.get(d.lower(), f"https://doi.org/{d}") for d in sorted(set(dois))}


def select(index: DataFrame, collection: str | None, description: str | None):
    """The coronal series of a collection, or of all; with ``description``, the series
    that have it in theirs instead. Raises `UserError` where there are none."""
    if collection is not None:
        name = collection.lower().replace("-", "_")
        if name not in set(index["collection"]):
            raise unknown_name("collection", collection, set(index["collection"]))
        index = index[index["collection"] == name]
    says = index["description"].str.contains
    if description is None:
        found = index[says(_CORONAL) & ~says(_DERIVED)]
    else:
        found = index[says(re.escape(description), case=False)]
    if found.empty:
        what = f"has {description!r} in" if description else "is coronal by"
        common = ", ".join(map(repr, index["description"].value_counts().index[:5]))
        raise UserError(
            f"no series of {collection or 'the pelvis'} {what} its description; "
            f"name another with --description, such as {common}"
        )
    return found


def choose(collection: str | None, patients: str, description: str | None) -> DataFrame:
    """One series for each of the first ``patients`` (a number, or all): T2-weighted if
    there is one, then with the most common description, then with the most images.
    Raises `UserError`."""
    if patients != "all" and not (patients.isdecimal() and int(patients) > 0):
        raise UserError(f"--patients {patients!r} must be a number from 1, or all")
    found = select(read_index(), collection or DEFAULT_COLLECTION, description)
    order = {
        "t2": found["description"].str.contains("t2", case=False),
        "common": found.groupby("description")["patient"].transform("nunique"),
    }
    found = found.assign(**order).sort_values(
        ["patient", "t2", "common", "images", "uid"],
        ascending=[True, False, False, False, True],
    )
    found = found.drop_duplicates("patient", ignore_index=True).drop(columns=[*order])
    return found if patients == "all" else found[: int(patients)]


def table(found: DataFrame, by: str) -> str:
    """Series counted by collection or description, the one with most patients first."""
    listed = found.groupby(by).agg(
        series=("uid", "size"),
        patients=("patient", "nunique"),
        MB=("size", lambda sizes: round(sizes.sum() / 1e6)),
        licence=("licence", lambda some: ", ".join(sorted(set(some)))),
    )
    listed = listed.sort_values("patients", ascending=False, kind="stable")
    return listed.reset_index().to_string(index=False)


def show_list(collection: str | None, description: str | None) -> None:
    """List the collections, or the kinds of series of one; download nothing."""
    found = select(read_index(), collection, description)
    click.echo(table(found, "description" if collection else "collection"))
    click.echo(
        "\nThe index does not say the field of view: prostatex shows the prostate "
        "closely, t1_tse_cor of cptac_ucec the whole pelvis.\nNC: no commercial use. "
        "To get some: vqlib data fetch DIR --collection "
        f"{collection or DEFAULT_COLLECTION}"
    )


def get(folder: str, chosen: DataFrame, yes: bool) -> Report:
    """Show what a choice takes, ask, download and convert."""
    target = Path(folder).absolute()
    downloads = target.with_name(f"{target.name}.dicom")
    ours = (target / STATE).exists() or not any(target.glob("[!.]*"))
    if target.is_file() or not ours:
        raise UserError(f"{folder} is there, and not of a fetch; choose another DIR")
    click.echo(table(chosen, "description"))
    for text in (*citations(chosen["doi"]).values(), CITATION):
        click.echo(f"cite: {text}")
    todo = missing(chosen, downloads)
    if len(todo):
        size = f"{len(todo)} series, {todo['size'].sum() / 1e6:.0f} MB"
        click.echo(f"to download: {size}, to {downloads}")
        try:
            agreed = yes or click.confirm("download and convert?")
        except click.Abort:  # no one there to answer
            agreed = False
        if not agreed:
            raise UserError("nothing was downloaded; --yes answers without being asked")
        with writing(downloads):
            transfer(list(todo["uid"]), downloads)
    absent = missing(chosen, downloads)
    for uid in absent["uid"]:  # what came in part is no series
        shutil.rmtree(downloads / uid, ignore_errors=True)
    if len(absent) == len(chosen):
        what = f"none of {len(chosen)} series came"
        raise UserError(f"{what}; check the network and run the same command again")
    try:
        report = convert(downloads, target)
    finally:  # slices that are there by then are credited
        if (target / STATE).exists():
            write_credits(downloads, target)
    if len(absent):
        what = f"{len(absent)} of {len(chosen)} series did not come"
        report.faults.append(f"{what}; the same command tries them again")
    return report


def missing(chosen: DataFrame, downloads: Path) -> DataFrame:
    """The series that are not in the download folder with all their files."""
    folders = (downloads / uid for uid in chosen["uid"])
    there = [[path.stat().st_size for path in folder.glob("*")] for folder in folders]
    wanted = zip(there, chosen["images"], chosen["size"], strict=True)
    return chosen[[(len(s), sum(s)) != (images, size) for s, images, size in wanted]]


def transfer(uids: list[str], downloads: Path) -> None:
    """Copy series, each into a folder of its UID."""
    idc = _needs("idc_index")
    logging.getLogger("idc_index.index").setLevel("ERROR")
    try:
        idc.IDCClient().download_from_selection(
            str(downloads),
            seriesInstanceUID=uids,
            dirTemplate="%SeriesInstanceUID",
            show_progress_bar=sys.stderr.isatty(),
        )
    except idc.IDCClientInsufficientDiskSpaceError as full:
        raise UserError(f"{full}; take fewer --patients or another disk") from None


def write_credits(downloads: Path, folder: Path) -> None:
    """Whose scans the slices show, for the captions of figures: ``credits.json``."""
    index = read_index()
    used = index[index["uid"].isin([path.name for path in downloads.iterdir()])]
    columns = ["uid", "collection", "patient", "description", "licence", "doi"]
    value = {
        "archive": "NCI Imaging Data Commons",
        "cite": [*citations(used["doi"]).values(), CITATION],
        "series": used[columns].to_dict("records"),
    }
    with writing(folder):
        write_whole(folder / CREDITS, json.dumps(value, indent=2) + "\n")


def _needs(module: str):
    """Import a module of the extra ``fetch``; raises `UserError` without it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        what = f"the package {missing.name} is not installed"
        remedy = 'listing and downloading scans need: pip install -e ".[fetch]"'
        raise UserError(f"{what}; {remedy}") from None
