"""Where a run's checkpoints, histories and results lie, and how they are kept safe.

A run is a folder ``runs/NAME`` with a part for each model (``vae``, ``vqvae``,
``prior``, ...). Everything is written to a temporary name and renamed, so that an
interrupted run never leaves half a file, and nothing is ever unpickled: weights are
safetensors, all else is JSON or CSV.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from vqlib.errors import UserError

if TYPE_CHECKING:  # whoever writes JSON only need not load PyTorch
    from torch import Tensor

_PLAIN = re.compile(r"(?! )[^/\\:*?\"<>|]{0,199}[^/\\:*?\"<>|. ]")
_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.I)  # its devices


def project_root() -> Path:
    """The folder that holds ``runs/`` and ``data/``: ``VQLIB_HOME`` where it is set;
    else the nearest one upwards that holds the notebooks; else the current one."""
    if home := os.environ.get("VQLIB_HOME"):
        return Path(home)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks" / "01_data_exploration.ipynb").exists():
            return folder
    return here


def run_folder(name: str) -> Path:
    """The folder of a run, ``runs/NAME``; raises `UserError` for a name that cannot be
    a folder's."""
    plain = _PLAIN.fullmatch(name) and not _WINDOWS.match(name)
    if not plain or not name.isprintable() or len(name.encode()) > 200:
        raise UserError(
            f"run {name[:40]!r} is not a plain folder name of at most 200 bytes; "
            "choose another"
        )
    return project_root() / "runs" / name


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses (full, read-only, a file in the way) into one line."""
    try:
        yield
    except (OSError, SafetensorError) as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        raise UserError(
            f"{path} cannot be written ({reason}); what was saved before is kept: make "
            "room, or choose another place by VQLIB_HOME, and run the same again"
        ) from None


def make_folder(folder: Path) -> Path:
    """Make a folder where it is missing; raises `UserError` where that cannot be."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep a folder for one training. Raises `UserError` where another one has it.
    A lock of the operating system, which ends with its process, however that ends."""
    path = make_folder(folder.parent) / f".{folder.name}.lock"
    lock = FileLock(path, timeout=1)
    with writing(path):
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"another training is writing to {folder}; wait for it, or choose "
                "another run name"
            ) from None
    try:
        for pattern in (".tmp*", ".*.tmp"):  # safetensors' own, and ours
            for left in folder.glob(pattern):  # by a process that was killed
                left.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _write_atomically(path: Path, write) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            write(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def save_text(path: Path, text: str) -> None:
    """Write a text file in one step: it is there whole or not at all."""
    _write_atomically(path, lambda p: p.write_bytes(text.encode()))


def save_json(path: Path, value: dict) -> None:
    """Write JSON in one step, keys in a fixed order so that equal results are equal
    bytes. Raises ValueError for NaN, which JSON does not know."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    save_text(path, text + "\n")


def load_json(path: Path) -> dict:
    """Read a JSON object; raises `UserError` where the file is missing or broken."""
    try:
        if isinstance(found := json.loads(path.read_text(encoding="utf-8")), dict):
            return found
        fault = "no object"
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the step that writes it") from None
    except (OSError, ValueError, RecursionError) as error:
        fault = error
    raise UserError(f"{path} is not valid JSON ({fault}); delete it and run it again")


def save_checkpoint(path: Path, tensors: dict[str, "Tensor"], meta: dict) -> None:
    """Write tensors and a JSON header into one safetensors file, in one step."""
    from safetensors.torch import save_file  # loads PyTorch

    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    header = {"json": json.dumps(meta)}
    _write_atomically(path, lambda p: save_file(tensors, p, metadata=header))


def load_checkpoint(path: Path) -> tuple[dict[str, "Tensor"], dict]:
    """Read what `save_checkpoint` wrote, onto the CPU; raises `UserError`."""
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})["json"])
            return {key: file.get_tensor(key) for key in file.keys()}, meta  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as fault:
        raise UserError(
            f"{path} is not a readable checkpoint ({fault}); delete it and train again"
        ) from None


def checkpoint_sum(*folders: Path) -> str:
    """A sum over the best weights in some folders, which ties scores to them."""
    sums = []
    for path in (folder / "best.safetensors" for folder in folders):
        try:
            with path.open("rb") as file:
                sums.append(hashlib.file_digest(file, "sha256").hexdigest()[:16])
        except OSError as fault:
            raise UserError(f"{path} cannot be read ({fault.strerror})") from None
    return "+".join(sums)


def read_scores(folder: Path, *sources: Path) -> dict | None:
    """``metrics.json`` of a folder; None where it is missing, or was made from other
    weights than those beside it (and, of a prior, in the folder of its VQ-VAE)."""
    path, folders = folder / "metrics.json", (folder, *sources)
    if not path.exists():
        return None
    found = load_json(path)
    there = all((folder / "best.safetensors").exists() for folder in folders)
    others = there and found.get("checkpoint") != checkpoint_sum(*folders)
    return None if others else found


def save_history(path: Path, history: dict[str, list[float]]) -> None:
    """Write columns of one value per epoch as CSV, epochs counted from 1."""
    import pandas as pd  # only whoever trains or reads pays for it

    epochs = pd.RangeIndex(1, 1 + len(next(iter(history.values()))), name="epoch")
    table = pd.DataFrame(history, epochs)
    save_text(path, table.to_csv(float_format="%.6g", lineterminator="\n"))


def read_history(path: Path) -> dict[str, list[float]]:
    """Read a ``history.csv`` into columns; an empty cell becomes NaN."""
    import pandas as pd

    try:
        return pd.read_csv(path).to_dict("list")
    except (OSError, ValueError):
        raise UserError(f"{path} is missing or empty; train the model first") from None
