import numpy as np
import pytest
import torch

from vqlib.metrics.support import likeness, overlap


def clouds(n, seed, dims=2):
    return np.random.default_rng(seed).normal(size=(n, dims))


REAL = clouds(120, 0)
OWN = np.arange(120)


def scores(generated, real=REAL, patients=OWN, **more):
    return overlap(generated, real, patients, **more)


def test_one_distribution_overlaps_itself():
    found = scores(clouds(120, 1))
    assert min(found.values()) > 0.8
    assert found["density"] == pytest.approx(1, abs=0.25)


def test_far_away_overlaps_nothing():
    assert set(scores(clouds(120, 1) + 20).values()) == {0.0}


def test_ugly_samples_lose_precision_and_not_recall():
    found = scores(3 * clouds(120, 1))
    assert found["precision"] < 0.6
    assert found["density"] < 0.5
    assert found["recall"] > 0.9


def test_few_modes_lose_recall_and_not_precision():
    found = scores(0.2 * clouds(120, 1))
    assert found["precision"] > 0.95
    assert found["recall"] < 0.35
    assert found["coverage"] < 0.5


def test_balls_reach_to_other_patients():
    """Every man is a tight knot: by his own slices no other man would lie near him."""
    centres = clouds(40, 0).repeat(4, 0)
    rng = np.random.default_rng(1)
    real = centres + 1e-3 * rng.normal(size=centres.shape)
    others = clouds(40, 2).repeat(4, 0) + 1e-3 * rng.normal(size=centres.shape)
    men = np.arange(40).repeat(4)
    assert scores(others, real, np.arange(160))["precision"] < 0.2
    found = scores(others, real, men, own=men)
    assert found["precision"] > 0.7
    assert found["recall"] > 0.7


def test_one_patient_cannot_be_compared():
    with pytest.raises(ValueError, match="fewer than 3 slices of other patients"):
        scores(clouds(20, 1), clouds(20, 2), np.zeros(20))


def test_likeness_is_one_for_one_picture_and_lower_for_real_ones(tiny):
    one = tiny.test.images[5:6].repeat(8, 1, 1, 1)
    assert likeness(one) == pytest.approx(1, abs=1e-4)
    real = likeness(tiny.test.images, tiny.test.patients.numpy())
    assert real < 0.8
    assert likeness(tiny.test.images, tiny.test.patients.numpy()) == real
    # next slices of one man would raise it: pairs are of two men
    same = torch.stack([tiny.test.images[4]] * 20 + [tiny.test.images[15]] * 20)
    apart = likeness(same, np.repeat([0, 1], 20), pairs=5)
    assert apart == pytest.approx(likeness(same[[0, 20]], np.array([0, 1])), abs=1e-4)
