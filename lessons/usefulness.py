"""What are generated slices good for? A segmenter is trained on them, and tested on
real ones.

The last question of the score card, and the only one with a task in it (the
"classification accuracy score" of Ravuri and Vinyals 2019, arXiv 1905.10887, with
organs in place of classes). Generated slices come without labels; they get those that
the segmenter of the training patients sees in them. So what they can teach is at most
what it knows, seen on other anatomy. Taught in notebook 05.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from vqlib import recipes
from vqlib.data import SliceData
from vqlib.errors import UserError
from vqlib.metrics.anatomy import dice
from vqlib.profiles import Profile
from vqlib.recipes import LabelledSlices, balanced
from vqlib.training import FitSettings, fit, make_fabric


def labelled(images: Tensor, segmenter) -> LabelledSlices:
    """Generated slices `[N, 1, H, W]` with the labels that a segmenter sees in them."""
    return LabelledSlices(images, segmenter.segment(images))


def joined(a: LabelledSlices, b: LabelledSlices) -> LabelledSlices:
    """Both sets: real slices plus generated ones."""
    labels = torch.cat([a.labels, b.labels])
    return LabelledSlices(torch.cat([a.images, b.images]), labels)


def usefulness(
    sets: Mapping[str, LabelledSlices],
    data: SliceData,
    profile: Profile,
    steps: int = 150,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, dict[str, float]]:
    """Train a segmenter on each set for the same number of steps, from the same start;
    its Dice on the test split: name → organ → Dice, with ``mean``.

    The weights after the last step are tested. Raises `UserError` without labels to
    test on, and for a set that does not fill a batch.
    """
    if not data.has_labels:
        raise UserError(f"{data.folder} has no labels to test a segmenter on")
    found, batch = {}, profile.segmenter_batch_size
    for name, known in sets.items():
        shown = balanced(known)
        epochs = max(1, round(steps / max(1, len(shown) // batch)))
        model = recipes.build("segmenter", profile, seed)
        done = iter(range(epochs))
        with TemporaryDirectory() as folder:
            fit(
                recipes.objective_for("segmenter", model, profile),
                shown,
                Path(folder),
                FitSettings(epochs, batch, profile.segmenter_learning_rate, seed=seed),
                # each epoch counts as better than the one before
                validate=lambda _, done=done: {"loss": -float(next(done))},
                fabric=make_fabric(device),
                description=f"segmenter on {name}",
            )
        labels = model.cpu().segment(data.test.images)
        found[name] = dice(labels, data.test.labels)
    return found
