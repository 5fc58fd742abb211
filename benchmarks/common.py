"""What benchmarks share: where they ran, how they store and print their result."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from vqlib.runs import save_json

RESULTS = Path(__file__).parent / "results"


def circumstances() -> dict:
    """Command, versions and machine, so that a stored number can be judged."""
    words = [Path(a).name if "/" in a else a for a in sys.argv[1:]]
    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words]),
        "machine": f"{platform.system()} {platform.machine()}, "
        f"{torch.get_num_threads()} threads"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
        "versions": {
            name: version(name) for name in ("torch", "numpy", "torchmetrics")
        },
    }


def tell(name: str, result: dict, store: bool) -> None:
    """Store the result where README and notebooks find it, and print it as the last
    line."""
    result = circumstances() | result
    if store:
        RESULTS.mkdir(exist_ok=True)
        save_json(RESULTS / f"{name}.json", result)
    print(json.dumps(result, sort_keys=True))


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
