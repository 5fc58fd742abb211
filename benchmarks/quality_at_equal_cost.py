"""Our VQ-VAE against other people's, trained for the same processor time.

All have the same code grid and codebook size, the same slices, and are scored on the
same test patients. A rival with habits of its own is trained by them, with the first
seed also by our objective and schedule, and the better counts for it; one that has
collapsed by both is not trained with further seeds. Ours is trained a second time in a
fifth of the time. What ends is kept beside the results, so that an
interrupted run goes on.

    python benchmarks/quality_at_equal_cost.py --real DIR --store
"""

import statistics
from pathlib import Path

import click
import rivals
import torch
import torch.nn.functional as F
from common import tell, train_for
from torch import nn

from vqlib import losses, metrics, profiles, recipes
from vqlib.data import open_data
from vqlib.errors import UserError
from vqlib.runs import load_json, project_root, save_json

GRIDS = ("32x16", "64x32")
OURS, FIFTH = "vqlib", "vqlib, a fifth of the time"
RIVALS = ("well-known notebook", "MONAI tutorial", "vector-quantize-pytorch default")
COLLAPSED = 5  # codes in use: with fewer there is no picture


class Habit(nn.Module):
    """The objective that a project comes with: MSE over the variance of the data, or
    L1, beside 0.25 times the commitment loss (MONAI's loss holds the 0.25 already)."""

    def __init__(self, model: nn.Module, variance: float | None):
        super().__init__()
        self.model, self.variance = model, variance

    def forward(self, batch):
        out, x = self.model(batch["image"]), batch["image"]
        if self.variance is None:
            return {"loss": F.l1_loss(out.reconstruction, x) + out.commitment_loss}
        mse = F.mse_loss(out.reconstruction, x) / self.variance
        return {"loss": mse + 0.25 * out.commitment_loss}


def build(name: str, profile, seed: int) -> nn.Module:
    """An untrained model."""
    torch.manual_seed(seed)
    factor = profile.shape[0] // profile.grid_shape[0]
    if name == RIVALS[0]:
        return rivals.Notebook(factor, profile.codebook_size)
    if name == RIVALS[1]:
        return rivals.Monai(factor, profile.codebook_size)
    ours = recipes.build("vqvae", profile, seed)
    if name == RIVALS[2]:
        return rivals.OtherQuantizer(
            ours.encoder, ours.decoder, profile.codebook_size, profile.code_dim
        )
    return ours


def measure(name, recipe, profile, data, seconds: float, seed: int) -> dict:
    """Train one model and score it on the test patients."""
    model = build(name, profile, seed)
    objective = losses.VQVAEObjective(model, profile.ssim_weight)
    batch_size, rate, constant = profile.batch_size, profile.learning_rate, False
    if recipe == "own":
        variance = float(data.train.images.var()) if name == RIVALS[0] else None
        objective = Habit(model, variance)
        batch_size, rate, constant = 16, 1e-3 if variance else 1e-4, True
    steps = train_for(seconds, objective, data.train.images, batch_size, rate, constant)
    model.eval()
    scores = metrics.score(model.reconstruct, data.test)
    patients = data.test.patients.numpy()
    codes = recipes.encode_codes(model, data.test)
    return {
        "model": name,
        "recipe": recipe,
        "grid": profile.grid,
        "seed": seed,
        "cpu_seconds": seconds,
        "steps": steps,
        "parameters": sum(p.numel() for p in model.parameters()),
        "perplexity": metrics.perplexity(codes, profile.codebook_size),
        "codes_used": metrics.codes_used(codes, profile.codebook_size),
    } | {
        key: metrics.patient_bootstrap(scores[key], patients)._asdict()
        for key in ("ssim", "psnr", "ms_ssim")
    }


def plan(seed: int, collapsed: set[str]):
    """(model, recipe, share of the time) of everything that is trained."""
    yield OURS, "ours", 1.0
    yield FIFTH, "ours", 0.2
    for name in (n for n in RIVALS if n not in collapsed):
        has_habits = name != RIVALS[2]
        if has_habits:
            yield name, "own", 1.0
        if not has_habits or seed == 0:
            yield name, "ours", 1.0


