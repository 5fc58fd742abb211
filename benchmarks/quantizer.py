"""The quantizer alone: ours beside other people's, in time and in memory.

All see the same vectors on one thread, in training mode, with an EMA codebook of the
same size and the straight-through estimator, without k-means start or restarts. Beside
them: ours with restarts, ours with the rotation trick, and finite scalar quantization,
which sees only as many channels as it has digits.

Calls are interleaved: each turn calls every contestant once, and what is given is the
median over turns of its processor time as a multiple of ours in the same turn, so that
a busy machine disturbs all alike. Memory is the peak of what one call of forward and
backward holds at once beyond its input, counted by torch.profiler (the scratch space
within a matrix product is not seen).

    pip install -e ".[bench]"
    python benchmarks/quantizer.py --store
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path

import click
import torch
from common import tell
from monai.networks.layers.vector_quantizer import EMAQuantizer
from rivals import OneHotEMA
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from vector_quantize_pytorch import VectorQuantize

from vqlib.models.fsq import FiniteScalarQuantizer
from vqlib.models.quantizers import VectorQuantizer, rotate

SHAPES = [(16, 64, 32, 16), (16, 64, 64, 32)]
SIZES = [512, 4096]
LEVELS = {512: (8, 8, 8), 4096: (8, 8, 8, 8)}
OURS = "vqlib"


def contestants(size: int, dim: int) -> dict[str, Callable]:
    """Name -> function of z_e [B, D, h, w] that returns z_q and a loss."""
    plain = {"kmeans_steps": 0, "patience": 0}
    ours = VectorQuantizer(size, dim, **plain)
    restarting = VectorQuantizer(size, dim, kmeans_steps=0)
    rotating = VectorQuantizer(size, dim, estimator=rotate, **plain)
    one_hot = OneHotEMA(size, dim).train()
    fsq = FiniteScalarQuantizer(LEVELS[size])
    monai = EMAQuantizer(2, size, dim).train()
    lucid = VectorQuantize(
        dim, codebook_size=size, accept_image_fmap=True, rotation_trick=False
    ).train()
    return {
        OURS: lambda z_e: ours(z_e)[::2],
        "one-hot": lambda z_e: one_hot(z_e)[::2],
        "MONAI": lambda z_e: monai(z_e)[:2],
        "vector-quantize-pytorch": lambda z_e: lucid(z_e)[::2],
        "vqlib, restarts": lambda z_e: restarting(z_e)[::2],
        "vqlib, rotation": lambda z_e: rotating(z_e)[::2],
        "vqlib, FSQ": lambda z_e: fsq(z_e[:, : fsq.dim])[::2],
    }


def call(quantize: Callable, z_e: Tensor, backward: bool) -> float:
    """Processor seconds of one call."""
    z_e.grad = None
    start = time.process_time()
    z_q, loss = quantize(z_e)
    if backward:
        roots = [(z_q, z_q.detach()), (loss.sum(), None)]
        roots = [root for root in roots if root[0].requires_grad]  # FSQ has no loss
        torch.autograd.backward(*zip(*roots, strict=True))
    return time.process_time() - start


def peak_mebibytes(quantize: Callable, z_e: Tensor) -> float:
    """The most that one call of forward and backward holds at once, beyond z_e."""
    z_e.grad = None
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call(quantize, z_e, backward=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    events = [event for event in events if event.get("name") == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    return max(accumulate(event["args"]["Bytes"] for event in events)) / 2**20


def measure(shape: tuple[int, ...], size: int, repeats: int) -> list[dict]:
    """Rows of the table for one shape and one K: each contestant's ratio to ours,
    forward and forward + backward, and its peak memory."""
    torch.manual_seed(0)
    z_e = torch.randn(shape, requires_grad=True)
    found = contestants(size, shape[1])
    seconds = {name: {False: [], True: []} for name in found}
    for turn in range(repeats + 2):
        for backward in (False, True):
            for name, quantize in found.items():
                used = call(quantize, z_e, backward)
                if turn >= 2:  # the first two warm up
                    seconds[name][backward].append(used)

    def ratio(name: str, backward: bool) -> float:
        pairs = zip(seconds[name][backward], seconds[OURS][backward], strict=True)
        return statistics.median(theirs / own for theirs, own in pairs)

    return [
        {
            "shape": list(shape),
            "K": size,
            "quantizer": name,
            "forward": ratio(name, False),
            "forward_backward": ratio(name, True),
            "forward_ms": 1000 * statistics.median(seconds[name][False]),
            "forward_backward_ms": 1000 * statistics.median(seconds[name][True]),
            "peak_mib": peak_mebibytes(quantize, z_e),
        }
        for name, quantize in found.items()
    ]


@click.command(help=__doc__)
@click.option("--repeats", default=20, show_default=True)
@click.option("--short", is_flag=True, help="One shape, one K, five repeats.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(repeats: int, short: bool, store: bool) -> None:
    torch.set_num_threads(1)
    cases = [(shape, size) for shape in SHAPES for size in SIZES]
    if short:
        cases, repeats = cases[:1], 5
    rows = []
    for shape, size in cases:
        print(f"\n{list(shape)}, K = {size}")
        print(f"{'':<26}{'forward':>9}{'+ backward':>12}{'peak MiB':>10}")
        for row in measure(shape, size, repeats):
            rows.append(row)
            print(
                f"{row['quantizer']:<26}{row['forward']:>9.2f}"
                f"{row['forward_backward']:>12.2f}{row['peak_mib']:>10.1f}",
                flush=True,
            )
    result = {"repeats": repeats, "rows": rows}
    result["packages"] = {
        name: version(name) for name in ("monai", "vector-quantize-pytorch")
    }
    tell("quantizer", result, store)


if __name__ == "__main__":
    main()
