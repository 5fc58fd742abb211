"""What benchmarks here share: where they ran, how they tell their result, and training
for a processor time rather than for a number of steps."""

import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from vqlib.runs import save_json
from vqlib.training import FitSettings, learning_rate_at

RESULTS = Path(__file__).parent / "results"


def circumstances() -> dict:
    """Command, versions and machine, so that a stored number can be judged. The command
    is the one that also trains: without ``--finished``, it tells the same."""
    words = [Path(a).name if "/" in a else a for a in sys.argv[1:] if a != "--finished"]
    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words]),
        "machine": f"{platform.system()} {platform.machine()}, "
        f"{torch.get_num_threads()} threads"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
        "versions": {
            name: version(name) for name in ("torch", "numpy", "torchmetrics")
        },
    }


def spread(values: list[float]) -> float:
    """Standard deviation over seeds; 0 of a single one."""
    return statistics.stdev(values) if values[1:] else 0.0


def over_seeds(rows: list[dict], what: str, scores: Sequence[str]) -> list[dict]:
    """A line for each value of ``what``: mean and spread of its rows' scores."""
    table = []
    for name in dict.fromkeys(row[what] for row in rows):
        line = {what: name}
        for score in scores:
            values = [row[score] for row in rows if row[what] == name]
            line[score] = statistics.mean(values)
            line[f"{score}_sd"] = spread(values)
        table.append(line)
    return table


def tell(name: str, result: dict, store: bool) -> None:
    """Store the result where README and notebooks find it, and print it as the last
    line."""
    result = circumstances() | result
    if store:
        RESULTS.mkdir(exist_ok=True)
        save_json(RESULTS / f"{name}.json", result)
    print(json.dumps(result, sort_keys=True))


def train_for(
    seconds: float,
    objective: nn.Module,
    images: Tensor,
    batch_size: int,
    learning_rate: float,
    constant: bool = False,
) -> int:
    """Train for so many processor seconds; returns the number of steps.

    The warm-up and cosine of `vqlib.training` run over the time rather than the steps,
    so that each model has its whole schedule; ``constant`` keeps the learning rate, as
    many projects do.
    """
    settings = FitSettings(1, batch_size, learning_rate)
    parameters = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, learning_rate, betas=(0.9, 0.99), weight_decay=0.0
    )
    steps, start = 0, time.process_time()
    while (used := time.process_time() - start) < seconds:
        at = max(int(1000 * used / seconds), min(steps, 100))
        for group in optimizer.param_groups:
            if not constant:
                group["lr"] = learning_rate_at(at, 1000, settings)
        rows = torch.randint(len(images), (batch_size,))
        loss = objective({"image": images[rows]})["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
        steps += 1
    return steps


def counting() -> FlopCounterMode:
    """A counter of operations that knows the attention of CPUs too."""
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def forward(query, key, value, *_, out_shape=None, **__):
        return sdpa_flop_count(query, key, value)

    def backward(gradient, query, key, value, *_, out_shape=None, **__):
        return sdpa_backward_flop_count(gradient, query, key, value)

    known = {attention: forward}
    known[torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward] = (
        backward
    )
    return FlopCounterMode(display=False, custom_mapping=known)