def verdict(rows: list[dict]) -> list[dict]:
    """For each data set, grid and score: ours, the best rival, and how we differ from
    it with each seed."""
    answers = []
    for data, grid in sorted({(row["data"], row["grid"]) for row in rows}):
        for key in ("ssim", "psnr"):
            scores: dict[tuple[str, str], dict[int, float]] = {}
            for row in rows:
                if (row["data"], row["grid"]) == (data, grid):
                    by_seed = scores.setdefault((row["model"], row["recipe"]), {})
                    by_seed[row["seed"]] = row[key]["mean"]
            means = {who: statistics.mean(of.values()) for who, of in scores.items()}
            there = [who for who in means if who[0] in RIVALS]
            if not there or not {(OURS, "ours"), (FIFTH, "ours")} <= means.keys():
                continue  # not finished
            best = max(there, key=means.get)
            ours, fifth, theirs = (
                scores[who] for who in ((OURS, "ours"), (FIFTH, "ours"), best)
            )
            seeds = sorted(ours.keys() & fifth.keys() & theirs.keys())
            answer = {"data": data, "grid": grid, "score": key}
            answer |= {"best_rival": best[0], "recipe": best[1]}
            for name, of in (("ours", ours), ("ours_in_a_fifth", fifth)):
                answer[name] = statistics.mean(of[seed] for seed in seeds)
            answer["rival"] = statistics.mean(theirs[seed] for seed in seeds)
            answer["by_seed"] = [ours[seed] - theirs[seed] for seed in seeds]
            answers.append(answer)
    return answers


@click.command(help=__doc__)
@click.option("--real", metavar="DIR", help="Real slices, besides the phantom.")
@click.option("--only", type=click.Choice(["phantom", "real_slices"]), help="Of both.")
@click.option("--seconds", default=120.0, show_default=True, help="CPU time of each.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--finished", is_flag=True, help="Train nothing: tell what is there.")
@click.option("--short", is_flag=True, help="One grid, one seed, ten seconds each.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(real, only, seconds: float, seeds: int, finished, short, store) -> None:
    torch.set_num_threads(1)  # processor time is then comparable on a busy machine
    if short:
        seconds, seeds = 10.0, 1
    sources = {"phantom": None} | ({"real_slices": real} if real else {})
    if only not in (None, *sources):
        raise UserError("name the real slices as well: --real DIR")
    rows = []
    for source in (s for s in sources if only in (None, s)):
        data = open_data(sources[source], profiles.get("quick"))
        for grid in GRIDS[: 1 if short else None]:
            first = compare(source, data, grid, 0, seconds, finished, set())
            used = {
                name: [row["codes_used"] for row in first if row["model"] == name]
                for name in RIVALS
            }
            gone = {name for name, of in used.items() if of and max(of) < COLLAPSED}
            rows += first
            for seed in range(1, seeds):
                rows += compare(source, data, grid, seed, seconds, finished, gone)
    answers = verdict(rows)
    for answer in answers:
        gaps = ", ".join(f"{gap:+.3f}" for gap in answer["by_seed"])
        print(
            f"{answer['data']} {answer['grid']} {answer['score']:<5}"
            f" ours {answer['ours']:.3f}, in a fifth of the time"
            f" {answer['ours_in_a_fifth']:.3f}; best rival {answer['rival']:.3f}"
            f" ({answer['best_rival']}, recipe: {answer['recipe']}); by seed {gaps}"
        )
    result = {"cpu_seconds": seconds, "rows": rows}
    tell("quality_at_equal_cost", result | {"verdict": answers}, store)


def compare(
    source: str,
    data,
    grid: str,
    seed: int,
    seconds: float,
    finished: bool,
    collapsed: set[str],
) -> list[dict]:
    """Everything that is trained with one seed on one grid."""
    done = project_root() / "runs" / f"benchmark-equal-cost-{data.name}"
    profile, rows = profiles.get("quick", grid=grid), []
    for name, recipe, share in plan(seed, collapsed):
        stem = f"{name} {recipe} {grid} {seed} {seconds * share:g}"
        path = Path(done, stem.replace(" ", "_") + ".json")
        if finished and not path.exists():
            continue
        if not path.exists():
            own = OURS if name == FIFTH else name
            row = measure(own, recipe, profile, data, seconds * share, seed)
            done.mkdir(parents=True, exist_ok=True)
            save_json(path, row | {"model": name})
        row = load_json(path) | {"data": source}
        rows.append(row)
        print(
            f"{source:<12}{grid}  seed {seed}  {name:<34}{recipe:<6}"
            f" SSIM {row['ssim']['mean']:.3f}  PSNR {row['psnr']['mean']:.2f}"
            f"  codes {row['codes_used']:>3}"
            f"  perplexity {row['perplexity']:>3.0f}",
            flush=True,
        )
    return rows


if __name__ == "__main__":
    main()
