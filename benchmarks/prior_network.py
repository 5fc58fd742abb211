"""Which prior the quick profile should train: bits per slice for a processor time.

Each candidate learns the codes of a run's VQ-VAE for the same processor seconds on one
thread, with the whole schedule of its learning rate within them, and is then scored on
validation and test slices, given their positions alone. Beside them: what the profile's
controls pay, which know nothing of how codes meet.

    python benchmarks/prior_network.py --run quick --seconds 240 --store
"""

import math
from dataclasses import replace

import click
import torch
from common import tell, train_for
from torch import Tensor, nn

from vqlib import losses, profiles, recipes
from vqlib.data import open_data
from vqlib.runs import Run

# what is changed of the profile, for each network
CANDIDATES = {
    "transformer": [
        {},
        {"prior_batch_size": 8},
        {"prior_learning_rate": 1e-3},
        {"prior_dropout": 0.0},
        {"prior_dim": 128, "prior_layers": 2},
    ],
    "pixelcnn": [
        {},
        {"prior_batch_size": 8},
        {"prior_learning_rate": 1e-3},
        {"prior_learning_rate": 6e-3},
        {"prior_dropout": 0.0},
        {"pixelcnn_layers": 1},
        {"pixelcnn_layers": 3},
        {"pixelcnn_dim": 96},
    ],
}


class Rows(nn.Module):
    """An objective that is given the numbers of slices in place of their codes."""

    def __init__(self, objective: nn.Module, codes: recipes.CodeDataset):
        super().__init__()
        self.objective, self.codes = objective, codes

    def forward(self, batch: dict[str, Tensor]) -> losses.Losses:
        rows, codes = batch["image"], self.codes
        return self.objective(
            {
                "codes": codes.codes[rows],
                "position": codes.positions[rows],
                "organs": codes.organs[rows],
            }
        )


def bits(prior: nn.Module, codes: recipes.CodeDataset) -> float:
    """Per slice."""
    nats = recipes.code_nats(prior, codes).mean().item()
    return nats * math.prod(prior.grid) / math.log(2)


def measure(profile, codes: dict, codebook: Tensor, seconds: float, seed: int) -> dict:
    """One candidate, trained for so many processor seconds."""
    prior = recipes.build("prior", profile, seed)
    prior.use_codebook(codebook)
    torch.manual_seed(seed)
    steps = train_for(
        seconds,
        Rows(losses.PriorObjective(prior), codes["train"]).train(),
        torch.arange(len(codes["train"])),
        profile.prior_batch_size,
        profile.prior_learning_rate,
    )
    prior.eval()
    return {
        "parameters": sum(p.numel() for p in prior.parameters()),
        "steps": steps,
        "epochs": steps * profile.prior_batch_size / len(codes["train"]),
        "validate_bits": bits(prior, codes["validate"]),
        "test_bits": bits(prior, codes["test"]),
    }


@click.command(help=__doc__)
@click.option("--data-dir", help="Folder of slices.  [default: the phantom]")
@click.option("--run", default="quick", show_default=True, help="Holds the VQ-VAE.")
@click.option("--seconds", default=60.0, show_default=True, help="For each candidate.")
@click.option("--only", help="One network alone: transformer or pixelcnn.")
@click.option("--short", is_flag=True, help="The profile's own settings, 20 seconds.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(data_dir, run, seconds, only, short, store) -> None:
    torch.set_num_threads(1)
    profile = profiles.get("quick")
    data = open_data(data_dir, profile)
    vqvae = recipes.load("vqvae", profile, data, Run(run))
    codes = {
        name: recipes.CodeDataset(vqvae, getattr(data, name))
        for name in ("train", "validate", "test")
    }
    codebook = vqvae.quantizer.codebook.detach()
    controls = recipes.control_priors(codes["train"], profile.codebook_size)
    costs = {name: bits(control, codes["test"]) for name, control in controls.items()}
    for name, cost in costs.items():
        print(f"{name:<60}{cost:>32.0f}")
    print(f"{'':<60}{'steps':>8}{'epochs':>8}{'validate':>8}{'test':>8}", flush=True)
    rows = []
    for network in [only] if only else profiles.PRIORS:
        for changes in CANDIDATES[network][: 1 if short else None]:
            settings = replace(profile, prior=network, **changes)
            row = measure(settings, codes, codebook, 20 if short else seconds, seed=0)
            rows.append({"prior": network, "changes": changes, **row})
            name = f"{network} " + ", ".join(f"{k} {v}" for k, v in changes.items())
            print(
                f"{name:<60}{row['steps']:>8}{row['epochs']:>8.2f}"
                f"{row['validate_bits']:>8.0f}{row['test_bits']:>8.0f}",
                flush=True,
            )
    result = {"seconds": 20 if short else seconds, "rows": rows, "control_bits": costs}
    tell("prior_network", result, store)


if __name__ == "__main__":
    main()
