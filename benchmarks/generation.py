"""VAE + flow against VQ-VAE + transformer, plain and with organs first: who is better?

Both families have the same grid, encoder and decoder, trained for as many steps, and
priors trained for about as much processor time, all as the quick profile says. Three
seeds on the phantom; with ``--real DIR`` also on slices without label maps, where both
are plain. Then the first seed with a quarter and with four times the steps, for what is
trained with organs first; and codes on a grid twice as fine. A set is scored on test
patients as in notebook 06, beside the floor (other patients) and its ceiling (those,
through the same decoder), and again without each test patient: ``patients`` is the
jackknife's standard error of a score (Efron & Stein 1981, doi 10.1214/aos/1176345462).
The trainings and their scores lie in ``runs/generation-…``, so an interrupted run goes
on.

    python benchmarks/generation.py --real DIR --store
"""

import time
from collections.abc import Iterator
from dataclasses import replace

import click
import numpy as np
import pandas as pd
import torch
from common import RESULTS, tell

from vqlib import Experiment, recipes
from vqlib.data import SliceData, SliceDataset, open_data
from vqlib.generator import FAMILIES, MAPS, Generator
from vqlib.metrics import SCORES, Interval, Slices, make_judge, take
from vqlib.runs import load_json, run_folder, save_json

NAMES = {"vqvae": "VQ-VAE + transformer", "vae": "VAE + flow"}
STEPS = ("generator_steps", "generator_critic_start", "maps_steps", "prior_steps")
STEPS += ("flow_steps",)
DRAWN = 256  # slices of a set
GRID, FINE = "16x8", "32x16"  # of the latents


def train(lab: Experiment, kind: str) -> float:
    """Train a part of a run where it is missing; the processor seconds that it took."""
    path, start = lab.folder(kind) / "processor_time.json", time.process_time()
    lab.train(kind)
    if not path.exists():
        save_json(path, {"seconds": round(time.process_time() - start, 1)})
    return load_json(path)["seconds"]


def numbers(card: dict) -> dict[str, float | None]:
    """A card's scores, intervals by their mean."""
    return {k: v.mean if isinstance(v, Interval) else v for k, v in card.items()}


def without(data: SliceData, patient: int) -> SliceData:
    """The same data, but with one test patient fewer."""
    test, left = data.test, data.test.patients != patient
    labels = None if test.labels is None else test.labels[left]
    rest = (x[left] for x in (test.positions, test.patients, test.weeks))
    return replace(data, test=SliceDataset(test.images[left], labels, *rest))


def make_judges(data: SliceData, segmenter):
    """A function that scores a set against the test patients, and against all but one
    of them in turn: the card, and each score's standard error over patients."""
    judge = make_judge(data, segmenter)
    others = [
        make_judge(without(data, patient), segmenter)
        for patient in data.test.patients.unique().tolist()
    ]

    def card(
        slices: Slices, seed: int = 0, decoded: torch.Tensor | None = None
    ) -> dict:
        cards = pd.DataFrame([numbers(other(slices, seed)) for other in others])
        cards, n = cards.astype(float), len(others)  # None becomes NaN
        errors = cards.std(ddof=0) * np.sqrt(n - 1)
        kept = errors.dropna().round(6).to_dict()
        return numbers(judge(slices, seed, decoded)) | {"patients": kept}

    return card


