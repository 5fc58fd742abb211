"""Copy the generator of a run into the package: weights in 16 bits, settings, scores.

    vqlib train maps --profile standard --run standard      # then maps_prior,
    vqlib train sharp_vqvae --profile standard --run standard      # prior, detail,
    vqlib train segmenter --profile standard --run standard
    python resources/ship_generator.py --run standard --n 256

The run has to be of the phantom, whose pictures are ours to give away.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from vqlib import Experiment, generator, metrics, recipes, training
from vqlib.errors import UserError
from vqlib.metrics import Slices, make_judge, take
from vqlib.runs import (
    checkpoint_sum,
    load_checkpoint,
    load_json,
    save_checkpoint,
    save_json,
)
from vqlib.settings import EPOCH_STEPS

OUT = Path(generator.__file__).parent / generator.SHIPPED
PARTS = (*generator.MAPS, *generator.FAMILIES["vqvae"], "detail")


def ship(lab: Experiment) -> None:
    """Write the parts of a run into the package."""
    for kind in PARTS:
        folder = lab.folder(kind)
        made = load_json(folder / "settings.json")
        if made["data"] != "phantom":
            raise UserError(
                f"{folder} was trained on {made['data']}; ship the phantom's"
            )
        generator.load_part(lab.run, kind)  # raises where it is over another source
        weights, meta = load_checkpoint(folder / "best.safetensors")
        own = {k: v for k, v in weights.items() if not k.startswith("model/critic.")}
        half = {k: v.half() if v.is_floating_point() else v for k, v in own.items()}
        (OUT / kind).mkdir(parents=True, exist_ok=True)
        save_checkpoint(OUT / kind / "best.safetensors", half, meta)
        save_json(OUT / kind / "settings.json", made)
    name_sources(OUT)


def name_sources(run: Path) -> None:
    """Note in each prior's settings the weights beside it, which 16 bits changed."""
    for kind in PARTS:
        if source := recipes.find(kind).source:
            path = run / kind / "settings.json"
            save_json(path, load_json(path) | {"source": checkpoint_sum(run / source)})


def card(lab: Experiment, n: int, seeds: tuple[int, ...] = (0, 1, 2)) -> dict:
    """The score card of what was shipped, beside floor and ceiling."""
    data, drawn = lab.data, generator.Generator.of_run()
    test, others = take(data.test, n), take(data.validate, n)
    decoded, best = (
        drawn.reconstruct(x.images, x.labels, x.positions) for x in (data.test, others)
    )
    judge = make_judge(data, lab.load("segmenter"))
    cards = {
        "floor: other patients": judge(others),
        "ceiling: other patients, decoded": judge(
            others._replace(images=best), 0, decoded
        ),
    }
    for seed in seeds:
        new = drawn.sample(test.positions, seed=seed)
        slices = Slices(new.images, new.positions, None, new.labels)
        cards[f"shipped, seed {seed}"] = judge(slices, 0, decoded)
    return cards


def means_and_pixels(images: torch.Tensor) -> dict[str, list[float]]:
    """What a test draws again: means of blocks, and single pixels for what is fine."""
    blocks = torch.nn.functional.adaptive_avg_pool2d(images, (8, 4))
    pixels = images[..., 8::16, 8::16]
    return {"drawn": blocks.flatten().tolist(), "pixels": pixels.flatten().tolist()}


def usefulness(
    lab: Experiment,
    pairs: int = 64,
    added: int = 512,
    seeds: tuple[int, ...] = (0, 1, 2),
) -> dict[str, list[float]]:
    """Dice on test slices, one for each seed, of segmenters trained for 600 steps: on
    training slices, on as many drawn pairs, and on both with more drawn pairs."""
    data, chosen = lab.data, take(lab.data.train, pairs)
    own = chosen.images, chosen.labels
    found = {f"{pairs} training slices": [], f"{pairs} drawn pairs": []}
    found[f"{pairs} training slices + {added} drawn pairs"] = []
    for seed in seeds:
        new = generator.sample(n=added, seed=seed)
        few = slice(None, None, added // pairs)
        parts = ([own], [(new.images[few], new.labels[few])], [own, new[:2]])
        for row, part in zip(found.values(), parts, strict=True):
            images, labels = map(torch.cat, zip(*part, strict=True))
            items = zip(images, labels, strict=True)
            shown = recipes.balanced(
                [{"image": x, "labels": y} for x, y in items], labels
            )
            settings, batch = lab.settings.segmenter, lab.settings.segmenter.batch_size
            epochs = round(600 / min(EPOCH_STEPS, len(shown) // batch))
            objective = recipes.objective_for(
                "segmenter",
                recipes.build("segmenter", lab.settings, seed),
                lab.settings,
            )
            how = training.FitSettings(
                epochs, batch, settings.learning_rate, keep_last=True, seed=seed
            )
            with TemporaryDirectory() as folder:
                training.fit(
                    objective, shown, Path(folder), how, lambda _: {"loss": 0.0}
                )
            model = objective.model.eval()
            dice = metrics.dice(model.segment(data.test.images), data.test.labels)
            row.append(dice["mean"])
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="standard")
    parser.add_argument("--n", type=int, default=256)
    given = parser.parse_args()
    lab = Experiment("standard", run=given.run, device="cpu")
    ship(lab)
    cards = card(lab, given.n)
    for name, found in cards.items():
        print(name, *(f"{key} {value}" for key, value in found.items()), sep="\n  ")
    command = f"python resources/ship_generator.py --run {given.run} --n {given.n}"
    made = {"command": command, "cards": cards, "usefulness": usefulness(lab)}
    made |= means_and_pixels(generator.sample(n=2, seed=0).images)
    save_json(OUT / "card.json", made)
