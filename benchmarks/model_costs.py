"""What each model costs: counted by tools on tensors without values, not timed.

For each profile and model:

- parameters;
- operations for one slice, forward and backward, as `torch.utils.flop_counter` counts
  them: matrix products and convolutions, a multiplication and an addition each;
  attention as if nothing were masked; a critic where the objective has one;
- peak memory of a training step with the profile's batch: what PyTorch's `MemTracker`
  sees of all tensors held at once (weights, gradients, AdamW's moments, the batch,
  activations and temporary tensors), in float32. The scratch space within an operation
  and what an allocator keeps in reserve are not seen;
- operations of the whole training on as many slices as the profile's phantom has, or
  HipMRI (11,460) for the full profile, and the hours that they take at 20 TFLOP/s,
  which a current GPU sustains in bfloat16 on networks of this size. Not measured.

It runs in PyTorch's fake-tensor mode, where an operation only gives the shape of its
result, so the full profile costs no more than the quick one.

    python benchmarks/model_costs.py --store
"""

import click
import torch
from common import counting, tell
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from vqlib import profiles, recipes
from vqlib.settings import EPOCH_STEPS

MIB = 2**20
SLICES = {"quick": 3600, "standard": 7200, "full": 11460}  # to train on
SUSTAINED = 20e12  # operations a second of a current GPU


def make_batch(kind: str, model: nn.Module, profile, size: int) -> dict:
    """Zeros in the shape of what the training set of a model gives."""
    if kind in ("flow", "detail"):
        latents = torch.zeros(size, model.channels, *model.grid)
        batch = {"mu": latents, "logvar": latents}
    elif "prior" in kind:
        batch = {"codes": torch.zeros(size, *model.grid, dtype=torch.int64)}
    else:
        labels = torch.zeros(size, *profile.shape, dtype=torch.int64)
        image = torch.zeros(size, 1, *profile.shape)
        return {"image": image, "labels": labels}
    if channels := model.conditioning.context_channels:
        batch["context"] = torch.zeros(size, channels, *model.grid)
    return batch | {"position": torch.zeros(size)}


def make_step(kind: str, profile, size: int):
    """A function that makes one training step, as `vqlib.training` does, and what it
    trains: objective and optimizer."""
    settings = profile.changed(generator_critic_start=0)
    model = recipes.find(kind).build(settings, 0)
    objective = recipes.objective_for(kind, model, settings).train()
    # fused: all in place, so nothing has to be known of the numbers
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4, fused=True)
    batch = make_batch(kind, model, settings, size)

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


def costs(profile, kind: str) -> dict:
    """One row of the table."""
    group = recipes.find(kind).schedule
    batch, slices = getattr(profile, group).batch_size, SLICES[profile.name]
    steps = min(slices // batch, EPOCH_STEPS) * profile.training_epochs(slices, group)
    with FakeTensorMode():
        model = recipes.find(kind).build(profile, 0)
    one = operations(kind, profile)
    return {
        "profile": profile.name,
        "size": profile.size,
        "model": kind,
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflop_per_slice": one / 1e9,
        "batch": batch,
        "peak_mib": peak_bytes(kind, profile, batch) / MIB,
        "pflop": one * steps * batch / 1e15,
        "gpu_hours": one * steps * batch / SUSTAINED / 3600,
    }


@click.command(help=__doc__)
@click.option("--short", is_flag=True, help="The quick profile alone.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(short: bool, store: bool) -> None:
    rows = []
    for name in ("quick",) if short else tuple(SLICES):
        for kind in (*recipes.AUTOENCODERS, *recipes.GENERATORS):
            row = costs(profiles.get(name), kind)
            rows.append(row)
            numbers = "{parameters:>11,}{gflop_per_slice:>9.2f}{peak_mib:>8.0f}"
            text = (numbers + "{pflop:>9.2f}{gpu_hours:>7.2f}").format(**row)
            print(f"{name:<9}{kind:<12}{text}", flush=True)
    tell("model_costs", {"rows": rows}, store)


if __name__ == "__main__":
    main()
