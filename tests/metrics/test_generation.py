import numpy as np
import pytest
import torch
from made_patients import tiny
from torchmetrics.image.kid import poly_mmd

from lessons.sharpness import blurred
from vqlib.data import SliceDataset
from vqlib.metrics import (
    copied_patches,
    kid,
    kinship_ladder,
    memorisation,
    precision_recall,
    principal_axes,
    texture_features,
    two_sample_accuracy,
)


def seeded():
    return torch.Generator().manual_seed(0)


WORSE = {
    "blur": lambda x, s: blurred(x, 0.4 + 0.4 * s),
    "noise": lambda x, s: x + 0.05 * s * torch.randn(x.shape, generator=seeded()),
    "darker": lambda x, s: x * (1 - 0.15 * s),
    "shifted": lambda x, s: x.roll(3 * s, 3),
}


@pytest.mark.parametrize("name", WORSE)
def test_textures_of_worse_sets_are_further(name):
    train, held_out = tiny().train.images, tiny().test.images
    onto_axes = principal_axes(texture_features(train))
    real = onto_axes(texture_features(tiny().validate.images))
    unit = np.sqrt(real.var(0).mean())

    def distance(images):
        found = onto_axes(texture_features(images))
        return kid(found / unit, real / unit).mean

    found = [distance(WORSE[name](held_out, strength)) for strength in (1, 2, 3)]
    assert distance(held_out) < found[0] < found[1] < found[2]


def test_kid_is_that_of_torchmetrics_and_its_interval_that_of_subsets():
    a, b = np.random.default_rng(0).normal(size=(2, 60, 5))
    b, rng = b + 1, np.random.default_rng(3)  # which draws half of each
    x, y = (torch.from_numpy(z[rng.choice(60, 30, replace=False)]) for z in (a, b))
    found = kid(a, b, subsets=1, seed=3).mean
    assert found == pytest.approx(100 * float(poly_mmd(x, y)))
    found = kid(a, b)  # of many subsets
    assert 0 < found.low < found.mean < found.high
    assert kid(a, b) == found  # the seed decides
    assert kid(a, b, seed=1) != found


def test_a_classifier_tells_apart_what_differs_and_may_not_know_the_patients():
    a, b = np.random.default_rng(0).normal(size=(2, 120, 6))
    who = np.repeat(np.arange(12), 10)
    assert two_sample_accuracy(a, b, who) == pytest.approx(0.5, abs=0.15)
    assert two_sample_accuracy(a + 3 * np.eye(6)[0], b, who) > 0.9
    # each patient is a point of its own: known patients would be told apart always
    rng, who = np.random.default_rng(0), np.repeat(np.arange(10), 12)
    a, b = (rng.normal(size=(10, 60))[who] for _ in range(2))
    a, b = (x + 0.01 * rng.normal(size=x.shape) for x in (a, b))
    assert two_sample_accuracy(a, b, np.arange(120)) > 0.9
    assert two_sample_accuracy(a, b, who, who) < 0.75
    assert two_sample_accuracy(a, b, np.zeros(120)) > 0.9  # one patient: by slice


def cloud(seed, n=120):
    return np.random.default_rng(seed).normal(size=(n, 2))


CLOUDS = [  # samples, and from where to where their precision and recall are
    (cloud(1), (0.8, 1), (0.8, 1)),
    (cloud(1) + 20, (0, 0), (0, 0)),
    (3 * cloud(1), (0, 0.6), (0.9, 1)),  # ugly
    (0.2 * cloud(1), (0.95, 1), (0, 0.35)),  # all alike
]


@pytest.mark.parametrize(("generated", "precision", "recall"), CLOUDS)
def test_precision_is_fidelity_and_recall_is_variety(generated, precision, recall):
    found = precision_recall(generated, cloud(0), np.arange(120))
    assert precision[0] <= found["precision"] <= precision[1]
    assert recall[0] <= found["recall"] <= recall[1]


def test_a_set_of_one_patient_has_balls_too():
    found = precision_recall(cloud(1), cloud(0), np.zeros(120), np.zeros(120))
    assert min(found.values()) > 0.8
    two = np.repeat([0, 1], [118, 2])  # of whom one has but two slices
    assert precision_recall(cloud(1), cloud(0), two)["precision"] > 0.8


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


def test_copies_are_found_also_when_they_are_blurred_and_new_patients_are_none():
    train = cohort()
    ladder, some = kinship_ladder(train), train.images[::5]
    for copies in (some, some.flip(2)):  # mirrored, left for right
        found = memorisation(copies, train.images, ladder)
        assert found == {"nearest": pytest.approx(0, abs=1e-4), "copies": 1}
    smooth = memorisation(blurred(some, 1.5), train.images, ladder)
    assert smooth["copies"] == 1
    assert smooth["nearest"] < 0.5
    parts = train.positions, train.patients, train.weeks
    known = train.patients > 2
    without = SliceDataset(train.images[known], None, *(x[known] for x in parts))
    new = memorisation(train.images[~known], without.images, kinship_ladder(without))
    assert new["copies"] <= 0.25
    assert new["nearest"] > 0.8
    with pytest.raises(ValueError, match="of one patient"):
        memorisation(train.images, train.images, {"same scan": np.ones(2)})


def test_a_copied_part_is_found_in_a_new_slice():
    train = cohort()
    known = train.patients > 2
    images, who = train.images[known], train.patients[known]
    new = train.images[~known].clone()
    assert copied_patches(new, images, who) < 0.3
    new[..., :16] = images[: len(new), ..., :16]  # the lower half
    assert copied_patches(new, images, who) > 0.45
    assert copied_patches(images.flip(2), images, who) == 1
    flat = torch.full_like(new, 0.5)
    assert copied_patches(flat, images, who) == 0  # nothing to copy
