"""Where a training runs: on the CPU, on one GPU, on several, on several machines.

Several processes come about in one of two ways, and Lightning Fabric finds out which:
``vqlib train --devices 2`` starts the second one itself; ``torchrun`` (and SLURM) has
started them all before, on each machine. In either they share every batch and average
their gradients (`torch.nn.parallel.DistributedDataParallel`), so all hold the same
weights.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import Logger, TensorBoardLogger
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from vqlib.errors import UserError

KNOWN = {
    "device": ("auto", "cpu", "cuda"),
    "precision": ("32-true", "bf16-mixed", "16-mixed"),
}


class _MixedPrecision(MixedPrecision):
    """Fabric's, except that the batch stays in float32: it is also the target of the
    loss, and 8 bits of mantissa are too few for a grey value."""

    def convert_input(self, data):
        return data


def make_fabric(
    device: str = "auto",
    devices: int | None = None,
    num_nodes: int | None = None,
    precision: str = "32-true",
    loggers: Logger | None = None,
) -> Fabric:
    """Fabric, ready to train, and with all processes started where there are several.

    Args:
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        devices: processes on this machine, one for each GPU; None: what torchrun has
            started, else 1.
        num_nodes: machines; likewise.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``: networks in half
            precision, weights and losses in float32.
        loggers: see `make_logger`.

    Raises `UserError` for what is not there, or does not go together.
    """
    for name, value in {"device": device, "precision": precision}.items():
        if value not in KNOWN[name]:
            known = ", ".join(KNOWN[name])
            raise UserError(f"{name} {value!r} is unknown; use one of {known}")
    kind = "cpu"
    if device != "cpu" and torch.cuda.is_available():
        kind = "cuda"
    elif device == "cuda":
        raise UserError("device 'cuda' was asked for, but torch sees no GPU; use cpu")
    elif device == "auto" and torch.backends.mps.is_available():
        kind = "mps"
    if precision == "16-mixed" and kind == "cpu":
        raise UserError("precision 16-mixed needs a GPU; on the CPU use bf16-mixed")
    settings = _processes(kind, devices, num_nodes)
    if precision != "32-true":
        settings["plugins"] = _MixedPrecision(precision, kind)
    try:
        fabric = Fabric(accelerator=kind, loggers=loggers, **settings)
        fabric.launch()
    except (ValueError, RuntimeError) as fault:  # Fabric's own words on what is amiss
        raise UserError(str(fault).splitlines()[0]) from None
    return fabric


def _processes(kind: str, devices: int | None, num_nodes: int | None) -> dict[str, int]:
    """How many processes there are to be, here and in all."""
    if TorchElasticEnvironment.detect():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // here
        if devices not in (None, here) or num_nodes not in (None, nodes):
            raise UserError(
                f"torchrun has started {here} processes on each of {nodes} machines; "
                "leave out the numbers of devices and nodes"
            )
        return {"devices": here, "num_nodes": nodes}
    devices, num_nodes = devices or 1, num_nodes or 1
    if kind == "cuda" and devices > (there := torch.cuda.device_count()):
        raise UserError(f"{devices} devices asked for, but torch sees {there} GPUs")
    if devices * num_nodes > 1 and hasattr(sys, "ps1"):
        raise UserError(
            "a notebook trains in one process; for more, use `vqlib train` in a shell"
        )
    alone = LightningEnvironment().main_address == "127.0.0.1"
    if num_nodes > 1 and alone and not SLURMEnvironment.detect():
        raise UserError(
            "several machines must know of each other: start `torchrun` on each, or "
            "set MASTER_ADDR, MASTER_PORT and NODE_RANK"
        )
    return {"devices": devices, "num_nodes": num_nodes}


def first_then_others(fabric: Fabric, action: Callable):
    """Let the first process act, and then the others: what makes a file is done once,
    and the others find it. A `UserError` of the first is raised in all of them."""
    result, fault = None, None
    if fabric.is_global_zero:
        try:
            result = action()
        except UserError as error:
            fault = str(error)
    if fault := fabric.broadcast(fault):
        raise UserError(fault)
    return result if fabric.is_global_zero else action()


def make_logger(folder: Path) -> Logger:
    """A log for TensorBoard; each start of a training gets a folder ``logs/version_N``
    of its own. Raises `UserError` without tensorboard."""
    try:
        return TensorBoardLogger(folder, name="logs")
    except ModuleNotFoundError:
        raise UserError(
            "tensorboard is not installed; pip install tensorboard, or leave out "
            "--tensorboard: history.csv holds the same numbers"
        ) from None
