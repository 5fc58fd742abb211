"""Where a training runs: on the CPU, on one GPU, on several, on several machines.

Lightning Fabric starts the processes of one machine, or finds what ``torchrun`` has
started on each. They share every batch and average their gradients, so all hold the
same weights.
"""

import os
from collections.abc import Callable

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import TorchElasticEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException

from vqlib.errors import UserError, unknown_name

PRECISIONS = ("32-true", "bf16-mixed")


def make_fabric(
    device: str = "auto", devices: int | None = None, precision: str = "32-true"
) -> Fabric:
    """Fabric, ready to train, and with all processes started where there are several.

    Args:
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        devices: processes on this machine, one for each GPU; None: what torchrun has
            started, else 1.
        precision: ``32-true``, or ``bf16-mixed``: networks in bfloat16, weights and
            losses in float32.

    Raises `UserError` for what is not there, or does not go together.
    """
    if precision not in PRECISIONS:  # 16-mixed has a scaler, which no checkpoint keeps
        raise unknown_name("precision", precision, PRECISIONS)
    nodes = 1
    if TorchElasticEnvironment.detect():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        devices, nodes = devices or here, int(os.environ["WORLD_SIZE"]) // here
    how = {"devices": devices or 1, "num_nodes": nodes, "precision": precision}
    try:
        fabric = Fabric(accelerator=device, **how)
        fabric.launch()
    except (ValueError, RuntimeError, ImportError, MisconfigurationException) as fault:
        raise UserError(str(fault).splitlines()[0]) from None
    # A batch stays in float32: it is also the target of the loss, and 8 bits of
    # mantissa are too few for a grey value.
    fabric.strategy.precision.convert_input = lambda batch: batch
    return fabric


def first_then_others(fabric: Fabric, action: Callable):
    """Let the first process act, and then the others: what makes a file is done once,
    and the others find it. A `UserError` of the first is raised in all of them, where
    Fabric's ``rank_zero_first`` would let the others wait for ever."""
    result, fault = None, None
    if fabric.is_global_zero:
        try:
            result = action()
        except UserError as error:
            fault = str(error)
    if fault := fabric.broadcast(fault):
        raise UserError(fault)
    return result if fabric.is_global_zero else action()
