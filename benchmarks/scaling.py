"""What a training step costs: how its time grows, what helps, and what the full profile
needs.

1. Time of one step of the VQ-VAE (forward, backward, clipping, AdamW) against slices
   per batch, image area and codes K, and of its quantizer alone against K, each with
   the exponent of a power law fitted to the three largest sizes (at small ones what
   every step costs hides the growth). ``resources/draw_scaling.py`` draws it.
2. The same step in other ways to compute it: bfloat16, channels last, compiled.
3. For each model of the full profile, counted and not timed: parameters, operations
   for one slice, and peak memory for a whole batch. Operations are those that
   `torch.utils.flop_counter` knows (matrix products and convolutions; attention as if
   nothing were masked), forward and backward. Memory is what PyTorch's `MemTracker`
   sees of all tensors held at once in a whole step, for two small batches, and is
   carried on in a straight line to the profile's batch; the scratch space within an
   operation is not seen.

Times are processor times of one thread, or those of the GPU with ``--device cuda``.
Sizes take turns, so that a busy machine disturbs all alike, and the median is given.

    python benchmarks/scaling.py --store
"""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import click
import numpy as np
import torch
from common import tell
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from vqlib import profiles, recipes

Step = Callable[[], None]
KINDS = (*recipes.KINDS, "prior")
BATCHES, AREAS = (1, 2, 4, 8, 16, 32), ("32x16", "64x32", "128x64", "256x128")
SIZES = (64, 256, 1024, 4096, 16384)
WAYS = {  # name: (autocast to bfloat16, channels last, compiled)
    "float32": (False, False, False),
    "channels last": (False, True, False),
    "bfloat16": (True, False, False),
    "bfloat16, channels last": (True, True, False),
    "compiled": (False, False, True),
}


def make_batch(kind: str, profile, size: int, device: str) -> dict[str, torch.Tensor]:
    """Noise of the right form."""
    if kind == "prior":
        codes = torch.randint(profile.codebook_size, (size, *profile.grid_shape))
        batch = {"codes": codes, "position": torch.rand(size)}
    else:
        batch = {"image": torch.rand(size, 1, *profile.shape)}
    return {name: value.to(device) for name, value in batch.items()}


