"""Draw what the shipped generator makes, beside slices that it has not seen.

    python resources/draw_results.py [--seed 0] [FILE]

Each row: a held-out slice of the phantom, the same through the generator's encoder and
decoder, and a drawn one at the same position in the volume. All panels have one window.
Nothing is picked by eye: the rows are test patients in order, at fixed positions from
front to back.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch

from lessons.figures import draw_slice
from lessons.style import SLICE_MM, WIDTH, use_style
from vqlib import Generator, open_data
from vqlib.data import SliceData

POSITIONS = (0.32, 0.42, 0.5, 0.62)  # of the rows, front to back of the volume


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
def panels(data: SliceData, seed: int) -> dict[str, torch.Tensor]:
    """Heading -> slices [rows, 1, H, W]."""
    made, rows = Generator.of_run(), choose(data.test)
    test = data.test
    given = test.images[rows], test.labels[rows], test.positions[rows]
    return {
        "held-out phantom": given[0],
        "its reconstruction": made.reconstruct(*given, seed),
        "drawn": made.sample(given[2], seed=seed).images,
    }


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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path(__file__).with_name("results.png")
    )
    given = parser.parse_args()
    figure = draw(panels(open_data(None, "standard"), given.seed))
    figure.savefig(given.file, dpi=150, metadata={"Software": None})
