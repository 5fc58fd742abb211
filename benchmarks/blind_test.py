"""A blind test of the shipped generator: which slice of each pair was drawn?

    python benchmarks/blind_test.py OUT [--decoded]      # sheets of pairs, and the key
    python benchmarks/blind_test.py OUT --answers ABBA… --answers BABA… --store

A pair shows a held-out slice of the phantom and a drawn one from the same place. With
``--decoded`` the held-out one went through the generator's encoder and decoder first,
so that only anatomy can tell them apart. Who answers sees the sheets, not the key, and
names the drawn side of each pair.
"""

from pathlib import Path

import click
import matplotlib.pyplot as plt
import torch
from common import RESULTS, tell
from scipy.stats import binomtest

from lessons.figures import draw_slice, slice_axes
from lessons.style import use_style
from vqlib import Generator, open_data
from vqlib.runs import load_json, save_json

PAIRS, SHEETS = 20, 5


@torch.no_grad()
def sheets(out: Path, decoded: bool, seed: int) -> None:
    """Write the sheets and the key."""
    use_style()
    test, made = open_data(None, "standard").test, Generator.of_run()
    chance = torch.Generator().manual_seed(seed)
    inside = torch.nonzero((test.positions - 0.5).abs() < 0.35)[:, 0]
    rows = inside[torch.randperm(len(inside), generator=chance)[:PAIRS]]
    held_out = test.images[rows]
    if decoded:
        given = test.labels[rows], test.positions[rows]
        held_out = made.reconstruct(held_out, *given, seed + 1)  # other noise
    new = made.sample(test.positions[rows], seed=seed).images
    sides = torch.randint(2, (PAIRS,), generator=chance).tolist()
    out.mkdir(parents=True, exist_ok=True)
    for sheet in range(SHEETS):
        numbers = range(sheet, PAIRS, SHEETS)
        figure, axes = slice_axes(len(numbers), 2, width=5)
        for axis_row, n in zip(axes, numbers, strict=True):
            pair = (held_out[n], new[n]) if sides[n] else (new[n], held_out[n])
            for axis, image, side in zip(axis_row, pair, "AB", strict=True):
                draw_slice(axis, image.clamp(0, 1)[0])
                axis.set_title(f"pair {n + 1}, {side}")
        figure.savefig(out / f"sheet_{sheet + 1}.png", dpi=110)
        plt.close(figure)
    key = "".join("AB"[side] for side in sides)
    save_json(out / "key.json", {"drawn": key, "decoded": decoded, "seed": seed})


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--decoded", is_flag=True, help="Held-out slices through the decoder.")
@click.option("--seed", default=0, show_default=True)
@click.option("--answers", multiple=True, help="A letter a pair; once a reviewer.")
@click.option("--store", is_flag=True, help="Keep the result in benchmarks/results.")
def main(out, decoded, seed, answers, store):
    """Make the sheets of a blind test, or count its right answers."""
    if not answers:
        return sheets(out, decoded, seed)
    key = load_json(out / "key.json")
    if any(len(x) != PAIRS or set(x) - set("AB") for x in answers):
        raise click.UsageError(f"--answers takes {PAIRS} letters, each A or B")
    right = [sum(a == b for a, b in zip(x, key["drawn"], strict=True)) for x in answers]
    chance = [binomtest(n, PAIRS, alternative="greater").pvalue for n in right]
    beside = "held-out slices" + ", decoded" * key["decoded"]
    found = key | {"answers": answers, "right": right, "chance": chance}
    path = RESULTS / "blind_test.json"
    tests = load_json(path)["tests"] if path.exists() else {}
    tell("blind_test", {"pairs": PAIRS, "tests": tests | {beside: found}}, store)


if __name__ == "__main__":
    main()
