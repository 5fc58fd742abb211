"""What ``vqlib data fetch`` lists, asks and says."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import click

from pelvis import archive
from pelvis import fetch as fetching
from pelvis.fetch import size_text
from vqlib.errors import UserError

FEW = 3  # patients; with fewer there is no split by patient
_UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12}


def show_list(collection: str | None, description: str | None, as_json: bool) -> None:
    """List the collections, or the kinds of series of one; download nothing."""
    found = archive.select(archive.read_index(), collection, description)
    by = "description" if collection else "collection"
    listed = archive.offers(found, by)
    if as_json:
        click.echo(json.dumps([asdict(offer) for offer in listed], indent=2))
        return
    few = [o for o in listed if by == "collection" and o.patients < FEW]
    click.echo(_table(by, [offer for offer in listed if offer not in few]))
    if few:
        names = ", ".join(sorted(offer.name for offer in few))
        click.echo(f"with fewer than {FEW} patients: {names}")
    what = f"with {description!r} in the" if description else "coronal by the"
    click.echo(
        f"\nMR of the pelvis, {what} description, {archive.index_version()}. "
        "The index does not tell the field of view:\nprostatex shows the prostate "
        "closely, t1_tse_cor of cptac_ucec the whole pelvis.\nTo get some: vqlib data "
        f"fetch DIR --collection {collection or archive.DEFAULT_COLLECTION}"
    )


def _table(first: str, listed: list[archive.Offer]) -> str:
    rows = [[first, "series", "patients", "size", "licence", "shows"]]
    for offer in listed:
        counts = [str(offer.series), str(offer.patients), size_text(offer.size)]
        rows.append([offer.name, *counts, offer.licence, offer.shows])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= place <= 3 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def get(
    folder: str,
    chosen: list[archive.Series],
    download_dir: str | None,
    max_size: str,
    yes: bool,
) -> None:
    """Show what a choice takes, ask, download, convert, and say what came of it."""
    target = Path(folder)
    downloads = Path(download_dir or fetching.default_downloads(target))
    fetching.check_target(chosen, target, downloads)
    todo = fetching.missing(chosen, downloads)
    size = sum(series.size for series in todo)
    _show_choice(chosen)
    if todo:
        _refuse_large(size, max_size)
        click.echo(
            f"to download: {len(todo)} series, {size_text(size)}, to {downloads}"
        )
        _ask(yes)
    try:
        failed = fetching.download(chosen, downloads, fetching.s5cmd)
        for uid, reason in failed.items():
            click.echo(f"series {uid} did not come ({reason})")
        report = fetching.make_slices(chosen, downloads, target)
    except KeyboardInterrupt:
        there = len(chosen) - len(fetching.missing(chosen, downloads))
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
        click.echo(f"scans in {target}: {done}; whom to credit: {fetching.CREDITS}")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(chosen)} series did not come; the same command "
            "tries them again"
        )
    if report.faults:
        raise UserError(f"{len(report.faults)} faults in {downloads}")


def choice(
    collection: str | None,
    patients: str,
    description: str | None,
    every_series: bool,
    series: tuple[str, ...],
) -> list[archive.Series]:
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


def _show_choice(chosen: list[archive.Series]) -> None:
    click.echo(_table("collection", archive.offers(chosen)))
    for offer in archive.offers(chosen, "description"):
        click.echo(f"  {offer.name}: {offer.series} series")
    click.echo("\nlicence and citation:")
    for doi, text in archive.citations(series.doi for series in chosen).items():
        licences = {archive.licence_name(s.licence) for s in chosen if s.doi == doi}
        click.echo(f"  {', '.join(sorted(licences))}: {text}")
    click.echo(f"  the archive: {fetching.ARCHIVE}\n")


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
