"""VAE and VQ-VAE at equal rate and cost: who reconstructs better, over several seeds?

Both have the same encoder and decoder, the same distortion, the same slices in the same
order and the same number of steps; the VAE's KL is held at the VQ-VAE's nominal bits.
The trainings lie in ``runs/benchmark-DATA-SEED``, so an interrupted run goes on.

    python benchmarks/quality_at_equal_rate.py --real DIR --steps 630 --store
"""

import click
import torch
from common import tell

from vqlib import metrics, profiles, recipes
from vqlib.data import open_data
from vqlib.runs import Run, load_json


def compare(name: str, data, settings, seed: int) -> tuple[list[dict], dict]:
    """Train both models with one seed; their rows of the table, and the difference."""
    run, rows, scores = Run(f"benchmark-{name}-{seed}"), [], {}
    for kind in ("vae", "vqvae"):
        model = recipes.train(kind, settings, data, run, seed=seed)
        result = recipes.read_metrics(run, kind)
        keep = ("ssim", "psnr", "bits_per_slice", "order0_bits", "perplexity",
                "codes_used")  # fmt: skip
        rows.append(
            {"data": name, "kind": kind, "seed": seed}
            | {key: result[key] for key in keep if key in result}
            | load_json(run.part(kind) / "timing.json")
        )
        torch.manual_seed(seed)
        scores[kind] = metrics.score(model.reconstruct, data.test)
    difference = {"data": name, "seed": seed}
    for score in ("ssim", "psnr"):
        difference[score] = metrics.paired_bootstrap(
            scores["vqvae"][score], scores["vae"][score], data.test.patients.numpy()
        )._asdict()
    return rows, difference


@click.command(help=__doc__)
@click.option(
    "--real", metavar="DIR", help="A folder of real slices, besides the phantom."
)
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", type=int, help="Of each training; the profile's if left out.")
@click.option("--short", is_flag=True, help="Seconds: the smoke profile, one seed.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(real, seeds: int, steps: int | None, short: bool, store: bool) -> None:
    settings = profiles.get("smoke" if short else "quick", steps=steps)
    sources = {"phantom": None} | ({"real_slices": real} if real else {})
    rows, differences = [], []
    for name, folder in sources.items():
        data = open_data(folder, settings)
        for seed in range(1 if short else seeds):
            more, difference = compare(name, data, settings, seed)
            rows += more
            differences.append(difference)
            for row in more:
                print(
                    f"{name:<12} seed {seed}  {row['kind']:<6}"
                    f" SSIM {row['ssim']['mean']:.3f}"
                    f" ({row['ssim']['low']:.3f} to {row['ssim']['high']:.3f})"
                    f"  PSNR {row['psnr']['mean']:.2f} dB"
                    f"  {row['bits_per_slice']:.0f} bits"
                    f"  {row['train_seconds']:.0f} s",
                    flush=True,
                )
    result = {"profile": settings.name, "steps": settings.steps}
    result |= {"rows": rows, "differences": differences}
    tell("quality_at_equal_rate", result, store)


if __name__ == "__main__":
    main()
