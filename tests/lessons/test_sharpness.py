import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from lessons.sharpness import detail_by_frequency, edge_recovery, equivalent_blur


@pytest.fixture
def slices():
    """Four slices with structure at all scales, none of it at the border."""
    noise = np.random.default_rng(0).normal(size=(4, 1, 64, 32))
    smooth = gaussian_filter(noise, (0, 0, 1, 1)) + gaussian_filter(noise, (0, 0, 4, 4))
    return torch.from_numpy(smooth).float()


def blurred(images, sigma):
    return torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, sigma, sigma)))


def test_edge_recovery_is_the_height_of_an_edge_in_its_place():
    step = torch.zeros(1, 1, 16, 16)
    step[:, :, 8:] = 1
    moved = step.roll(3, 2)
    assert edge_recovery(step, step).item() == pytest.approx(1)
    assert edge_recovery(0.5 * step + 0.2, step).item() == pytest.approx(0.5)
    moved[:, :, :3] = 0  # what rolled in from the other side
    assert edge_recovery(moved, step).item() == pytest.approx(0)
    assert edge_recovery(0 * step, 0 * step).item() == 1  # nothing to lose


@pytest.mark.parametrize("sigma", [0.0, 0.6, 1.5, 3.1])
def test_equivalent_blur_finds_the_blur(slices, sigma):
    found = equivalent_blur(blurred(slices, sigma), slices)
    np.testing.assert_allclose(found, sigma, atol=0.05)


def test_blur_takes_the_fine_detail_and_invents_nothing(slices):
    detail = detail_by_frequency(blurred(slices, 1.5), slices, bands=8)
    assert detail.power[0] > 0.8
    assert detail.power[-1] < 0.05
    assert (detail.in_place >= detail.power - 0.01).all()


def test_invented_detail_has_power_but_is_not_in_place():
    random = torch.Generator().manual_seed(1)
    true, invented = torch.randn(2, 8, 1, 64, 32, generator=random)
    detail = detail_by_frequency(true + invented, true, bands=4)
    np.testing.assert_allclose(detail.power, 2, atol=0.3)
    np.testing.assert_allclose(detail.in_place, 1, atol=0.2)
