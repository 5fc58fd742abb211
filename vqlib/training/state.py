"""What must survive an interruption of a training, and its files.

After each epoch everything is written, the last state last: a training that stops at
whatever moment goes on from the end of its last whole epoch.
"""

import copy
import math
from pathlib import Path

import torch
from torch import nn

from vqlib.errors import UserError
from vqlib.runs import load_checkpoint, save_checkpoint, save_history, save_json


class TrainingState:
    """Weights, their moving average, moments of the optimizer, and the history.

    ``weight_ema`` is the decay of the moving average, per step; 0: none is kept.
    """

    def __init__(
        self,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        folder: Path,
        weight_ema: float,
    ):
        self.objective, self.optimizer, self.folder = objective, optimizer, folder
        self.history: dict[str, list[float]] = {}
        self.decay, self.seconds = weight_ema, 0.0
        self.average = copy.deepcopy(objective).eval() if weight_ema else None
        self.judged = self.average or objective  # what is validated, and may be best

    @property
    def epoch(self) -> int:
        """How many are done."""
        return len(self.history.get("val_loss", []))

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
        _load(self.objective, "model/", tensors, path)
        if self.average is not None:
            _load(self.average, "average/", tensors, path)
        moments: dict[int, dict] = {}
        for key, value in _under("optimizer/", tensors).items():
            index, name = key.split("/")
            moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        for weight, loaded in self.optimizer.state.items():
            for name in ("exp_avg", "exp_avg_sq"):  # fused steps go by place in memory
                loaded[name] = torch.empty_like(weight).copy_(loaded[name])
        self.seconds, self.history = meta["seconds"], meta["history"]

    def finish_epoch(self, row: dict[str, float], keep_last: bool, write: bool) -> None:
        """Append to the history and write everything; the last state comes last, since
        it is what declares the epoch done."""
        best = min(self.history.get("val_loss", []), default=math.inf)
        for key, value in row.items():
            self.history.setdefault(key, []).append(float(value))
        if not write:
            return
        if keep_last or row["val_loss"] < best:
            path, meta = self.folder / "best.safetensors", {"epoch": self.epoch}
            save_checkpoint(path, _over("model/", self.judged.state_dict()), meta)
        save_history(self.folder / "history.csv", self.history)
        timing = {"train_seconds": round(self.seconds, 2), "epochs": self.epoch}
        save_json(self.folder / "timing.json", timing)
        tensors = _over("model/", self.objective.state_dict())
        if self.average is not None:
            tensors |= _over("average/", self.average.state_dict())
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= _over(f"optimizer/{index}/", values)
        meta = {"history": self.history, "seconds": self.seconds}
        save_checkpoint(self.folder / "last.safetensors", tensors, meta)


def load_weights(module: nn.Module, folder: Path, within: str = "") -> None:
    """Put the best weights of a training folder into an objective of the same form, or
    into the part of it that is called ``within``, such as "model.". Raises `UserError`
    where the file is missing, broken, or of another network."""
    path = folder / "best.safetensors"
    _load(module, f"model/{within}", load_checkpoint(path)[0], path)


def _load(module: nn.Module, start: str, tensors: dict, path: Path) -> None:
    own, found = module.state_dict(), _under(start, tensors)
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in found.items()}:
        raise UserError(
            f"{path} holds another network, or one of another version of vqlib; delete "
            f"{path.parent} and train again"
        )
    module.load_state_dict(found)


def _over(start: str, tensors: dict) -> dict:
    return {start + key: value for key, value in tensors.items()}


def _under(start: str, tensors: dict) -> dict:
    return {k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)}
