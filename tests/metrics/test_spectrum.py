"""Spectra of sets whose spectrum is known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from vqlib.metrics.spectrum import blurred, power_spectrum


def noise(exponent):
    """Noise `[6, 1, 64, 32]` whose power falls as f^-exponent, mean 0, sd 1."""
    white = np.fft.fft2(np.random.default_rng(0).standard_normal((6, 1, 64, 32)))
    radius = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(32))
    radius[0, 0] = np.inf
    values = np.fft.ifft2(white * radius ** (-exponent / 2)).real
    return torch.from_numpy(values / values.std())


@pytest.mark.parametrize("exponent", [0.0, 2.0, 3.0])
def test_the_slope_of_a_power_law_is_its_exponent(exponent):
    frequency, power = power_spectrum(noise(exponent), (1.0, 1.0))
    inside = (frequency > 0.08) & (frequency < 0.45)
    slope = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.15)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 1.5)])
def test_the_density_of_white_noise_is_its_variance_times_the_area_of_a_pixel(spacing):
    _, power = power_spectrum(noise(0.0), spacing, rings=6)
    assert power.mean() == pytest.approx(spacing[0] * spacing[1], rel=0.1)


def test_blur_is_a_gaussian_filter_of_each_slice():
    images = noise(0.0)
    expected = gaussian_filter(images.numpy(), (0, 0, 1.3, 1.3))
    assert np.allclose(blurred(images, 1.3), expected)
    assert blurred(images, 0) is images
