"""One training loop for every model, on Lightning Fabric.

The loop knows an objective (see `vqlib.losses`), a data set and a folder. After each
epoch it writes the history, the last state and, where validation improved, the best
one; a training that was interrupted goes on from the last state, on the CPU bit for
bit. Devices, precision and number of processes are settings of Fabric. Taught in
notebook 03, section 3.6.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from vqlib.errors import UserError
from vqlib.runs import load_checkpoint, save_checkpoint, save_json, save_text


@dataclass(frozen=True)
class FitSettings:
    """How to train, whatever the model."""

    epochs: int
    batch_size: int
    learning_rate: float  # the peak; linear warm-up to it, cosine down to 1 % of it
    warmup_steps: int = 50
    weight_decay: float = 0.0  # of AdamW
    clip: float = 1.0  # largest norm of the gradient
    seed: int = 0


Validate = Callable[[nn.Module], dict[str, float]]


def make_fabric(device: str = "auto", **settings) -> Fabric:
    """Fabric for ``auto``, ``cpu`` or ``cuda``; other settings (``devices``,
    ``precision``, ``num_nodes``, ...) are Fabric's own. Raises `UserError`."""
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device {device!r} is unknown; use auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for, but torch sees no GPU; use cpu")
    settings = {"devices": 1, **settings}
    fabric = Fabric(accelerator="gpu" if device == "cuda" else device, **settings)
    if fabric.world_size > 1:
        fabric.launch()
    return fabric


def learning_rate_at(step: int, steps: int, settings: FitSettings) -> float:
    """Linear warm-up, then a cosine from the peak to 1 % of it."""
    warmup = min(settings.warmup_steps, max(1, steps // 10))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    fraction = (step - warmup) / max(1, steps - warmup)
    return settings.learning_rate * (
        0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fraction))
    )


def fit(
    objective: nn.Module,
    train: Dataset,
    folder: Path,
    settings: FitSettings,
    validate: Validate,
    fabric: Fabric | None = None,
    description: str = "training",
    on_epoch: Callable[[dict[str, list[float]]], None] | None = None,
) -> dict[str, list[float]]:
    """Train, or go on with an interrupted training, or return at once from a finished
    one. Leaves the best weights in ``objective``.

    Args:
        objective: maps a batch to ``{"loss": scalar, ...}``.
        train: yields dictionaries of tensors.
        folder: for ``last.safetensors``, ``best.safetensors``, ``history.csv`` and
            ``timing.json``.
        settings: see `FitSettings`.
        validate: called with the objective in eval mode after each epoch; its ``loss``
            chooses the best epoch.
        fabric: where to run; the CPU when not given.
        description: for the progress bar.
        on_epoch: called with the history after each epoch, for live curves.

    Returns:
        The history: a list per column, one value per epoch.

    Raises:
        UserError: the loss is no longer finite (the last good state is kept), or there
            are fewer slices than a batch.
    """
    fabric = fabric or make_fabric("cpu")
    random = torch.Generator()
    loader = DataLoader(
        train, settings.batch_size, shuffle=True, drop_last=True, generator=random
    )
    if not len(loader):
        raise UserError(
            f"{len(train)} training slices do not fill one batch of "
            f"{settings.batch_size}; choose a smaller batch_size"
        )
    optimizer = torch.optim.AdamW(
        objective.parameters(),
        lr=settings.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=settings.weight_decay,
    )
    folder.mkdir(parents=True, exist_ok=True)
    state = _State(objective, optimizer, folder)
    state.resume()
    if state.epoch < settings.epochs:
        ready, ready_optimizer = fabric.setup(objective, optimizer)
        ready_loader = fabric.setup_dataloaders(loader)
        bar = tqdm(
            total=settings.epochs * len(ready_loader),
            initial=state.epoch * len(ready_loader),
            desc=description,
            disable=not fabric.is_global_zero,
        )
        with bar:
            while state.epoch < settings.epochs:
                started = time.perf_counter()
                # Everything random in an epoch follows from the seed and its number,
                # so there is no generator state to carry over an interruption.
                torch.manual_seed(settings.seed * 100_003 + state.epoch)
                random.manual_seed(settings.seed * 100_003 + state.epoch)
                row = _train_epoch(
                    fabric, ready, ready_optimizer, ready_loader, state, settings, bar
                )
                objective.eval()
                with torch.no_grad():
                    torch.manual_seed(settings.seed)  # the same draws every epoch
                    row |= {f"val_{k}": v for k, v in validate(objective).items()}
                state.seconds += time.perf_counter() - started
                bar.set_postfix({k: f"{row[k]:.4g}" for k in ("loss", "val_loss")})
                if fabric.is_global_zero:
                    state.finish_epoch(row)
                fabric.barrier()
                if on_epoch:
                    on_epoch(state.history)
    state.load_best()
    objective.eval()
    return state.history


