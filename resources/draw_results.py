"""Draw real outputs of a finished run: slices, reconstructions, generated slices.

    python resources/draw_results.py [--run quick] [--profile quick] [--seed 0] [FILE]

Each row is one test slice, by three models, and one new slice drawn by the prior at the
same position in the volume. All panels have the same window. Nothing is picked by eye:
the rows are test patients in order, at fixed positions from front to back.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch

from lessons.figures import draw_slice
from lessons.style import SLICE_MM, WIDTH, use_style
from vqlib import Experiment
from vqlib.results import MODELS

POSITIONS = (0.4, 0.5, 0.6, 0.7)  # of the rows, front to back of the volume
RECONSTRUCTED = ("vae_global", "vae", "vqvae")


def choose(dataset) -> list[int]:
    """A test slice for each position, from the patients in turn."""
    patients = dataset.patients.unique()
    chosen = []
    for row, position in enumerate(POSITIONS):
        distance = (dataset.positions - position).abs()
        distance[dataset.patients != patients[row % len(patients)]] = torch.inf
        chosen.append(int(distance.argmin()))
    return chosen


@torch.no_grad()
def panels(lab: Experiment) -> dict[str, torch.Tensor]:
    """Heading -> slices [rows, 1, H, W]; raises `UserError` for what is not trained."""
    data = lab.data
    rows = choose(data.test)
    targets = data.test.images[rows]
    columns = {f"{data.name} slice": targets}
    models = {kind: lab.load(kind) for kind in RECONSTRUCTED}
    for kind, model in models.items():
        torch.manual_seed(lab.seed)  # a VAE reconstructs from draws
        columns[MODELS[kind]] = model.reconstruct(targets)
    codes = lab.load("prior").sample(
        data.test.positions[rows],
        seed=lab.seed,
        guidance=lab.settings.prior.guidance,
    )
    columns["generated with the prior"] = models["vqvae"].decode(codes)
    return columns


def draw(columns: dict[str, torch.Tensor]) -> plt.Figure:
    """One column for each heading, one row for each slice."""
    use_style()
    rows = len(next(iter(columns.values())))
    width = WIDTH / len(columns)
    height = width * SLICE_MM[1] / SLICE_MM[0]
    figure, axes = plt.subplots(
        rows,
        len(columns),
        figsize=(WIDTH, rows * (height + 0.06) + 0.3),
        layout="constrained",
        squeeze=False,
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for column, (heading, images) in enumerate(columns.items()):
        axes[0, column].set_title(heading)
        for axis, image in zip(axes[:, column], images, strict=True):
            draw_slice(axis, image[0].clamp(0, 1).numpy())
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="quick")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path(__file__).with_name("results.png")
    )
    given = parser.parse_args()
    chosen = panels(Experiment(given.profile, None, given.run, given.seed, "cpu"))
    draw(chosen).savefig(given.file, dpi=150, metadata={"Software": None})
