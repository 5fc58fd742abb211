import numpy as np
import pytest
import torch
from made_patients import tiny

from lessons.sharpness import blurred
from vqlib.data import SliceDataset
from vqlib.metrics import (
    kinship_ladder,
    memorisation,
    precision_recall,
)


def seeded():
    return torch.Generator().manual_seed(0)


def cloud(seed, n=120):
    return np.random.default_rng(seed).normal(size=(n, 2))


@pytest.mark.parametrize(
    ("generated", "precision", "recall"),
    [
        (cloud(1), (0.8, 1), (0.8, 1)),
        (cloud(1) + 20, (0, 0), (0, 0)),
        (3 * cloud(1), (0, 0.6), (0.9, 1)),  # ugly
        (0.2 * cloud(1), (0.95, 1), (0, 0.35)),  # all alike
    ],
)
def test_precision_is_fidelity_and_recall_is_variety(generated, precision, recall):
    found = precision_recall(generated, cloud(0), np.arange(120))
    assert precision[0] <= found["precision"] <= precision[1]
    assert recall[0] <= found["recall"] <= recall[1]


def cohort():
    """12 patients with 2 scans of 6 slices; kin are alike, as in life."""
    random = seeded()

    def field(scale, sigma):
        return blurred(scale * torch.rand(1, 1, 64, 32, generator=random), sigma)[0]

    images, who, weeks = [], [], []
    for patient in range(12):
        own = field(1.5, 3)
        for week in range(2):
            scan = own + field(0.25, 2)
            images += [scan + field(0.3, 2) for _ in range(6)]
            who += [patient] * 6
            weeks += [week] * 6
    where = torch.linspace(0, 1, 6).repeat(24)
    kin = torch.tensor(who), torch.tensor(weeks)
    return SliceDataset(torch.stack(images), None, where, *kin)


def test_the_ladder_has_its_rungs_in_order():
    ladder = kinship_ladder(cohort())
    assert list(ladder) == ["same scan", "same patient", "other patients"]
    near, same, other = (np.median(values) for values in ladder.values())
    assert 0 < near < same < other
    assert len(kinship_ladder(cohort(), most=10)["same scan"]) == 10
    assert list(kinship_ladder(tiny().train)) == ["same scan", "other patients"]


def test_copies_are_found_also_when_they_are_blurred():
    train = cohort()
    ladder, some = kinship_ladder(train), train.images[::5]
    assert memorisation(some, train.images, ladder) == {"nearest": 0, "copies": 1}
    smooth = memorisation(blurred(some, 1.5), train.images, ladder)
    assert smooth["copies"] == 1
    assert smooth["nearest"] < 0.5


def test_patients_who_were_not_in_training_are_no_copies():
    train = cohort()
    parts = train.positions, train.patients, train.weeks
    known = train.patients > 2
    without = SliceDataset(train.images[known], None, *(x[known] for x in parts))
    new = memorisation(train.images[~known], without.images, kinship_ladder(without))
    assert new["copies"] <= 0.25
    assert new["nearest"] > 0.8
    with pytest.raises(ValueError, match="of one patient"):
        memorisation(train.images, train.images, {"same scan": np.ones(2)})
