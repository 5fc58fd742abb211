import numpy as np
import pytest

from vqlib.metrics.frechet import (
    between_gaussians,
    principal_axes,
    project,
    unbiased_frechet,
)


def test_between_known_gaussians():
    eye = np.eye(3)
    zero, there = np.zeros(3), np.array([2.0, 0, 0])
    assert between_gaussians(zero, eye, zero, eye) == pytest.approx(0)
    assert between_gaussians(zero, eye, there, eye) == pytest.approx(4)
    # (2 - 1)² for each of three axes
    assert between_gaussians(zero, 4 * eye, zero, eye) == pytest.approx(3)
    # commuting covariances: the sum of squared differences of the roots
    a, b = np.diag([1.0, 4, 9]), np.diag([4.0, 4, 1])
    assert between_gaussians(zero, a, zero, b) == pytest.approx(1 + 0 + 4)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("n", [64, 160])
def test_the_bias_of_small_sets_is_taken_away(shift, n):
    """13 features, as on the score card; the true distance is shift²."""
    rng, plain, unbiased = np.random.default_rng(0), [], []
    for _ in range(12):
        a, b = rng.normal(size=(n, 13)), rng.normal(size=(n, 13))
        a[:, 0] += shift
        plain.append(between_gaussians(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T)))
        unbiased.append(unbiased_frechet(a, b, repeats=4))
    error = abs(np.mean(unbiased) - shift**2)
    assert np.mean(plain) - shift**2 > 0.5 * 64 / n
    assert error < 0.4 * (np.mean(plain) - shift**2)


def test_two_sizes_give_nearly_the_same():
    rng = np.random.default_rng(0)
    a, b = 1.5 * rng.normal(size=(400, 5)), rng.normal(size=(400, 5))
    few = np.mean([unbiased_frechet(a[i::5], b[i::5], 4) for i in range(5)])
    assert few == pytest.approx(unbiased_frechet(a, b, 4), abs=0.25)
    assert few == pytest.approx(5 * 0.25, abs=0.4)


def test_sets_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="more than twice as many rows"):
        unbiased_frechet(np.zeros((20, 13)), np.zeros((300, 13)))
    with pytest.raises(ValueError, match="same features"):
        unbiased_frechet(np.zeros((90, 4)), np.zeros((90, 5)))


def test_what_lies_off_the_axes_is_not_lost():
    real = np.random.default_rng(0).normal(size=(200, 2))
    real = np.column_stack([real, real.sum(1)])
    axes = principal_axes(real, count=2)
    np.testing.assert_allclose(
        axes.directions.T @ axes.directions, np.eye(2), atol=1e-9
    )
    odd = real.copy()
    odd[:, 2] += 5  # breaks the rule that the third is the sum of the others
    usual, broken = project(real, axes), project(odd, axes)
    assert usual.shape == (200, 3)
    assert usual[:, 2].max() < 1e-6
    assert broken[:, 2].min() > 1


def test_features_of_one_kind_share_a_unit():
    real = np.random.default_rng(0).normal(size=(200, 2)) * [1, 0.1]
    assert principal_axes(real).unit[1] == pytest.approx(0.1, rel=0.2)
    alike = principal_axes(real, alike=True)
    assert alike.unit[0] == alike.unit[1] == pytest.approx(0.5**0.5, rel=0.2)
    assert principal_axes(1e-3 * real).unit.tolist() == [0.02, 0.02]
