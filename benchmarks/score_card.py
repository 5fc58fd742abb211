"""The score card of a finished run, and the scores themselves on trial.

Compared with the test patients: slices of the validation patients (the floor), samples
of the prior, of both VAEs, controls without any prior, and slices that were made worse
in known ways. Then each score's rank correlation with the severity of each harm, and
(--useful) segmenters trained on generated slices.

    python benchmarks/score_card.py --run quick --store
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import torch
from common import tell

from lessons.n05 import HARMS, MUST_SEE, order, trial
from vqlib import Experiment, recipes
from vqlib.metrics import SCORES, Slices, dice, make_judge, take
from vqlib.recipes import LabelledSlices, balanced
from vqlib.training import FitSettings, fit


@torch.no_grad()
def generated(lab: Experiment, n: int) -> dict[str, Slices]:
    """Name of each generator → ``n`` samples, at the positions of test slices."""
    models = {k: lab.load(k) for k in ("vqvae", "vae", "vae_global", "prior")}
    data, seed, settings = lab.data, lab.seed, lab.settings.autoencoder
    vqvae, positions = models["vqvae"], take(data.test, n).positions
    known = recipes.encode_codes(vqvae, data.train)
    random = torch.Generator().manual_seed(seed)
    grid, guidance = lab.settings.grid_shape, lab.settings.prior.guidance

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
    ours = models["prior"].sample(positions, seed=seed, guidance=guidance)
    by_place = controls["by_place_and_position"].sample(positions, seed=seed)
    nearest = (data.train.positions - positions[:, None]).abs().argmin(1)
    channels = settings.latent_channels
    return {
        "real codes, decoded": Slices(decode(known[nearest]), positions),
        "VQ-VAE + prior": Slices(decode(ours), positions),
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


def trials(base: Slices, judge, train, floor: dict) -> tuple[dict, dict, list[str]]:
    """Cards of the harmed sets, rank correlations, and the failures."""
    cards, orders, failures = {}, {}, []
    for name in HARMS:
        found = trial(name, base, judge, train, floor)
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
    lab = Experiment(profile, data_dir, name, seed, "cpu")
    data, segmenter = lab.data, lab.train("segmenter")
    own = lab.score("segmenter")["dice"]
    print("Dice of the segmenter:", {k: round(v, 3) for k, v in own.items()})
    start = time.process_time()
    judge = make_judge(data, segmenter)
    prepared = time.process_time()
    base = take(data.validate, samples)
    floor = judge(base, seed)
    cards = {"real, other patients": floor}
    seconds = {
        "reference": prepared - start,
        "card": time.process_time() - prepared,
    }
    sets = {} if short and not useful else generated(lab, samples)
    cards |= {k: judge(x, seed) for k, x in sets.items()}
    show(cards)
    corrupted, orders, failures = trials(base, judge, data.train, floor)
    show(corrupted)
    print("\nrank correlation of score and severity")
    show(orders)
    print("\n".join(failures) or "every score orders what it must see")
    result = {
        "run": name, "steps": steps, "samples": samples, "dice": own, "cards": cards,
        "corrupted": corrupted, "order": orders, "failures": failures,
        "processor_seconds": seconds,
    }  # fmt: skip
    if useful:
        result["usefulness"] = teach(lab, sets, segmenter, steps)
    tell("score_card", result, store)


def teach(lab: Experiment, sets: dict, segmenter, steps: int) -> dict:
    """Dice on test of segmenters trained on few held-out slices, on as many generated
    ones, and on both, each for as many steps (the "classification accuracy score" of
    Ravuri and Vinyals 2019, arXiv 1905.10887). Generated slices get the labels that the
    segmenter of the training patients sees in them."""
    n, data, settings = len(sets["VQ-VAE + prior"].images), lab.data, lab.settings
    rows = torch.linspace(0, len(data.train) - 1, n).long()
    known = {"real": LabelledSlices(data.train.images[rows], data.train.labels[rows])}
    for name in ("VQ-VAE + prior", "independent codes"):
        images = sets[name].images
        known[name] = LabelledSlices(images, segmenter.segment(images))
    both = known["real"], known["VQ-VAE + prior"]
    known["real and VQ-VAE + prior"] = LabelledSlices(
        torch.cat([x.images for x in both]), torch.cat([x.labels for x in both])
    )
    batch, rate = settings.segmenter.batch_size, settings.segmenter.learning_rate
    found = {}
    for name, slices in known.items():
        shown = balanced(slices)
        epochs = max(1, round(steps / max(1, len(shown) // batch)))
        model, done = lab.build("segmenter"), iter(range(epochs))
        with TemporaryDirectory() as folder:
            fit(
                recipes.objective_for("segmenter", model, settings),
                shown,
                Path(folder),
                FitSettings(epochs, batch, rate, seed=lab.seed),
                # each epoch counts as better than the one before: the last is tested
                validate=lambda _, done=done: {"loss": -float(next(done))},
                fabric=lab.fabric,
                description=f"segmenter on {name}",
            )
        found[name] = dice(model.segment(data.test.images), data.test.labels)
        mean = found[name]["mean"]
        print(f"trained on {name:24s} Dice on test {mean:.3f}", flush=True)
    return found


if __name__ == "__main__":
    main()
