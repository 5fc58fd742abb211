"""``vqlib data fetch``: what it lists, asks and says.

`pelvis.archive` chooses series, `pelvis.download` gets them.
"""

import json
import os
import re
from pathlib import Path

import click
from pandas import DataFrame

from pelvis import archive
from pelvis.download import (
    ARCHIVE,
    CREDITS,
    check_target,
    download,
    make_slices,
    missing,
    size_text,
)
from vqlib.errors import UserError

FEW = 3  # patients; with fewer there is no split by patient
_UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12}


def show_list(collection: str | None, description: str | None, as_json: bool) -> None:
    """List the collections, or the kinds of series of one; download nothing."""
    found = archive.select(archive.read_index(), collection, description)
    by = "description" if collection else "collection"
    listed = archive.offers(found, by)
    if as_json:
        click.echo(json.dumps(listed.to_dict("records"), indent=2))
        return
    few = (listed["patients"] < FEW) & (by == "collection")
    if not few.all():
        click.echo(_table(by, listed[~few]))
    if few.any():
        names = ", ".join(sorted(listed["name"][few]))
        click.echo(f"with fewer than {FEW} patients: {names}")
    what = f"with {description!r} in the" if description else "coronal by the"
    click.echo(
        f"\nMR of the pelvis, {what} description, {archive.index_version()}. "
        "The index does not say the field of view:\nprostatex shows the prostate "
        "closely, t1_tse_cor of cptac_ucec the whole pelvis.\nTo get some: vqlib data "
        f"fetch DIR --collection {collection or archive.DEFAULT_COLLECTION}"
    )


def choice(
    collection: str | None,
    patients: str,
    description: str | None,
    every_series: bool,
    series: tuple[str, ...],
) -> DataFrame:
    """The series that the options mean. Raises `UserError`."""
    index = archive.read_index()
    if series:
        if collection or description or every_series:
            raise UserError(
                "--series names the series themselves; leave out --collection, "
                "--description and --every-series"
            )
        return archive.by_uid(index, series)
    if patients != "all" and not (patients.isdecimal() and int(patients) > 0):
        raise UserError(f"--patients {patients!r} must be a number from 1, or all")
    found = archive.select(index, collection or archive.DEFAULT_COLLECTION, description)
    number = None if patients == "all" else int(patients)
    return archive.take(found, number, every_series)


def get(
    folder: str, chosen: DataFrame, download_dir: str | None, max_size: str, yes: bool
) -> None:
    """Show what a choice takes, ask, download, convert, and say what came of it."""
    target = Path(os.path.abspath(folder))
    downloads = Path(download_dir or target.with_name(f"{target.name}.dicom"))
    check_target(chosen, target, downloads)
    _show_choice(chosen)
    todo = missing(chosen, downloads)
    if len(todo):
        size = todo["size"].sum()
        _refuse_large(size, max_size)
        click.echo(
            f"to download: {len(todo)} series, {size_text(size)}, to {downloads}"
        )
        _ask(yes)
    try:
        failed = download(chosen, downloads)
        for uid, reason in failed.items():
            click.echo(f"series {uid} did not come ({reason})")
        report = make_slices(chosen, downloads, target)
    except KeyboardInterrupt:
        there = len(chosen) - len(missing(chosen, downloads))
        click.echo(
            f"stopped; {there} of {len(chosen)} series are in {downloads}, and the "
            "same command goes on from there",
            err=True,
        )
        raise SystemExit(130) from None
    for line in (*report.notes, *report.faults):
        click.echo(line)
    done = report.converted + report.skipped
    if done:
        click.echo(f"scans in {folder}: {done}; whom to credit: {CREDITS}")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(chosen)} series did not come; the same command "
            "tries them again"
        )
    if report.faults:
        raise UserError(f"{len(report.faults)} faults in {downloads}")


def _table(first: str, listed: DataFrame) -> str:
    """Offers as text in columns, of which those of words are flush left."""
    listed = listed.assign(size=listed["size"].map(size_text))
    for column in ("name", "licence", "shows"):
        width = max(listed[column].str.len().max(), len(column), len(first))
        listed[column] = listed[column].str.ljust(width)
    text = listed.rename(columns={"name": first}).to_string(index=False, justify="left")
    return "\n".join(line.strip() for line in text.splitlines())


def _show_choice(chosen: DataFrame) -> None:
    click.echo(_table("collection", archive.offers(chosen)))
    for offer in archive.offers(chosen, "description").itertuples():
        click.echo(f"  {offer.name}: {offer.series} series")
    click.echo("\nlicence and citation:")
    for doi, text in archive.citations(chosen["doi"]).items():
        licences = set(map(archive.named, chosen["licence"][chosen["doi"] == doi]))
        click.echo(f"  {', '.join(sorted(licences))}: {text}")
    click.echo(f"  the archive: {ARCHIVE}\n")


def _refuse_large(size: int, limit: str) -> None:
    """Raise `UserError` where the download is larger than ``limit`` ("500 MB")."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB|TB)", limit.strip().upper())
    if not match:
        raise UserError(f"--max-size {limit!r} must be a size such as '500 MB'")
    if size > float(match[1]) * _UNITS[match[2]]:
        raise UserError(
            f"the download is {size_text(size)}, more than --max-size {limit}; take "
            "fewer --patients, or raise it"
        )


def _ask(yes: bool) -> None:
    try:
        agreed = yes or click.confirm("download and convert?")
    except click.Abort:  # no one there to answer
        click.echo()
        agreed = False
    if not agreed:
        raise UserError("nothing was downloaded; --yes answers without being asked")
