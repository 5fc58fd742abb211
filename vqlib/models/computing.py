"""Mixed precision and several processes: what losses and quantizers share.

Several processes, each with a share of a batch, shall train as one process does with
all of it. The gradients are averaged by the training loop; here is what a mean of
losses gets wrong, since it is not linear in the batch.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(device: torch.device) -> AbstractContextManager:
    """A context without autocast, on devices that have it."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sharing() -> int:
    """How many processes have a share of this batch each. In validation, where no
    gradients are wanted, every process scores whole batches."""
    return processes() if torch.is_grad_enabled() else 1


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, without gradient."""
    value = value.detach()
    if processes() > 1:
        value = value / processes()
        dist.all_reduce(value)
    return value


def of_whole_batch(mean: Tensor) -> Tensor:
    """The mean over a batch that processes share, from that over this one's share.

    What is not linear in a mean (a logarithm, a quotient) has to see the whole batch,
    else more processes would minimise another loss. Gradients go through the own share:
    averaged over the processes, as they are before a step, they are those of the whole.
    """
    if sharing() == 1:
        return mean
    return mean + (mean_over_processes(mean) - mean.detach())
