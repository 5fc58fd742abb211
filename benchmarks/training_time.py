"""Where does the VQ-VAE's curve of SSIM against training time point?

The quick profile's VQ-VAE is trained for a quarter of its steps, a half, and so on up
to four times as many, each time with its whole schedule, and scored on the test
patients. A power law with a ceiling, S(n) = c − a n^−b in the number of steps n, is
fitted to the scores; how well it foretells the longest training from the shorter ones
is told beside it. Image codecs at the same bytes are the mark to reach.

    python benchmarks/training_time.py --real DIR --store
"""

import click
import numpy as np
import torch
from common import tell
from rate_distortion import codec_rows, is_trained, measure
from scipy.optimize import curve_fit

from vqlib import profiles
from vqlib.data import open_data

LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # in units of the profile's steps
FEWEST = 4  # points for three unknowns


def law(n, c, a, b):
    """c − a n^−b, with the ceiling c as n grows."""
    return c - a * np.power(n, -b)


def fitted(points: list[tuple[float, float]]) -> tuple[float, float, float]:
    """c, a and b for pairs of length and score. The ceiling is no higher than 1, SSIM
    of equal slices."""
    n, scores = np.array(points).T
    bounds = ([scores.max(), 0, 0.05], [1.0, 10, 5])
    start = (min(1.0, scores.max() + 0.02), scores.max() - scores.min() + 0.01, 0.7)
    return tuple(float(v) for v in curve_fit(law, n, scores, start, bounds=bounds)[0])


def fit(rows: list[dict], codecs: list[dict]) -> dict | None:
    """What the trainings of one data set say together, None for too few of them."""
    points = [(row["length"], row["ssim"]["mean"]) for row in rows]
    if len(points) < FEWEST:
        return None
    c, a, b = fitted(points)
    found = {"data": rows[0]["data"], "ceiling": c, "factor": a, "exponent": b}
    (first, _), (last, score) = points[0], points[-1]
    lengths = np.geomspace(first, 2 * last, 40)
    found["curve"] = np.stack([lengths, law(lengths, c, a, b)], 1).tolist()
    found["next"] = {"length": 2 * last, "ssim": float(law(2 * last, c, a, b))}
    if len(points) > FEWEST:
        foretold = float(law(last, *fitted(points[:-1])))
        found["tried"] = {"length": last, "foretold": foretold, "ssim": score}
    levels = {row["codec"]: row["ssim"]["mean"] for row in codecs}
    found["reaches"] = {  # the length at which the law meets the codec; None: never
        name: (a / (c - level)) ** (1 / b) if c > level else None
        for name, level in levels.items()
    }
    return found


@click.command(help=__doc__)
@click.option("--real", metavar="DIR", help="Real slices, besides the phantom.")
@click.option("--only", type=click.Choice(["phantom", "real_slices"]), help="Of both.")
@click.option("--longest", default=LENGTHS[-1], show_default=True, help="Of lengths.")
@click.option("--finished", is_flag=True, help="Train nothing: tell what is there.")
@click.option("--short", is_flag=True, help="A minute: the smoke profile.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(real, only, longest: float, finished: bool, short: bool, store: bool) -> None:
    torch.set_num_threads(1)  # one core: its time is then comparable on a busy machine
    base = profiles.get("smoke" if short else "quick")
    sources = {"phantom": None} | ({"real_slices": real} if real else {})
    rows, codecs, fits = [], [], []
    for name in (n for n in sources if only in (None, n)):
        data, mine = open_data(sources[name], base), []
        for length in (n for n in LENGTHS if n <= longest):
            steps = round(length * base.steps)
            profile = profiles.get(base.name, steps=steps)
            if not finished or is_trained("vqvae", profile, name, 0):
                row, _ = measure("vqvae", profile, name, data, 0)
                mine.append(row | {"length": length})
        marks = codec_rows(name, data, base.size, [base.nominal_bits])
        rows, codecs = rows + mine, codecs + marks
        if found := fit(mine, marks):
            fits.append(found)
            print(found, flush=True)
    result = {"profile": base.name, "steps": base.steps, "fits": fits}
    tell("training_time", result | {"rows": rows, "codecs": codecs}, store)


if __name__ == "__main__":
    main()
