"""The training loop: it knows an objective (see `vqlib.losses`), a data set and a
folder, and nothing of what is trained.

Everything random in an epoch follows from the seed and the epoch's number, so there is
no generator's state to carry over an interruption: a training that was stopped goes on
from its last whole epoch, on the CPU bit for bit.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, default_collate
from tqdm.auto import tqdm

from vqlib.errors import UserError
from vqlib.runs import make_folder
from vqlib.settings import EPOCH_STEPS
from vqlib.training.devices import make_fabric
from vqlib.training.state import TrainingState, load_weights


@dataclass(frozen=True)
class FitSettings:
    """How to train, whatever the model."""

    epochs: int
    batch_size: int  # of all processes together
    learning_rate: float  # the peak; linear warm-up to it, cosine down to 1 % of it
    warmup_steps: int = 50
    weight_decay: float = 0.0  # of AdamW
    betas: tuple[float, float] = (0.9, 0.99)  # of AdamW
    clip: float = 1.0  # largest norm of the gradient
    weight_ema: float = 0.0  # decay of a moving average of the weights; 0: none
    patience: int = 0  # stop after so many epochs without improvement; 0: never
    keep_last: bool = False  # the last epoch counts, not the best by validation
    seed: int = 0
    compile: bool = False  # the networks, by torch.compile


def learning_rate_at(step: int, steps: int, settings: FitSettings) -> float:
    """Linear warm-up, then a cosine from the peak to 1 % of it."""
    warmup = min(settings.warmup_steps, max(1, steps // 10))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    fraction = (step - warmup) / max(1, steps - warmup)
    height = 0.5 * (1 + math.cos(math.pi * fraction))
    return settings.learning_rate * (0.01 + 0.99 * height)


def fit(
    objective: nn.Module,
    train: Dataset,
    folder: Path,
    settings: FitSettings,
    validate: Callable[[nn.Module], dict[str, float]],
    fabric: Fabric | None = None,
    description: str = "training",
    augment: Callable[[Tensor], Tensor] | None = None,
    on_epoch: Callable[[dict[str, list[float]]], None] | None = None,
) -> dict[str, list[float]]:
    """Train, or go on with an interrupted training, or return at once from a finished
    one. Leaves the best weights in ``objective``, on the device of ``fabric``.

    Args:
        objective: maps a batch to ``{"loss": scalar, ...}``.
        train: yields dictionaries of tensors.
        folder: for ``last.safetensors``, ``best.safetensors``, ``history.csv`` and
            ``timing.json``; where there are several machines, one that all can read.
        settings: see `FitSettings`.
        validate: called with the objective (the average of its weights, where one is
            kept) in eval mode after each epoch; its ``loss`` chooses the best epoch.
        fabric: where to run; the CPU when not given.
        description: for the progress bar.
        augment: applied to the ``image`` of each training batch, on the device; draws
            from torch's global generator, so it is as repeatable as all else.
        on_epoch: called with the history after each epoch, for live curves.

    Returns the history: a list per column, one value per epoch. Raises `UserError`
    where the loss is no longer finite (the last good state is kept), and as
    `check_batch` does.

    >>> from tempfile import TemporaryDirectory
    >>> from vqlib import VQVAE, VQVAEObjective
    >>> train = [{"image": image} for image in torch.rand(8, 1, 16, 16)]
    >>> objective = VQVAEObjective(VQVAE(codebook_size=8, dim=4, width=8), 0.1)
    >>> settings = FitSettings(epochs=2, batch_size=4, learning_rate=1e-3)
    >>> with TemporaryDirectory() as folder:
    ...     validate = lambda objective: objective(default_collate(train))
    ...     history = fit(objective, train, Path(folder), settings, validate)
    >>> len(history["val_loss"])
    2
    """
    fabric = fabric or make_fabric("cpu")
    order = torch.Generator()
    loader = _loader(train, settings.batch_size, order, fabric)
    optimizer = torch.optim.AdamW(
        objective.parameters(),
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,  # a third of the time on a CPU
    )
    compiled = torch.compile(objective) if settings.compile else objective
    ready = fabric.setup(compiled, optimizer)
    state = TrainingState(
        objective, optimizer, make_folder(folder), settings.weight_ema
    )
    state.resume()  # only now: moments follow the weights onto the device
    with tqdm(
        total=settings.epochs * len(loader),
        initial=state.epoch * len(loader),
        desc=description,
        mininterval=1,  # seconds: in a notebook each update is a message to its page
        disable=not fabric.is_global_zero or state.finished(settings),
    ) as bar:
        while not state.finished(settings):
            started = time.perf_counter()
            number = settings.seed * 100_003 + state.epoch
            order.manual_seed(number)  # the same in all processes, which share batches
            torch.manual_seed(number + 10_000_019 * fabric.global_rank)  # own draws
            row = train_epoch(fabric, *ready, loader, state, settings, augment, bar)
            with torch.no_grad():
                torch.manual_seed(settings.seed)  # the same draws every epoch
                found = validate(state.judged.eval())
            # Every process scores the whole, small split. The numbers of the first one
            # count, so that all agree on what is best and when to stop.
            row |= fabric.broadcast({f"val_{k}": value for k, value in found.items()})
            # The last step can ruin the weights, which only the validation loss shows;
            # neither may reach the files.
            if not math.isfinite(row["loss"] + row["val_loss"]):
                raise UserError(
                    f"the loss is not finite in epoch {state.epoch + 1}; {folder} "
                    f"keeps epoch {state.epoch}; to train again, delete it and choose "
                    f"a learning rate below {settings.learning_rate:g}"
                )
            state.seconds += time.perf_counter() - started
            bar.set_postfix({k: f"{row[k]:.4g}" for k in ("loss", "val_loss")})
            state.finish_epoch(row, settings.keep_last, write=fabric.is_global_zero)
            fabric.barrier()
            if on_epoch and fabric.is_global_zero:
                on_epoch(state.history)
    load_weights(objective, folder)
    objective.eval()
    return state.history


def train_epoch(
    fabric: Fabric, objective, optimizer, loader, state, settings, augment, bar
) -> dict[str, float]:
    """One epoch; returns the mean of everything that the objective returns."""
    objective.train()
    totals: dict[str, Tensor] = {}
    for step, batch in enumerate(loader, start=state.epoch * len(loader)):
        rate = learning_rate_at(step, settings.epochs * len(loader), settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if augment:
            batch = batch | {"image": augment(batch["image"])}
        losses = objective(batch)
        optimizer.zero_grad()
        fabric.backward(losses["loss"])
        fabric.clip_gradients(
            objective, optimizer, max_norm=settings.clip, error_if_nonfinite=False
        )
        optimizer.step()
        state.follow(step)
        for key, value in losses.items():
            totals[key] = totals.get(key, 0) + value.detach()
        bar.update()
    return {k: float(fabric.all_reduce(v)) / len(loader) for k, v in totals.items()}


def check_batch(batch_size: int, slices: int, processes: int) -> None:
    """Raise `UserError` for batches that the slices do not fill, or that processes
    cannot share evenly."""
    if batch_size % processes:
        fault = f"cannot be shared by {processes} processes evenly; choose a multiple"
        raise UserError(f"batch_size {batch_size} {fault}")
    if slices < batch_size:
        fault = f"{slices} training slices do not fill one batch of {batch_size}"
        raise UserError(f"{fault}; choose a smaller batch_size")


def _loader(train: Dataset, batch_size: int, order: torch.Generator, fabric: Fabric):
    """Batches in one order for all processes, of which each takes its share of every
    batch, so a step is the same step whatever their number. An epoch is one pass over
    the slices, or `EPOCH_STEPS` batches of them where that is less."""
    check_batch(batch_size, len(train), fabric.world_size)
    count = min(len(train), EPOCH_STEPS * batch_size)
    loader = DataLoader(
        train,
        batch_size,
        sampler=RandomSampler(train, num_samples=count, generator=order),
        drop_last=True,
        generator=order,
        collate_fn=lambda items: default_collate(
            items[fabric.global_rank :: fabric.world_size]
        ),
    )
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)
