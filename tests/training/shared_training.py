"""What two processes do in `test_two_processes`; torchrun starts it.

torchrun --nproc-per-node 2 shared_training.py SLICES OUT
"""

import os
import sys
from pathlib import Path

import torch

from vqlib import profiles, recipes
from vqlib.data import open_data
from vqlib.runs import save_checkpoint
from vqlib.training import FitSettings, fit, make_fabric

KINDS = (*recipes.AUTOENCODERS, "sharp_vqvae", "sharp_vae", "maps_prior")
FIT = FitSettings(epochs=2, batch_size=4, learning_rate=2e-3, weight_ema=0.9)


def train(kind, slices, folder):
    """Two epochs of one kind; returns this process's last weights, before all read the
    best from one file, and what its random numbers began with."""
    profile = profiles.get("smoke", organs_first=False, generator_critic_start=1)
    model = recipes.build(kind, profile)
    objective = recipes.objective_for(kind, model, profile)
    data, last = slices.train, {}
    if "prior" in kind:
        random = torch.Generator().manual_seed(0)
        codes = torch.randint(16, (8, *model.grid), generator=random)
        data = [{"codes": c, "position": torch.tensor(0.5)} for c in codes]

    def note_seed(*_):
        last["seed"] = torch.tensor(torch.initial_seed())

    def validate(average):
        for name, module in {"last": objective, "average": average}.items():
            last.update({f"{name}/{k}": v for k, v in module.state_dict().items()})
        return {"loss": 0.0}

    handle = objective.register_forward_pre_hook(note_seed)
    fit(objective, data, folder / kind, FIT, validate, make_fabric("cpu"))
    handle.remove()
    return last


def run(folder, out):
    slices = open_data(folder, profiles.get("smoke"), progress=False)
    for kind in KINDS:
        last = train(kind, slices, out)
        save_checkpoint(out / f"{kind}-{os.environ['RANK']}.safetensors", last, {})


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
