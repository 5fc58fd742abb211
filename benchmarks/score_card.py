"""The score card of a finished run, and the scores themselves on trial.

Scored against the test patients: real slices of the validation patients (the floor),
samples of the prior, of both VAEs, two controls without any prior, and real slices that
were made worse in known ways. Then each score's rank correlation with the severity of
each corruption, and (--useful) segmenters trained on generated slices.

    python benchmarks/score_card.py --run quick --store
"""

import time

import click
import torch
from common import tell

from lessons.usefulness import joined, labelled, usefulness
from vqlib import profiles, recipes
from vqlib.data import open_data
from vqlib.metrics.corruptions import CORRUPTIONS, Slices, take
from vqlib.metrics.scorecard import SCORES, make_reference, score_card
from vqlib.metrics.trials import MUST_SEE, order, trial
from vqlib.recipes import LabelledSlices
from vqlib.runs import Run


@torch.no_grad()
def generated(settings, data, run, n: int, seed: int) -> dict[str, Slices]:
    """Name of each generator → ``n`` samples, at the positions of test slices."""
    models = {k: recipes.load(k, settings, data, run, seed) for k in recipes.RECIPES
              if k in ("vqvae", "vae", "vae_global", "prior")}  # fmt: skip
    vqvae, positions = models["vqvae"], take(data.test, n).positions
    known = recipes.encode_codes(vqvae, data.train)
    random = torch.Generator().manual_seed(seed)
    grid = settings.grid_shape

    def decode(codes) -> torch.Tensor:
        return vqvae.decode(codes).clamp(0, 1)

    def vae(kind: str, *shape) -> torch.Tensor:
        z = torch.randn(shape, generator=random)
        return models[kind].decode(z).clamp(0, 1)

    rows = torch.randint(len(known), (n, *grid), generator=random)
    uniform = torch.randint(settings.codebook_size, (n, *grid), generator=random)
    controls = recipes.control_priors(
        recipes.CodeDataset(vqvae, data.train), settings.codebook_size
    )
    by_place = controls["by_place_and_position"].sample(positions, seed=seed)
    nearest = (data.train.positions - positions[:, None]).abs().argmin(1)
    channels = settings.latent_channels
    return {
        "real codes, decoded": Slices(decode(known[nearest]), positions),
        "VQ-VAE + prior": Slices(
            decode(
                models["prior"].sample(positions, seed=seed, guidance=settings.guidance)
            ),
            positions,
        ),
        "VAE, one vector": Slices(vae("vae_global", n, settings.latent_dim), None),
        "VAE, spatial N(0, I)": Slices(vae("vae", n, channels, *grid), None),
        "codes by place and position": Slices(decode(by_place), positions),
        "independent codes": Slices(decode(known.gather(0, rows)), None),
        "uniform codes": Slices(decode(uniform), None),
    }


def show(cards: dict) -> None:
    print(" " * 30, *(f"{name[:9]:>9}" for name in SCORES))
    for name, card in cards.items():
        cells = ("–" if v is None else f"{v:.3g}" for v in card.values())
        print(f"{name:30s}", *(f"{cell:>9}" for cell in cells), flush=True)


def trials(base: Slices, reference, floor: dict) -> tuple[dict, dict, list[str]]:
    """Cards of the corrupted sets, rank correlations, and the failures."""
    cards, orders, failures = {}, {}, []
    for name in CORRUPTIONS:
        found = trial(name, base, reference, floor)
        cards |= {f"{name} {s:g}": card for s, card in found.items() if s}
        orders[name] = order(found)
        failures += [
            f"{score} does not order {name}"
            for score in MUST_SEE[name]
            if orders[name][score] is not None and orders[name][score] < 0.999
        ]
    return cards, orders, failures


@click.command(help=__doc__)
@click.option("--run", "name", default="quick", show_default=True)
@click.option("--profile", default="quick", show_default=True)
@click.option("--data-dir", metavar="DIR", help="The phantom if left out.")
@click.option("--samples", default=64, show_default=True)
@click.option("--steps", default=100, show_default=True, help="Of each segmenter.")
@click.option("--seed", default=0, show_default=True)
@click.option("--short", is_flag=True, help="Only the trials of the scores.")
@click.option("--useful", is_flag=True, help="Train segmenters on the samples too.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(
    name, profile, data_dir, samples: int, steps, seed: int, short, useful, store
) -> None:
    settings, run = profiles.get(profile), Run(name)
    data = open_data(data_dir, settings)
    segmenter = recipes.train_segmenter(settings, data, run, seed)
    dice = recipes.read_metrics(run, "segmenter")["dice"]
    print("Dice of the segmenter:", {k: round(v, 3) for k, v in dice.items()})
    start = time.process_time()
    reference = make_reference(data, segmenter)
    prepared = time.process_time()
    base = take(data.validate, samples)
    floor = score_card(base, reference, seed)
    cards = {"real, other patients": floor}
    seconds = {
        "reference": prepared - start,
        "card": time.process_time() - prepared,
    }
    sets = {} if short and not useful else generated(settings, data, run, samples, seed)
    cards |= {k: score_card(x, reference, seed) for k, x in sets.items()}
    show(cards)
    corrupted, orders, failures = trials(base, reference, floor)
    show(corrupted)
    print("\nrank correlation of score and severity")
    show(orders)
    print("\n".join(failures) or "every score orders what it must see")
    result = {
        "run": name, "steps": steps, "samples": samples, "dice": dice, "cards": cards,
        "corrupted": corrupted, "order": orders, "failures": failures,
        "processor_seconds": seconds,
    }  # fmt: skip
    if useful:
        result["usefulness"] = teach(sets, data, segmenter, settings, steps, seed)
    tell("score_card", result, store)


def teach(sets: dict, data, segmenter, settings, steps: int, seed: int) -> dict:
    """Dice on test of segmenters trained on few real slices, on as many generated
    ones, and on both."""
    n = len(sets["VQ-VAE + prior"].images)
    rows = torch.linspace(0, len(data.train) - 1, n).long()
    real = LabelledSlices(data.train.images[rows], data.train.labels[rows])
    trained = {"real": real}
    for name in ("VQ-VAE + prior", "independent codes"):
        trained[name] = labelled(sets[name].images, segmenter)
    trained["real and VQ-VAE + prior"] = joined(real, trained["VQ-VAE + prior"])
    found = usefulness(trained, data, settings, steps, seed)
    for name, dice in found.items():
        print(f"trained on {name:24s} Dice on test {dice['mean']:.3f}", flush=True)
    return found


if __name__ == "__main__":
    main()
