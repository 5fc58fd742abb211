"""What each model costs: counted by tools on tensors without values, not timed.

For each profile and model:

- parameters;
- operations for one slice, forward and backward, as `torch.utils.flop_counter` counts
  them: matrix products and convolutions, a multiplication and an addition each;
  attention as if nothing were masked;
- peak memory of a training step with the profile's batch: what PyTorch's `MemTracker`
  sees of all tensors held at once (weights, gradients, AdamW's moments, the batch,
  activations and temporary tensors), in float32. The scratch space within an operation
  and what an allocator keeps in reserve are not seen;
- for the transformer prior, the keys and values that sampling keeps for each slice.

It runs in PyTorch's fake-tensor mode, where an operation only gives the shape of its
result, so the full profile costs no more than the quick one. ``--check`` makes one such
step really, and compares the growth of the process (Linux) with the count.

    python benchmarks/model_costs.py --check --store
"""

import math
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click
import torch
from common import counting, tell
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from vqlib import profiles, recipes

PRIORS = {f"prior, {network}": network for network in profiles.PRIORS}
MIB = 2**20


def make_step(kind: str, profile, size: int):
    """A function that makes one training step, as `vqlib.training` does, and what it
    trains: objective and optimizer."""
    objective = recipes.objective_for(kind, recipes.build(kind, profile), profile)
    objective.train()
    # fused: all in place, so nothing has to be known of the numbers
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4, fused=True)
    if kind == "prior":
        objective.model.check = lambda *_: None  # it looks at numbers
        codes = torch.zeros(size, *profile.grid_shape, dtype=torch.int64)
        batch = {"codes": codes, "position": torch.zeros(size)}
    else:
        batch = {"image": torch.zeros(size, 1, *profile.shape)}

    def step() -> None:
        loss = objective(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()

    return step, objective, optimizer


def operations(kind: str, profile) -> int:
    """Of a step with one slice."""
    with FakeTensorMode():
        step, *_ = make_step(kind, profile, 1)
        step()  # the k-means start of a quantizer is not part of every step
        with counting() as counter:
            step()
    return counter.get_total_flops()


def peak_bytes(kind: str, profile, size: int) -> int:
    """The most that the second step holds at once; the first makes the moments."""
    with FakeTensorMode():
        step, objective, optimizer = make_step(kind, profile, size)
        step()
        tracker = MemTracker()
        tracker.track_external(objective, optimizer)
        with tracker:
            step()
    return tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]


def cache_bytes(profile) -> int:
    """Keys and values of one slice in sampling: a vector each, in every block, for
    every position of the grid, in float32."""
    positions = math.prod(profile.grid_shape)
    return 2 * profile.prior_layers * positions * profile.prior_dim * 4


def costs(profile, kind: str, name: str) -> dict:
    """One row of the table."""
    batch = profile.prior_batch_size if kind == "prior" else profile.batch_size
    cache = cache_bytes(profile) / MIB if "transformer" in name else None
    with FakeTensorMode():
        model = recipes.build(kind, profile)
    return {
        "profile": profile.name,
        "size": profile.size,
        "model": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflop_per_slice": operations(kind, profile) / 1e9,
        "batch": batch,
        "peak_mib": peak_bytes(kind, profile, batch) / MIB,
        "cache_mib_per_slice": cache,
    }


def check(kind: str, profile, size: int) -> dict:
    """The same step with numbers, twice in a process of its own: by how much that
    grows as it is, and where the C library returns at once what is freed."""
    row = {"model": kind, "profile": profile.name, "batch": size}
    row["counted_mib"] = peak_bytes(kind, profile, size) / MIB
    returning = {f"MALLOC_{name}_THRESHOLD_": "65536" for name in ("MMAP", "TRIM")}
    for name, variables in {"usual": {}, "returning": returning}.items():
        os.environ |= variables
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            grown = pool.submit(growth, kind, profile, size).result()
        row[f"measured_mib_{name}"] = grown / MIB
    return row


def growth(kind: str, profile, size: int) -> int:
    """Bytes by which two steps with a large batch let this process grow (Linux)."""
    torch.set_num_threads(1)
    make_step(kind, profile, 1)[0]()  # libraries load
    before = _peak_of_process()
    step, *_ = make_step(kind, profile, size)
    step()
    step()
    return _peak_of_process() - before


def _peak_of_process() -> int:
    """The most that this process held so far."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(x for x in status.splitlines() if x.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


@click.command(help=__doc__)
@click.option("--check", "checked", is_flag=True, help="Make one step really as well.")
@click.option("--short", is_flag=True, help="The quick profile alone.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(checked: bool, short: bool, store: bool) -> None:
    result = {}
    if checked:
        result["check"] = check("vqvae", profiles.get("quick"), 128)
        print(*(f"{name} {value}" for name, value in result["check"].items()))
    rows = []
    print(f"{'':<26}{'parameters':>12}{'GFLOP/slice':>13}{'batch':>7}{'peak MiB':>10}")
    for profile in ("quick",) if short else ("quick", "full"):
        for name in (*recipes.AUTOENCODERS, *PRIORS):
            kind = "prior" if name in PRIORS else name
            settings = profiles.get(profile, prior=PRIORS.get(name))
            row = costs(settings, kind, name)
            rows.append(row)
            print(
                f"{profile:<6} {name:<19}{row['parameters']:>12,}"
                f"{row['gflop_per_slice']:>13.2f}{row['batch']:>7}"
                f"{row['peak_mib']:>10,.0f}",
                flush=True,
            )
    tell("model_costs", result | {"rows": rows}, store)


if __name__ == "__main__":
    main()