def drawn_by(lab: Experiment, judge, family: str, about: dict) -> Iterator[dict]:
    """Train a family in a run: the row of what it draws, and that of its ceiling."""
    maps = MAPS if lab.settings.organs_first else ()
    seconds = {kind: train(lab, kind) for kind in (*maps, *FAMILIES[family])}
    generator = Generator(*(lab.load(kind) for kind in (*FAMILIES[family], *maps)))
    data, ranked = lab.data, lab.data.test.positions.sort().values
    rows = torch.linspace(0, len(ranked) - 1, DRAWN).long()
    start = time.process_time()
    new = generator.sample(ranked[rows], seed=lab.seed)
    cost = (time.process_time() - start) / DRAWN
    decoded = recipes.reconstruct(generator.autoencoder, data.test)
    others = replace(
        data.validate, images=recipes.reconstruct(generator.autoencoder, data.validate)
    )
    sets = {
        "": Slices(new.images, new.positions, None, new.labels),
        "ceiling of ": take(others, DRAWN),
    }
    way = "organs first" if maps else "plain"
    way += f", {FINE}" * (lab.settings.generator.grid == FINE)
    about = about | {"seed": lab.seed, "seconds": seconds, "sampling_seconds": cost}
    about["bits"] = lab.score(FAMILIES[family][1])["bits_per_slice"]
    for kind, slices in sets.items():
        name = {"set": f"{kind}{NAMES[family]}, {way}"}
        yield about | name | judge(slices, lab.seed, decoded)


def measure(name: str, data: SliceData, seeds: int, shares: list[float]):
    """Every row of a data set."""
    segmenter = None
    if data.has_labels:
        lab = Experiment("quick", None, f"generation-{name}-judge", 0, "cpu")
        lab.data = data
        segmenter = lab.train("segmenter")
    judge, about = make_judges(data, segmenter), {"data": name}
    floor = take(data.validate, DRAWN)
    yield about | {"set": "floor", "share": 1.0, "seed": 0} | judge(floor)
    usual = Experiment("quick").settings
    ways = (True, False) if data.has_labels else (False,)
    trials = [(1.0, seed, way, GRID) for seed in range(seeds) for way in ways]
    if data.has_labels:
        trials += [(share, 0, True, GRID) for share in shares]
        trials += [(1.0, 0, False, FINE)] if seeds else []
    for share, seed, way, grid in trials:
        steps = {s: round(share * getattr(usual, s)) for s in STEPS}
        run = f"generation-{name}-{'organs' if way else 'plain'}-{seed}-{share:g}"
        run += "-fine" * (grid == FINE)
        changes = {"organs_first": way, "generator_grid": grid}
        lab = Experiment("quick", None, run, seed, "cpu", **changes, **steps)
        lab.data = data
        scores = run_folder(run) / "scores.json"
        if not scores.exists():
            rows = [
                row
                for family in (("vqvae",) if grid == FINE else FAMILIES)
                for row in drawn_by(lab, judge, family, about | {"share": share})
            ]
            save_json(scores, {"rows": rows})
        for row in load_json(scores)["rows"]:
            print(run, row["set"], {k: row[k] for k in SCORES}, flush=True)
            yield row


@click.command()
@click.option("--real", type=click.Path(exists=True), help="Slices without label maps.")
@click.option(
    "--only", type=click.Choice(["phantom", "real"]), help="One of the two sets."
)
@click.option("--seeds", default=3, show_default=True)
@click.option("--shares", default="0.25,4", show_default=True)
@click.option("--store", is_flag=True, help="Keep the result in benchmarks/results.")
def main(real, only, seeds, shares, store):
    """Compare the two families as generators."""
    sets = {"phantom": None} | ({"real": real} if real else {})
    rows = []
    for name, folder in sets.items():
        if only in (None, name):
            data = open_data(folder, Experiment("quick").settings)
            rows += measure(
                name, data, seeds, [float(s) for s in shares.split(",") if s]
            )
    if only:  # the other set stays as it is stored
        stored = load_json(RESULTS / "generation.json")["rows"]
        rows += [row for row in stored if row["data"] != only]
    table = pd.DataFrame(rows)
    usual = table[table["share"] == 1.0].groupby(["data", "set"], sort=False)
    print(usual[[s for s in SCORES if s in table]].mean().round(3).T.to_string())
    tell(
        "generation", {"rows": table.replace({np.nan: None}).to_dict("records")}, store
    )


if __name__ == "__main__":
    main()
