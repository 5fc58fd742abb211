"""What must survive an interruption of a training, and its files.

After each epoch everything is written, the last state last: a training that stops at
whatever moment goes on from the end of its last whole epoch.
"""

import copy
import math
from pathlib import Path

import torch
from lightning_fabric.plugins import Precision
from torch import nn

from vqlib.errors import UserError
from vqlib.runs import load_checkpoint, save_checkpoint, save_history, save_json


class TrainingState:
    """Weights, their moving average, moments of the optimizer, epoch and history.

    ``weight_ema`` is the decay of the moving average, per step; 0: none is kept.
    ``precision`` is Fabric's, which in 16-mixed scales the gradients.
    """

    def __init__(
        self,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        folder: Path,
        weight_ema: float = 0.0,
        precision: Precision | None = None,
    ):
        self.objective, self.optimizer, self.folder = objective, optimizer, folder
        self.epoch, self.seconds, self.best = 0, 0.0, math.inf
        self.history: dict[str, list[float]] = {}
        self.decay, self.precision = weight_ema, precision or Precision()
        self.average = copy.deepcopy(objective).eval() if weight_ema else None
        self.judged = self.average or objective  # what is validated, and may be best

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """After step number ``step`` (from 0): move the average towards the weights
        (Polyak & Juditsky 1992, doi 10.1137/0330046, here with forgetting). It forgets
        faster in the beginning, or it would long remember the untrained network."""
        if self.average is None:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        now = self.objective.state_dict()
        for name, slow in self.average.state_dict().items():
            if slow.is_floating_point():
                slow.lerp_(now[name], 1 - decay)
            else:
                slow.copy_(now[name])

    def finished(self, settings) -> bool:
        """Whether all epochs are done, or so many in a row as ``settings.patience``
        did not improve the validation loss."""
        losses = self.history.get("val_loss", [])
        waited = len(losses) - 1 - losses.index(min(losses)) if losses else 0
        return self.epoch >= settings.epochs or 0 < settings.patience <= waited

    def resume(self) -> None:
        """Take up ``last.safetensors`` where there is one; raises `UserError`."""
        path = self.folder / "last.safetensors"
        if not path.exists():
            return
        tensors, meta = load_checkpoint(path)
        _load(self.objective, "model", tensors, path)
        if self.average is not None:
            _load(self.average, "average", tensors, path)
        moments: dict[int, dict] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, index, name = key.split("/")
                moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        if meta.get("precision"):
            self.precision.load_state_dict(meta["precision"])
        self.epoch, self.seconds = meta["epoch"], meta["seconds"]
        self.best = math.inf if meta["best"] is None else meta["best"]
        names = meta.get("columns", meta["history"])  # JSON has its own order
        self.history = {name: meta["history"][name] for name in names}

    def finish_epoch(
        self, row: dict[str, float], keep_last: bool = False, write: bool = True
    ) -> None:
        """Append to the history and write everything; the last state comes last, since
        it is what declares the epoch done."""
        self.epoch += 1
        for key, value in row.items():
            self.history.setdefault(key, []).append(float(value))
        best = self.folder / "best.safetensors"
        improved = row["val_loss"] < self.best
        self.best = min(self.best, row["val_loss"])
        if not write:
            return
        if improved or keep_last or not best.exists():
            weights = _over("model", self.judged.state_dict())
            save_checkpoint(best, weights, {"epoch": self.epoch})
        save_history(self.folder / "history.csv", self.history)
        timing = {"train_seconds": round(self.seconds, 2), "epochs": self.epoch}
        save_json(self.folder / "timing.json", timing)
        tensors = _over("model", self.objective.state_dict())
        if self.average is not None:
            tensors |= _over("average", self.average.state_dict())
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= _over(f"optimizer/{index}", values)
        meta = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "best": self.best if math.isfinite(self.best) else None,
            "history": self.history,
            "columns": list(self.history),
            "precision": self.precision.state_dict(),
        }
        save_checkpoint(self.folder / "last.safetensors", tensors, meta)


def load_weights(objective: nn.Module, folder: Path) -> None:
    """Put the best weights of a training folder into an objective of the same form.
    Raises `UserError` where the file is missing, broken, or of another network."""
    path = folder / "best.safetensors"
    _load(objective, "model", load_checkpoint(path)[0], path)


def _load(module: nn.Module, name: str, tensors: dict, path: Path) -> None:
    start, own = f"{name}/", module.state_dict()
    found = {
        k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)
    }
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in found.items()}:
        raise UserError(
            f"{path} holds another network; delete {path.parent} to train again"
        )
    module.load_state_dict(found)


def _over(name: str, tensors: dict) -> dict:
    return {f"{name}/{key}": value for key, value in tensors.items()}
