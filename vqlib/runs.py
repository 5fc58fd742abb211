"""Where a run's checkpoints, histories and results lie, and how they are kept safe.

A run is a folder ``runs/NAME`` with a part for each model (``vae``, ``vqvae``,
``prior``, ...). Everything is written to a temporary name and renamed, so that an
interrupted run never leaves half a file, and nothing is ever unpickled: weights are
safetensors, all else is JSON or CSV.
"""

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from vqlib.errors import UserError

if TYPE_CHECKING:  # whoever writes JSON only need not load PyTorch
    from torch import Tensor


def project_root() -> Path:
    """The folder that holds ``runs/`` and ``data/``.

    ``VQLIB_HOME`` where it is set; else the nearest folder upwards of the current one
    that holds the notebooks; else the current folder.
    """
    if home := os.environ.get("VQLIB_HOME"):
        return Path(home)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks" / "01_data_exploration.ipynb").exists():
            return folder
    return here


class Run:
    """The folder of one run: ``Run("quick").part("vae")`` is ``runs/quick/vae``."""

    def __init__(self, name: str):
        if not name or name in (".", "..") or set(name) & set('/\\:*?"<>|'):
            raise UserError(f"run {name!r} is not a plain folder name; choose another")
        self.name = name
        self.folder = project_root() / "runs" / name

    def part(self, name: str) -> Path:
        """The folder of one model within the run, made when missing."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _write_atomically(path: Path, write) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_text(path: Path, text: str) -> None:
    """Write a text file in one step: it is there whole or not at all."""
    _write_atomically(
        path, lambda p: p.write_text(text, encoding="utf-8", newline="\n")
    )


def save_json(path: Path, value: dict) -> None:
    """Write JSON in one step, keys in a fixed order so that equal results are equal
    bytes. Raises ValueError for NaN, which JSON does not know."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    save_text(path, text + "\n")


def load_json(path: Path) -> dict:
    """Read JSON; raises `UserError` where the file is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the step that writes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as fault:
        raise UserError(
            f"{path} is not valid JSON ({fault}); delete it and run the step again"
        ) from None


def save_checkpoint(path: Path, tensors: dict[str, "Tensor"], meta: dict) -> None:
    """Write tensors and a JSON header into one safetensors file, in one step."""
    from safetensors.torch import save_file  # loads PyTorch

    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    header = {"json": json.dumps(meta, sort_keys=True)}
    _write_atomically(path, lambda p: save_file(tensors, p, metadata=header))


def load_checkpoint(path: Path) -> tuple[dict[str, "Tensor"], dict]:
    """Read what `save_checkpoint` wrote, onto the CPU; raises `UserError`."""
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})["json"])
            return {key: file.get_tensor(key) for key in file.keys()}, meta  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path} is missing; train the model first") from None
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as fault:
        raise UserError(
            f"{path} is not a readable checkpoint ({fault}); delete it and train again"
        ) from None


def claim_settings(folder: Path, settings: dict, defaults: dict | None = None) -> None:
    """Tie a folder to its settings.

    Writes ``settings.json`` into a new folder. Raises `UserError`, and changes nothing,
    where the folder already holds a run made with other settings.

    Args:
        folder: of one part of a run.
        settings: what the part depends on.
        defaults: what a setting stands for that the folder's file does not name.
    """
    path = folder / "settings.json"
    settings = json.loads(json.dumps(settings))  # as they come back from the file
    if not path.exists():
        save_json(path, settings)
        return
    assumed = {k: v for k, v in (defaults or {}).items() if k in settings}
    old = assumed | load_json(path)
    differing = sorted(
        k for k in old.keys() | settings.keys() if old.get(k) != settings.get(k)
    )
    if differing:
        key = differing[0]
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise UserError(
            f"{path} was made with other settings ({key}: {old.get(key)!r} there, "
            f"{settings.get(key)!r} now{more}); choose another run name, or delete "
            f"{folder}"
        )


def read_history(path: Path) -> dict[str, list[float]]:
    """Read a ``history.csv`` into columns; an empty cell becomes NaN."""
    try:
        header, *rows = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ValueError):
        raise UserError(f"{path} is missing or empty; train the model first") from None
    names = header.split(",")
    columns = {name: [] for name in names}
    for row in rows:
        for name, cell in zip(names, row.split(","), strict=True):
            columns[name].append(float(cell) if cell else math.nan)
    return columns
