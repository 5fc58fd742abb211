"""What each part of the quantizer is worth: one change at a time, over several seeds.

Every row is a whole training of the quick profile's VQ-VAE, with the same network,
slices and number of steps; only the quantizer differs. Scores and the use of the codes
are those of the test patients. The trainings lie in ``runs/ablation_…``, so an
interrupted run goes on.

    python benchmarks/quantizer_ablation.py --data-dir DIR --store
"""

import click
from common import over_seeds, tell

from vqlib import profiles, recipes
from vqlib.data import open_data
from vqlib.runs import Run, load_json

BROKEN = {"kmeans_start": False, "restarts": False}
CHANGES = {  # name: what differs from the quick profile
    "EMA, k-means start, restarts": {},
    "random start": {"kmeans_start": False},
    "no restarts": {"restarts": False},
    "random start, no restarts": BROKEN,
    "restarts after 10 steps": {"restart_after": 10},
    "restarts after 50 steps": {"restart_after": 50},
    "gradient codebook": {"quantizer": "gradient"},
    "gradient codebook, random start, no restarts": {"quantizer": "gradient", **BROKEN},
    "rotation trick": {"gradient_estimator": "rotation"},
    "cosine": {"quantizer": "cosine"},
    "cosine, D = 32": {"quantizer": "cosine", "code_dim": 32},
    "FSQ 8 x 8 x 8": {"quantizer": "fsq"},
    "beta 0.01": {"commitment_weight": 0.01},
    "beta 0.25": {"commitment_weight": 0.25},
    "beta 1": {"commitment_weight": 1.0},
    "D = 4": {"code_dim": 4},
    "D = 32": {"code_dim": 32},
    "K = 128": {"codebook_size": 128},
    "K = 2048": {"codebook_size": 2048},
}
SCORES = ("ssim", "psnr", "codes_used", "perplexity")


def measure(name: str, data, steps: int | None, seed: int) -> dict:
    """Train and score one row with one seed, or read what is there."""
    profile = profiles.get("quick", steps=steps, **CHANGES[name])
    stem = f"ablation {data.name} {profile.steps} steps {name} {seed}"
    run = Run("".join(c if c.isalnum() else "_" for c in stem))
    recipes.train("vqvae", profile, data, run, seed=seed)
    found = recipes.read_metrics(run, "vqvae")
    row = {"quantizer": name, "seed": seed, "bits_per_slice": found["bits_per_slice"]}
    for score in SCORES:
        value = found[score]
        row[score] = value["mean"] if isinstance(value, dict) else value
    return row | load_json(run.part("vqvae") / "timing.json")


@click.command(help=__doc__)
@click.option("--data-dir", metavar="DIR", help="Slices; the phantom when left out.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", type=int, help="Of each training; the profile's if left out.")
@click.option("--only", multiple=True, help="Rows whose name holds this text.")
@click.option("--short", is_flag=True, help="A minute: four rows, ten steps, one seed.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(data_dir, seeds: int, steps: int | None, only, short, store: bool) -> None:
    names = [n for n in CHANGES if not only or any(text in n for text in only)]
    if short:
        names, steps, seeds = [n for n in names if "," in n][:4], 10, 1
    data = open_data(data_dir, profiles.get("quick"))
    rows = [measure(n, data, steps, seed) for seed in range(seeds) for n in names]
    table = over_seeds(rows, "quantizer", SCORES)
    print(f"{'':<46}{'SSIM':>14}{'PSNR':>14}{'codes used':>14}{'perplexity':>14}")
    for line in table:
        cells = (
            f"{line[score]:.{digits}f} ± {line[f'{score}_sd']:.{digits}f}"
            for score, digits in zip(SCORES, (3, 2, 0, 0), strict=True)
        )
        print(f"{line['quantizer']:<46}" + "".join(f"{cell:>14}" for cell in cells))
    result = {"data": data.name, "seeds": seeds, "rows": rows, "table": table}
    tell(f"quantizer_ablation_{data.name}", result, store)


if __name__ == "__main__":
    main()
