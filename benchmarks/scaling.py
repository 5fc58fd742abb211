"""What a training step costs: how its time grows, and what helps.

1. Time of one step of the VQ-VAE (forward, backward, clipping, AdamW) against slices
   per batch, image area and codes K, and of its quantizer alone against K, each with
   the exponent of a power law fitted to the three largest sizes (at small ones what
   every step costs hides the growth). ``resources/draw_scaling.py`` draws it.
2. The same step in other ways to compute it: bfloat16, channels last, compiled.

Times are processor times of one thread, or those of the GPU with ``--device cuda``.
Sizes take turns, so that a busy machine disturbs all alike, and the median is given.
What each model needs is counted by ``benchmarks/model_costs.py``.

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

from vqlib import profiles, recipes

Step = Callable[[], None]
BATCHES, AREAS = (1, 2, 4, 8, 16, 32), ("32x16", "64x32", "128x64", "256x128")
SIZES = (64, 256, 1024, 4096, 16384)
WAYS = {  # name: (autocast to bfloat16, channels last, compiled)
    "float32": (False, False, False),
    "channels last": (False, True, False),
    "bfloat16": (True, False, False),
    "bfloat16, channels last": (True, True, False),
    "compiled": (False, False, True),
}


def make_step(
    profile: profiles.Profile, size: int, device: str = "cpu", way: str = "float32"
) -> Step:
    """A function that makes one training step of the VQ-VAE on noise, as
    `vqlib.training` does."""
    half, channels_last, compiled = WAYS[way]
    model = recipes.build("vqvae", profile)
    objective = recipes.objective_for("vqvae", model, profile).to(device).train()
    if channels_last:
        objective.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4, foreach=True)
    batch = {"image": torch.rand(size, 1, *profile.shape).to(device)}
    call = torch.compile(objective) if compiled else objective

    def step() -> None:
        with torch.autocast(device, torch.bfloat16) if half else nullcontext():
            loss = call(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()

    return step


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
        return make_step(profiles.get("quick", **changes), slices, device)

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
        steps = {name: make_step(profile, size, device, name) for name in names}
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
    tell("scaling", result, store)


if __name__ == "__main__":
    main()
