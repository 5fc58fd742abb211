"""What three processes do in `test_two_processes`; torchrun starts it.

torchrun --nproc-per-node 3 shared_training.py OUT
"""

import os
import sys
from pathlib import Path

import torch
from made_batches import batch_for

from vqlib import profiles, recipes
from vqlib.runs import save_checkpoint
from vqlib.training import FitSettings, fit, make_fabric

KINDS = tuple(recipes.RECIPES)
FIT = FitSettings(epochs=2, batch_size=6, learning_rate=2e-3, weight_ema=0.9)


def train(kind, folder):
    """Two epochs of one kind; returns this process's last weights, before all read the
    best from one file, what its random numbers began with, and the losses."""
    profile = profiles.get("smoke", generator_critic_start=1)
    model = recipes.build(kind, profile)
    objective = recipes.objective_for(kind, model, profile)
    torch.manual_seed(0)
    batch, last = batch_for(kind, model, profile.shape, 12), {}
    data = [{name: values[i] for name, values in batch.items()} for i in range(12)]

    def note_seed(*_):
        last["seed"] = torch.tensor(torch.initial_seed())

    def validate(average):
        for name, module in {"last": objective, "average": average}.items():
            last.update({f"{name}/{k}": v for k, v in module.state_dict().items()})
        return {"loss": 0.0}

    handle = objective.register_forward_pre_hook(note_seed)
    history = fit(objective, data, folder / kind, FIT, validate, make_fabric("cpu"))
    handle.remove()
    return last | {"losses": torch.tensor(history["loss"])}


def run(out):
    for kind in KINDS:
        last = train(kind, out)
        save_checkpoint(out / f"{kind}-{os.environ['RANK']}.safetensors", last, {})


if __name__ == "__main__":
    run(Path(sys.argv[1]))
