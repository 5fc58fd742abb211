"""The score card: everything that is asked of a set of generated slices, in one row.

    reference = make_reference(data, segmenter)
    cards = {"floor": score_card(take(data.validate, 64), reference),
             "ours": score_card(Slices(images, positions), reference)}

Samples are judged against held-out patients. A number means something beside the
*floor*, the row of real slices of still other patients in the place of samples, of the
same size. No row has one sum: fidelity can be bought with variety and both with copies.
What each score can see was found out with known corruptions, see
`vqlib.metrics.trials` and ``benchmarks/score_card.py``. Taught in notebook 05.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vqlib.data import PIXEL_MM, SliceData, SliceDataset
from vqlib.errors import UserError
from vqlib.metrics.anatomy import anatomy
from vqlib.metrics.corruptions import Slices
from vqlib.metrics.frechet import AXES, Axes, principal_axes, project, unbiased_frechet
from vqlib.metrics.generation import texture_features
from vqlib.metrics.memorisation import kinship_ladder, memorisation
from vqlib.metrics.spectrum import power_spectrum
from vqlib.metrics.support import likeness, overlap
from vqlib.models.segmenter import Segmenter


@dataclass(frozen=True)
class Score:
    """What one column of the card is."""

    title: str
    best: float | None  # the value of real slices; None: as high as the floor's
    about: str  # fidelity, anatomy, variety or memory


SCORES = {
    "texture": Score("Fréchet, texture", 0.0, "fidelity"),
    "shape": Score("Fréchet, segmenter", 0.0, "fidelity"),
    "spectrum": Score("spectrum, dB", 0.0, "fidelity"),
    "precision": Score("precision", None, "fidelity"),
    "density": Score("density", None, "fidelity"),
    "areas": Score("organ areas", 0.0, "anatomy"),
    "neighbours": Score("organ neighbours", 0.0, "anatomy"),
    "pieces": Score("organ pieces", 0.0, "anatomy"),
    "places": Score("organ positions", 0.0, "anatomy"),
    "recall": Score("recall", None, "variety"),
    "coverage": Score("coverage", None, "variety"),
    "likeness": Score("MS-SSIM over real", 0.0, "variety"),
    "nearest": Score("nearest training slice", 1.0, "memory"),
    "copies": Score("copies", 0.05, "memory"),
}
Card = dict[str, float | None]


@dataclass(frozen=True)
class Reference:
    """What samples are compared with; made once by `make_reference`."""

    train: SliceDataset
    real: SliceDataset  # held-out patients
    segmenter: Segmenter | None
    labels: Tensor | None  # [N, H, W], by the segmenter
    axes: dict[str, Axes]  # feature space → its principal axes in training slices
    features: dict[str, np.ndarray]  # feature space → real slices on them, [N, A + 1]
    spectrum: np.ndarray  # dB
    likeness: float
    ladder: dict[str, np.ndarray]


def _spaces(images: Tensor, segmenter: Segmenter | None) -> dict[str, np.ndarray]:
    """Features of slices in each space that there is: name → `[N, F]`."""
    found = {"texture": texture_features(images)}
    if segmenter is not None:
        found["shape"] = segmenter.features(images).double().numpy()
    return found


def make_reference(
    data: SliceData, segmenter: Segmenter | None, most: int = 600
) -> Reference:
    """Measure the real slices: axes and ladder on train, everything else on test.

    Without a segmenter (no labels, no segmenter) the card has texture in its place and
    no anatomy. ``most`` train slices, evenly, define the axes.
    """
    train, real = data.train, data.test
    rows = torch.linspace(0, len(train) - 1, min(most, len(train))).long()
    known = _spaces(train.images[rows], segmenter)
    axes = {name: principal_axes(x, name == "shape") for name, x in known.items()}
    found = _spaces(real.images, segmenter)
    return Reference(
        train,
        real,
        segmenter,
        None if segmenter is None else segmenter.segment(real.images),
        axes,
        {name: project(x, axes[name]) for name, x in found.items()},
        _decibels(real.images),
        likeness(real.images, real.patients.numpy()),
        kinship_ladder(train),
    )


def _decibels(images: Tensor) -> np.ndarray:
    spacing = tuple(mm * 256 / images.shape[-2] for mm in PIXEL_MM)
    return 10 * np.log10(np.maximum(power_spectrum(images, spacing)[1], 1e-9))


def score_card(slices: Slices, reference: Reference, seed: int = 0) -> Card:
    """One row of the card: a value for each of `SCORES`, None where it has no meaning
    (no segmenter, or for ``places`` no positions).

    Raises `UserError` for slices of another size than the reference, and for fewer than
    28 of them, with which a Fréchet distance says nothing.
    """
    _check(slices, reference)
    own, real = slices.patients, reference.real
    found = _spaces(slices.images, reference.segmenter)
    found = {name: project(x, reference.axes[name]) for name, x in found.items()}
    card: Card = dict.fromkeys(SCORES)
    for name, values in found.items():
        card[name] = unbiased_frechet(values, reference.features[name], seed=seed)
    # both spaces side by side, one unit of each the spread of real slices
    both, theirs = (
        np.column_stack([s[k] / _size(reference.features[k]) for k in found])
        for s in (found, reference.features)
    )
    card |= overlap(both, theirs, real.patients.numpy(), own, seed=seed)
    gap = _decibels(slices.images) - reference.spectrum
    card["spectrum"] = float(np.sqrt(np.square(gap).mean()))
    card["likeness"] = likeness(slices.images, own, seed=seed) - reference.likeness
    if reference.segmenter is not None:
        labels = reference.segmenter.segment(slices.images)
        where = (slices.positions, real.positions)
        card |= anatomy(labels, reference.labels, *where)
    return card | memorisation(slices.images, reference.train.images, reference.ladder)


def _size(features: np.ndarray) -> float:
    return float(np.sqrt(features.var(0).sum()))


def _check(slices: Slices, reference: Reference) -> None:
    ours, theirs = slices.images.shape[1:], reference.real.images.shape[1:]
    if ours != theirs:
        raise UserError(
            f"samples of {tuple(ours)} cannot be scored against slices of "
            f"{tuple(theirs)}; decode them at the size of the data"
        )
    if (n := min(len(slices.images), len(reference.real))) < (least := 2 * AXES + 4):
        raise UserError(f"{n} slices are too few for a score card; give {least}")
