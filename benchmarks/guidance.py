"""How much guidance? Samples of a trained prior against the validation patients.

Guidance g turns what the prior says of a code towards what the position in the volume
makes likelier: free + g (told − free), g = 1 for none. It buys fidelity with variety,
so the whole score card is told. The quick profile's value was chosen here, on patients
that are neither trained on nor tested.

    python benchmarks/guidance.py --run quick --store
"""

import dataclasses

import click
import torch
from common import over_seeds, tell

from vqlib import profiles, recipes
from vqlib.data import open_data
from vqlib.metrics.corruptions import Slices, take
from vqlib.metrics.scorecard import SCORES, make_reference, score_card
from vqlib.runs import Run

STRENGTHS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)


@click.command(help=__doc__)
@click.option("--run", "name", default="quick", show_default=True)
@click.option("--profile", default="quick", show_default=True)
@click.option("--data-dir", metavar="DIR", help="The phantom if left out.")
@click.option("--samples", default=64, show_default=True)
@click.option("--seeds", default=3, show_default=True, help="Of the draws.")
@click.option("--short", is_flag=True, help="Two strengths, one seed, 28 samples.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(name, profile, data_dir, samples: int, seeds: int, short, store) -> None:
    settings, run = profiles.get(profile), Run(name)
    data = open_data(data_dir, settings)
    segmenter = recipes.train_segmenter(settings, data, run)
    vqvae, prior = (recipes.load(k, settings, data, run) for k in ("vqvae", "prior"))
    reference = make_reference(dataclasses.replace(data, test=data.validate), segmenter)
    samples, seeds = (28, 1) if short else (samples, seeds)
    positions = take(data.validate, samples).positions
    rows = []
    for guidance in STRENGTHS[::4] if short else STRENGTHS:
        for seed in range(seeds):
            with torch.no_grad():
                codes = prior.sample(positions, seed=seed, guidance=guidance)
                images = vqvae.decode(codes).clamp(0, 1)
            card = score_card(Slices(images, positions), reference, seed)
            rows.append({"guidance": guidance, "seed": seed} | card)
    told = [key for key in SCORES if rows[0][key] is not None]
    table = over_seeds(rows, "guidance", told)
    print(" " * 9, *(f"{key:>11}" for key in told))
    for line in table:
        print(f"g = {line['guidance']:<5g}", *(f"{line[key]:11.3g}" for key in told))
    tell("guidance", {"run": name, "samples": samples, "table": table}, store)


if __name__ == "__main__":
    main()