def _train_epoch(fabric, objective, optimizer, loader, state, settings, bar) -> dict:
    """One pass over the training slices; returns the mean of what was logged."""
    objective.train()
    totals: dict[str, Tensor] = {}
    for number, batch in enumerate(loader):
        step = state.epoch * len(loader) + number
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(
                step, settings.epochs * len(loader), settings
            )
        losses = objective(batch)
        optimizer.zero_grad()
        fabric.backward(losses["loss"])
        fabric.clip_gradients(
            objective, optimizer, max_norm=settings.clip, error_if_nonfinite=False
        )
        optimizer.step()
        for key, value in losses.items():
            totals[key] = totals.get(key, 0) + value.detach()
        bar.update()
    row = {key: float(value) / len(loader) for key, value in totals.items()}
    if not math.isfinite(row["loss"]):
        raise UserError(
            f"the loss is not finite in epoch {state.epoch + 1}; "
            f"{state.folder / 'last.safetensors'} holds the epoch before it: delete "
            f"{state.folder} and try a smaller learning rate than "
            f"{settings.learning_rate:g}"
        )
    return row


class _State:
    """What must survive an interruption, and its files."""

    def __init__(self, objective: nn.Module, optimizer, folder: Path):
        self.objective, self.optimizer, self.folder = objective, optimizer, folder
        self.epoch, self.seconds, self.best = 0, 0.0, math.inf
        self.history: dict[str, list[float]] = {}

    def resume(self) -> None:
        path = self.folder / "last.safetensors"
        if not path.exists():
            return
        tensors, meta = load_checkpoint(path)
        own = self.objective.state_dict()
        saved = {k[6:]: v for k, v in tensors.items() if k.startswith("model/")}
        if {k: v.shape for k, v in own.items()} != {
            k: v.shape for k, v in saved.items()
        }:
            raise UserError(
                f"{path} holds another network; delete {self.folder} to train again"
            )
        self.objective.load_state_dict(saved)
        moments: dict[int, dict] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, index, name = key.split("/")
                moments.setdefault(int(index), {})[name] = value
        fresh = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**fresh, "state": moments})
        self.epoch, self.seconds = meta["epoch"], meta["seconds"]
        self.best = math.inf if meta["best"] is None else meta["best"]
        self.history = meta["history"]

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Append to the history and write everything; the last state comes last, since
        it is what declares the epoch done."""
        self.epoch += 1
        for key, value in row.items():
            self.history.setdefault(key, []).append(float(value))
        names = list(self.history)
        lines = [",".join(["epoch", *names])]
        for i in range(self.epoch):
            cells = (f"{self.history[name][i]:.6g}" for name in names)
            lines.append(",".join([str(i + 1), *cells]))
        model = {f"model/{k}": v for k, v in self.objective.state_dict().items()}
        if (
            row["val_loss"] < self.best
            or not (self.folder / "best.safetensors").exists()
        ):
            self.best = row["val_loss"]
            save_checkpoint(
                self.folder / "best.safetensors", model, {"epoch": self.epoch}
            )
        save_text(self.folder / "history.csv", "\n".join(lines) + "\n")
        save_json(
            self.folder / "timing.json",
            {"train_seconds": round(self.seconds, 2), "epochs": self.epoch},
        )
        moments = {
            f"optimizer/{index}/{name}": value
            for index, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        meta = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "best": self.best if math.isfinite(self.best) else None,
            "history": self.history,
        }
        save_checkpoint(self.folder / "last.safetensors", model | moments, meta)

    def load_best(self) -> None:
        load_weights(self.objective, self.folder)


def load_weights(objective: nn.Module, folder: Path) -> None:
    """Put the best weights of a training folder into an objective of the same form.

    Raises `UserError` where the file is missing, broken, or of another network.
    """
    path = folder / "best.safetensors"
    tensors, _ = load_checkpoint(path)
    try:
        objective.load_state_dict({k[6:]: v for k, v in tensors.items()})
    except RuntimeError:
        raise UserError(
            f"{path} holds another network; delete {folder} to train again"
        ) from None