def make_step(
    kind: str, profile, size: int, device: str = "cpu", way: str = "float32"
) -> tuple[Step, nn.Module, torch.optim.Optimizer]:
    """A function that makes one training step, as `vqlib.training` does, and what it
    trains."""
    half, channels_last, compiled = WAYS[way]
    objective = recipes.objective_for(kind, recipes.build(kind, profile), profile)
    objective = objective.to(device).train()
    if channels_last:
        objective.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4, foreach=True)
    batch = make_batch(kind, profile, size, device)
    call = torch.compile(objective) if compiled else objective

    def step() -> None:
        with torch.autocast(device, torch.bfloat16) if half else nullcontext():
            loss = call(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()

    return step, objective, optimizer


def make_quantizing(size: int, batch: int, device: str) -> Step:
    """The quantizer's part of a step alone, with K codes."""
    profile = profiles.get("quick", codebook_size=size)
    quantizer = recipes.build_quantizer(profile).to(device).train()
    shape = (batch, quantizer.dim, *profile.grid_shape)
    z_e = torch.randn(shape, device=device, requires_grad=True)

    def step() -> None:
        out = quantizer(z_e)
        (out.z_q.mean() + out.commitment_loss).backward()

    return step


def milliseconds(steps: Sequence[Step], turns: int, device: str) -> list[float]:
    """The median time of each, in turns; the first two warm up."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    found: list[list[float]] = [[] for _ in steps]
    for turn in range(turns + 2):
        for times, step in zip(found, steps, strict=True):
            if device == "cuda":
                torch.cuda.synchronize()
            start = clock()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            if turn >= 2:
                times.append(1000 * (clock() - start))
    return [statistics.median(times) for times in found]


def scaling(turns: int, short: bool, device: str) -> list[dict]:
    """One row for each quantity: its values, the times, the fitted exponent."""
    batch = profiles.get("quick").batch_size
    batches, areas, sizes = (
        values[-4:-1] if short else values for values in (BATCHES, AREAS, SIZES)
    )

    def training(slices=batch, **changes) -> Step:
        return make_step("vqvae", profiles.get("quick", **changes), slices, device)[0]

    series = {
        "slices per batch": (batches, [training(n) for n in batches]),
        "pixels per slice": (
            [int(np.prod(profiles.parse_shape("", a))) for a in areas],
            [training(size=a, grid=_quarter(a)) for a in areas],
        ),
        "codes K": (sizes, [training(codebook_size=k) for k in sizes]),
        "codes K, quantizer alone": (
            sizes,
            [make_quantizing(k, batch, device) for k in sizes],
        ),
    }
    rows = []
    for name, (values, steps) in series.items():
        times = milliseconds(steps, turns, device)
        exponent = np.polyfit(np.log(values[-3:]), np.log(times[-3:]), 1)[0]
        rows.append({"quantity": name, "values": list(values)})
        rows[-1] |= {"milliseconds": times, "exponent": float(exponent)}
        points = "  ".join(f"{v}: {t:.1f}" for v, t in zip(values, times, strict=True))
        print(f"{name:<26}{points}   exponent {exponent:.2f}", flush=True)
    return rows


def _quarter(shape: str) -> str:
    height, width = profiles.parse_shape("size", shape)
    return f"{height // 4}x{width // 4}"


def ways(turns: int, short: bool, device: str) -> list[dict]:
    """The step of the VQ-VAE computed in each way, for both profiles' networks."""
    rows = []
    for profile, size in ((profiles.get("quick"), 4), (profiles.get("full"), 2)):
        names = [name for name in WAYS if not short or name in list(WAYS)[:3]]
        steps = {
            name: make_step("vqvae", profile, size, device, name)[0] for name in names
        }
        if "compiled" in steps:
            try:
                steps["compiled"]()
            except torch._dynamo.exc.TorchDynamoException as fault:
                print(f"not compiled: {str(fault).splitlines()[0]}")
                del steps["compiled"]
        times = dict(
            zip(steps, milliseconds(list(steps.values()), turns, device), strict=True)
        )
        for name, value in times.items():
            row = {"profile": profile.name, "batch": size, "way": name}
            rows.append(row | {"milliseconds": value})
            ratio = value / times["float32"]
            print(
                f"{profile.name:<6}{size:>3} slices  {name:<26}{value:>8.1f} ms"
                f"{ratio:>7.2f}",
                flush=True,
            )
        if short:
            break
    return rows


def costs(short: bool) -> list[dict]:
    """Parameters, operations and memory of each model of the full profile."""
    full, rows = profiles.get("full"), []
    print(f"{'':<14}{'parameters':>12}{'GFLOP/slice':>13}{'batch':>7}{'peak GiB':>10}")
    for kind in ("vqvae",) if short else KINDS:
        batch = full.prior_batch_size if kind == "prior" else full.batch_size
        few = (1, 2) if kind == "prior" else (4, 8)
        low, high = (peak_bytes(kind, full, size) for size in few)
        peak = low + (high - low) / (few[1] - few[0]) * (batch - few[0])
        step, objective, _ = make_step(kind, full, 1)
        step()  # the k-means start of a quantizer is not part of every step
        with counting() as counter:
            step()
        row = {
            "model": kind,
            "parameters": sum(p.numel() for p in objective.parameters()),
            "gflop_per_slice": counter.get_total_flops() / 1e9,
            "batch": batch,
            "peak_gib": peak / 2**30,
            "gib_counted": {
                n: b / 2**30 for n, b in zip(few, (low, high), strict=True)
            },
        }
        rows.append(row)
        print(
            f"{kind:<14}{row['parameters']:>12,}{row['gflop_per_slice']:>13.1f}"
            f"{batch:>7}{row['peak_gib']:>10.2f}",
            flush=True,
        )
    return rows


def counting() -> FlopCounterMode:
    """A counter that knows the attention of CPUs too."""
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


def peak_bytes(kind: str, profile, size: int) -> int:
    """The most that a step holds at once: weights, gradients, moments, activations and
    temporary tensors. (It is the second step: the first one makes the moments.)"""
    step, objective, optimizer = make_step(kind, profile, size)
    step()
    tracker = MemTracker()
    tracker.track_external(objective, optimizer)
    with tracker:
        step()
    return tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]


@click.command(help=__doc__)
@click.option("--turns", default=9, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--short", is_flag=True, help="Fewer sizes and ways, three turns.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(turns: int, device: str, short: bool, store: bool) -> None:
    torch.set_num_threads(1)
    turns = 3 if short else turns
    result = {"turns": turns, "device": device}
    print("milliseconds of a step")
    result["scaling"] = scaling(turns, short, device)
    print("\nother ways to compute a step, beside float32")
    result["ways"] = ways(turns, short, device)
    print("\nthe full profile, counted")
    result["full_profile"] = costs(short)
    tell("scaling", result, store)


if __name__ == "__main__":
    main()
