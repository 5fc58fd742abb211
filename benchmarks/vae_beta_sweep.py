"""Rate against distortion of a VAE: the weight β of the KL swept, over several seeds.

Every point is a training of its own from new weights, with the quick profile's networks
and the ELBO of a Gaussian likelihood; only β, the seed and the form of the latent (one
vector, or a grid of them) differ. Scores are those of draws, on the test patients.

    python benchmarks/vae_beta_sweep.py --store
"""

import math
import statistics

import click
import torch
from common import spread, tell
from torch import Tensor, nn

from vqlib import losses, metrics, profiles, recipes
from vqlib.data import open_data
from vqlib.metrics.sharpness import edge_recovery
from vqlib.training import FitSettings, learning_rate_at

BETAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
KINDS = ("vae_global", "vae")
COLUMNS = {  # key of a row: heading, format
    "bits": ("bits", ",.0f"),
    "distortion": ("nats per pixel", ".3f"),
    "neg_elbo": ("−ELBO", ".3f"),
    "rmse": ("RMSE", ".4f"),
    "ssim": ("SSIM", ".3f"),
    "edges": ("edges", ".3f"),
    "active": ("active", ".0%"),
}


def train(objective: nn.Module, images: Tensor, profile, steps: int, seed: int) -> None:
    """So many steps of the project's schedule, on slices in an order of the seed's."""
    torch.manual_seed(seed)
    settings = FitSettings(1, profile.batch_size, profile.learning_rate)
    optimizer = torch.optim.AdamW(
        objective.parameters(), betas=(0.9, 0.99), weight_decay=0.0
    )
    objective.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, steps, settings)
        rows = torch.randint(len(images), (profile.batch_size,))
        loss = objective({"image": images[rows]})["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(objective.parameters(), settings.clip)
        optimizer.step()
    objective.eval()


@torch.no_grad()
def measure(model: nn.Module, images: Tensor, seed: int) -> dict:
    """Rate, distortion and blur on a split, from one draw for each slice."""
    torch.manual_seed(seed)
    outputs = [model(batch) for batch in images.split(64)]
    reconstruction, mu, logvar = (
        torch.cat(part) for part in zip(*outputs, strict=True)
    )
    pixels = images[0].numel()
    bits = metrics.kl_bits(mu, logvar).mean()
    nats = losses.gaussian_nll(reconstruction, images) / pixels
    return {
        "bits": float(bits),
        "distortion": float(nats),
        "neg_elbo": float(nats + bits * math.log(2) / pixels),
        "rmse": float((reconstruction - images).square().mean().sqrt()),
        "ssim": float(metrics.slice_scores(reconstruction, images)["ssim"].mean()),
        "edges": float(edge_recovery(reconstruction, images).mean()),
        "active": float(metrics.active_units(mu).float().mean()),
    }


def summary(rows: list[dict]) -> list[str]:
    """A line for each latent and β: mean and, over seeds, standard deviation."""
    lines = [f"{'':22}" + "".join(f"{head:>18}" for head, _ in COLUMNS.values())]
    for kind, beta in dict.fromkeys((row["kind"], row["beta"]) for row in rows):
        same = [r for r in rows if (r["kind"], r["beta"]) == (kind, beta)]
        line = f"{kind:<12} β = {beta:<6g}"
        for key, (_, form) in COLUMNS.items():
            values = [row[key] for row in same]
            line += f"{statistics.mean(values):{form}} ± {spread(values):{form}}".rjust(
                18
            )
        lines.append(line)
    return lines


@click.command(help=__doc__)
@click.option("--data-dir", metavar="DIR", help="Slices; the phantom when left out.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", default=400, show_default=True, help="Of each training.")
@click.option("--short", is_flag=True, help="Seconds: the smoke profile, one seed.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(data_dir, seeds: int, steps: int, short: bool, store: bool) -> None:
    torch.set_num_threads(1)
    profile = profiles.get("smoke" if short else "quick")
    steps, seeds = (10, 1) if short else (steps, seeds)
    data, rows = open_data(data_dir, profile), []
    for seed in range(seeds):
        for kind in KINDS:
            for beta in BETAS:
                model = recipes.build(kind, profile, seed)
                objective = losses.ELBOObjective(model, steps // 4, beta)
                train(objective, data.train.images, profile, steps, seed)
                row = {"kind": kind, "beta": beta, "seed": seed}
                rows.append(row | measure(model, data.test.images, seed))
                print(
                    f"seed {seed}  {kind:<12} β = {beta:<5g} {rows[-1]['bits']:8,.0f} "
                    f"bits  {rows[-1]['distortion']:.3f} nats per pixel",
                    flush=True,
                )
    print("\n".join(summary(rows)))
    result = {"data": data.name, "profile": profile.name, "size": profile.size}
    result |= {"steps": steps, "seeds": seeds, "rows": rows}
    tell("vae_beta_sweep" + "_real_slices" * bool(data_dir), result, store)


if __name__ == "__main__":
    main()
