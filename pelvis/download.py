"""Download series of the archive, turn them into slices, and say whom to credit.

The client of ``idc-index`` downloads, each series into a folder of its own. A series
counts only when its files are as many and as large as the index says; what came in part
is removed and comes again with the next call. Whose scans they are, and under which
licence, is written beside the slices (`CREDITS`).
"""

import json
import logging
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from pandas import DataFrame

from pelvis import archive
from pelvis.convert import Report, convert
from pelvis.files import write_whole, writing
from pelvis.ledger import MANIFEST
from vqlib.errors import UserError

CREDITS = "credits.json"
ARCHIVE = (
    "Fedorov, A., et al. (2023). National Cancer Institute Imaging Data Commons: "
    "Toward Transparency, Reproducibility, and Scalability in Imaging Artificial "
    "Intelligence. RadioGraphics. https://doi.org/10.1148/rg.230180"
)
CONVERTED = 60 * 256 * 128 * 2  # bytes of the slices of one series, at most


def missing(chosen: DataFrame, downloads: Path) -> DataFrame:
    """The series that are not in the download folder with all their files."""

    def there(uid: str, images: int, size: int) -> bool:
        folder = downloads / uid
        sizes = [p.stat().st_size for p in folder.iterdir()] if folder.is_dir() else []
        return (len(sizes), sum(sizes)) == (images, size)

    found = zip(chosen["uid"], chosen["images"], chosen["size"], strict=True)
    return chosen[[not there(*series) for series in found]]


def check_target(chosen: DataFrame, folder: Path, downloads: Path) -> None:
    """Refuse, before anything is fetched, a target that holds something else, and a
    disk that is too small. Raises `UserError`."""
    there, credits, credited = _names(downloads), folder / CREDITS, set()
    if credits.exists():
        try:
            value = json.loads(credits.read_text(encoding="utf-8"))
            credited = {series["uid"] for series in value["series"]}
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"{credits} is damaged; delete it and fetch again"
            ) from None
    elif _names(folder) and not there:
        raise UserError(
            f"{folder} is not empty, and not of an earlier fetch; choose another DIR"
        )
    for place, found in ((downloads, there), (folder, credited)):
        others = sorted(found - set(chosen["uid"]))
        if others:
            raise UserError(
                f"{place} holds series that are not in this choice ({others[0]}); "
                "choose another DIR or --download-dir"
            )
    needed = missing(chosen, downloads)["size"].sum() + CONVERTED * len(chosen)
    parents = (downloads.absolute(), *downloads.absolute().parents)
    free = shutil.disk_usage(next(place for place in parents if place.exists())).free
    if free < needed:
        raise UserError(
            f"{downloads.parent} has {size_text(free)} free, and this choice takes "
            f"{size_text(needed)}; take fewer --patients or another disk"
        )


def download(chosen: DataFrame, downloads: Path) -> dict[str, str]:
    """Fetch what is missing; returns the reason for each series that did not come.

    Raises `UserError` where the folder cannot be written, and where none is there at
    the end.
    """
    todo = missing(chosen, downloads)
    if todo.empty:
        return {}
    try:
        with writing(downloads):
            _remove(todo, downloads)
            said = transfer(list(todo["uid"]), downloads)
    finally:
        absent = missing(chosen, downloads)
        _remove(absent, downloads)
        with suppress(OSError):
            downloads.rmdir()  # where there is no file in it
    failed = {}
    for uid in absent["uid"]:
        lines = [line for line in said.splitlines() if f"/{uid}" in line]
        reason = lines[0].rpartition('": ')[2] if lines else "not all of its files came"
        failed[uid] = reason[-200:]
    if len(failed) == len(chosen):
        raise UserError(
            f"none of {len(chosen)} series came ({failed[uid]}); check the network "
            "connection, then run the same command again"
        )
    return failed


def transfer(uids: list[str], downloads: Path) -> str:
    """Copy series of the archive, each into a folder of its UID; returns what the
    client of ``idc-index`` says of them."""
    client = archive.needs_fetch("idc_index").IDCClient()
    client.index = client.index[client.index["SeriesInstanceUID"].isin(uids)]
    said, log = [], logging.getLogger("idc_index.index")

    def keep(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False  # the user reads our one line instead

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


def _remove(series: DataFrame, downloads: Path) -> None:
    for uid in series["uid"]:
        shutil.rmtree(downloads / uid, ignore_errors=True)


def make_slices(chosen: DataFrame, downloads: Path, folder: Path) -> Report:
    """Convert what came, and write whom to credit; returns what `convert` reports.

    Raises `UserError` as `convert` does. Slices that are there by then are credited.
    """
    try:
        return convert(downloads, folder)
    finally:
        absent = missing(chosen, downloads)["uid"]
        if (folder / MANIFEST).exists():
            write_credits(chosen[~chosen["uid"].isin(absent)], folder)


def write_credits(used: DataFrame, folder: Path) -> None:
    """Whose scans the slices show, for the captions of figures: ``credits.json``.
    Raises `UserError` where it cannot be written."""
    columns = ["uid", "collection", "patient", "description", "licence", "doi"]
    sets = used[["collection", "licence", "doi"]].drop_duplicates().sort_values("doi")
    value = {
        "archive": f"NCI Imaging Data Commons, {archive.index_version()}",
        "cite": [*archive.citations(used["doi"]).values(), ARCHIVE],
        "credit": sorted(
            f"{name}, {archive.named(licence)}, https://doi.org/{doi}, resampled"
            for name, licence, doi in sets.itertuples(index=False)
        ),
        "series": used[columns].to_dict("records"),
    }
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with writing(folder):
        write_whole(folder / CREDITS, text)


def size_text(size: float) -> str:
    """Bytes as a person reads them: 68 MB, 1.2 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 999.5e6 else f"{size / 1e6:.0f} MB"


def _names(folder: Path) -> set[str]:
    """What lies in a folder, hidden files left out."""
    try:
        return {path.name for path in folder.iterdir() if path.name[0] != "."}
    except FileNotFoundError:
        return set()
    except OSError as fault:
        raise UserError(
            f"{folder} cannot be read ({fault.strerror}); choose another DIR"
        ) from None
