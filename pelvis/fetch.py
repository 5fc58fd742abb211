"""``vqlib data fetch``: list, ask, download, turn into slices, and say whom to credit.

What there is to choose from: `pelvis.archive`. The client of ``idc-index`` downloads
each series into a folder of its own. A series has come only when its files are as many
and as large as the index says; what came in part comes again with the next call.
"""

import json
import logging
import os
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import click
from pandas import DataFrame

from pelvis import archive
from pelvis.archive import size_text
from pelvis.convert import convert
from pelvis.files import write_whole, writing
from pelvis.ledger import STATE
from vqlib.errors import UserError

CREDITS = "credits.json"
CONVERTED = 60 * 256 * 128 * 2  # bytes of the slices of one series, at most
FEW = 3  # patients; with fewer there is no split by patient
_UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12}
_SIZE = r"(\d+(?:\.\d+)?)\s*(MB|GB|TB)"


def show_list(collection: str | None, description: str | None, as_json: bool) -> None:
    """List the collections, or the kinds of series of one; download nothing."""
    by = "description" if collection else "collection"
    found = archive.select(archive.read_index(), collection, description)
    listed = archive.offers(found, by)
    if as_json:
        click.echo(json.dumps(listed.to_dict("records"), indent=2))
        return
    few = (listed["patients"] < FEW) & (by == "collection")
    if not few.all():
        click.echo(archive.table(by, listed[~few]))
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


def get(
    folder: str, chosen: DataFrame, download_dir: str | None, max_size: str, yes: bool
) -> None:
    """Show what a choice takes, ask, download, convert, and say what came of it."""
    target = Path(os.path.abspath(folder))
    downloads = Path(download_dir or target.with_name(f"{target.name}.dicom"))
    check_target(chosen, target, downloads)
    click.echo(archive.table("collection", archive.offers(chosen)))
    for offer in archive.offers(chosen, "description").itertuples():
        click.echo(f"  {offer.name}: {offer.series} series")
    click.echo("\nlicence and citation:")
    for doi, text in archive.citations(chosen["doi"]).items():
        licences = set(chosen["licence"][chosen["doi"] == doi].map(archive.named))
        click.echo(f"  {', '.join(sorted(licences))}: {text}")
    click.echo(f"  the archive: {archive.CITATION}\n")
    if len(todo := missing(chosen, downloads)):
        _ask(todo, downloads, max_size, yes)
    try:
        failed = download(chosen, downloads)
        for uid, reason in failed.items():
            click.echo(f"series {uid} did not come ({reason})")
        try:
            report = convert(downloads, target)
        finally:  # slices that are there by then are credited
            if (target / STATE).exists():
                absent = missing(chosen, downloads)["uid"]
                write_credits(chosen[~chosen["uid"].isin(absent)], target)
    except KeyboardInterrupt:
        there = len(chosen) - len(missing(chosen, downloads))
        kept = f"stopped; {there} of {len(chosen)} series are in {downloads}"
        click.echo(f"{kept}, and the same command goes on from there", err=True)
        raise SystemExit(130) from None
    for line in (*report.notes, *report.faults):
        click.echo(line)
    if done := report.converted + report.skipped:
        click.echo(f"scans in {folder}: {done}; whom to credit: {CREDITS}")
    if failed:
        what = f"{len(failed)} of {len(chosen)} series did not come"
        raise UserError(f"{what}; the same command tries them again")
    if report.faults:
        raise UserError(f"{len(report.faults)} faults in {downloads}")


def missing(chosen: DataFrame, downloads: Path) -> DataFrame:
    """The series that are not in the download folder with all their files."""
    folders = (downloads / uid for uid in chosen["uid"])
    there = [[path.stat().st_size for path in folder.glob("*")] for folder in folders]
    wanted = zip(there, chosen["images"], chosen["size"], strict=True)
    return chosen[[(len(s), sum(s)) != (images, size) for s, images, size in wanted]]


def check_target(chosen: DataFrame, folder: Path, downloads: Path) -> None:
    """Raise `UserError` for a target that holds something else, or a full disk."""
    there, credits, credited = _names(downloads), folder / CREDITS, set()
    if credits.exists():
        try:
            value = json.loads(credits.read_text(encoding="utf-8"))
            credited = {series["uid"] for series in value["series"]}
        except (OSError, ValueError, KeyError, TypeError):
            remedy = "delete it and fetch again"
            raise UserError(f"{credits} is damaged; {remedy}") from None
    elif _names(folder) and not there:
        fault = "is not empty, and not of an earlier fetch"
        raise UserError(f"{folder} {fault}; choose another DIR")
    for place, found in ((downloads, there), (folder, credited)):
        if others := sorted(found - set(chosen["uid"])):
            fault = f"holds series that are not in this choice ({others[0]})"
            raise UserError(f"{place} {fault}; choose another DIR or --download-dir")
    needed = missing(chosen, downloads)["size"].sum() + CONVERTED * len(chosen)
    parents = (downloads.absolute(), *downloads.absolute().parents)
    free = shutil.disk_usage(next(place for place in parents if place.exists())).free
    if free < needed:
        takes = f"{size_text(free)} free, and this choice takes {size_text(needed)}"
        remedy = "take fewer --patients or another disk"
        raise UserError(f"{downloads.parent} has {takes}; {remedy}")


def download(chosen: DataFrame, downloads: Path) -> dict[str, str]:
    """Fetch what is missing; returns the reason for each series that did not come.
    Raises `UserError` where the folder cannot be written, and where none came."""

    def remove(series: DataFrame) -> None:
        for uid in series["uid"]:
            shutil.rmtree(downloads / uid, ignore_errors=True)

    todo = missing(chosen, downloads)
    if todo.empty:
        return {}
    try:
        with writing(downloads):
            remove(todo)
            said = transfer(list(todo["uid"]), downloads)
    finally:
        absent = missing(chosen, downloads)
        remove(absent)
        with suppress(OSError):
            downloads.rmdir()  # where there is no file in it
    failed = {}
    for uid in absent["uid"]:
        lines = [line for line in said.splitlines() if f"/{uid}" in line]
        reason = lines[0].rpartition('": ')[2] if lines else "not all of its files came"
        failed[uid] = reason[-200:]
    if len(failed) == len(chosen):
        what = f"none of {len(chosen)} series came ({failed[uid]})"
        raise UserError(f"{what}; check the network and run the same command again")
    return failed


def transfer(uids: list[str], downloads: Path) -> str:
    """Copy series, each into a folder of its UID; returns what the client says."""
    client = archive.needs_fetch("idc_index").IDCClient()
    client.index = client.index[client.index["SeriesInstanceUID"].isin(uids)]
    said, log = [], logging.getLogger("idc_index.index")

    def keep(record: logging.LogRecord) -> bool:
        return bool(said.append(record.getMessage()))  # False: nothing is printed

    log.addFilter(keep)
    try:
        client.download_from_selection(
            str(downloads),
            seriesInstanceUID=uids,
            dirTemplate="%SeriesInstanceUID",
            show_progress_bar=sys.stderr.isatty(),
        )
    finally:
        log.removeFilter(keep)
    return "\n".join(said)


def write_credits(used: DataFrame, folder: Path) -> None:
    """Whose scans the slices show, for the captions of figures: ``credits.json``."""
    columns = ["uid", "collection", "patient", "description", "licence", "doi"]
    sets = used.groupby(["collection", "licence", "doi"]).groups
    value = {
        "archive": f"NCI Imaging Data Commons, {archive.index_version()}",
        "cite": [*archive.citations(used["doi"]).values(), archive.CITATION],
        "credit": sorted(
            f"{name}, {archive.named(licence)}, https://doi.org/{doi}, resampled"
            for name, licence, doi in sets
        ),
        "series": used[columns].to_dict("records"),
    }
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with writing(folder):
        write_whole(folder / CREDITS, text)


def _ask(todo: DataFrame, downloads: Path, limit: str, yes: bool) -> None:
    """Raise `UserError` for a download above the limit ("500 MB"), or for a no."""
    size, match = todo["size"].sum(), re.fullmatch(_SIZE, limit.strip().upper())
    if not match:
        raise UserError(f"--max-size {limit!r} must be a size such as '500 MB'")
    if size > float(match[1]) * _UNITS[match[2]]:
        fault = f"the download is {size_text(size)}, more than --max-size {limit}"
        raise UserError(f"{fault}; take fewer --patients, or raise it")
    click.echo(f"to download: {len(todo)} series, {size_text(size)}, to {downloads}")
    try:
        agreed = yes or click.confirm("download and convert?")
    except click.Abort:  # no one there to answer
        click.echo()
        agreed = False
    if not agreed:
        raise UserError("nothing was downloaded; --yes answers without being asked")


def _names(folder: Path) -> set[str]:
    """What lies in a folder, hidden files left out."""
    try:
        return {path.name for path in folder.iterdir() if path.name[0] != "."}
    except FileNotFoundError:
        return set()
    except OSError as fault:
        what = f"{folder} cannot be read ({fault.strerror})"
        raise UserError(f"{what}; choose another DIR") from None
