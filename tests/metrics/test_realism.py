"""Realism: known corruptions are put in order, and a set has no distance to itself."""

import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from vqlib.metrics import realism
from vqlib.metrics.realism import (
    LEVELS,
    Portrait,
    distances,
    gradient_lengths,
    power_spectrum,
    spectral_slope,
    tissue_noise,
)

N, HEIGHT, WIDTH = 6, 64, 32


def describe(images, body, labels=None):
    """As slices of native resolution, only smaller."""
    return realism.describe(images, body, labels, spacing=(1.68, 1.56))


def noise(exponent, seed=0):
    """Noise `[N, 1, H, W]` whose power falls as f^-exponent, mean 0, sd 1."""
    rng = np.random.default_rng(seed)
    white = np.fft.fft2(rng.standard_normal((N, 1, HEIGHT, WIDTH)))
    radius = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH))
    radius[0, 0] = np.inf
    values = np.fft.ifft2(white * radius ** (-exponent / 2)).real
    return torch.from_numpy(values / values.std())


@pytest.fixture(scope="module")
def slices():
    return (0.5 + 0.12 * noise(2.2)).clip(0, 1).float()


@pytest.fixture(scope="module")
def body():
    return torch.ones(N, HEIGHT, WIDTH, dtype=torch.bool)


def blurred(images, sigma):
    return torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, sigma, sigma)))


def noisy(images, sigma):
    rng = np.random.default_rng(3)
    return images + sigma * torch.from_numpy(rng.standard_normal(images.shape)).float()


def test_a_set_has_no_distance_to_itself(slices, body):
    portrait = describe(slices, body)
    assert set(distances(portrait, portrait).values()) == {0.0}


def test_more_blur_is_farther_and_less_sharp(slices, body):
    true = describe(slices, body)
    far = [distances(describe(blurred(slices, s), body), true) for s in (0.6, 1.2, 2.4)]
    for name in ("gradient", "spectrum_db"):
        values = [row[name] for row in far]
        assert 0 < values[0] < values[1] < values[2]
    for name in ("slope", "edge_density", "noise_tissue"):
        values = [row[name] for row in far]
        assert 0 > values[0] > values[1]
    assert far[0]["intensity"] < far[0]["spectrum_db"]


def test_more_noise_is_farther_and_has_more_edges(slices, body):
    true = describe(slices, body)
    far = [distances(describe(noisy(slices, s), body), true) for s in (0.02, 0.05, 0.1)]
    for name in ("gradient", "spectrum_db", "slope", "edge_density", "noise_tissue"):
        values = [row[name] for row in far]
        assert 0 < values[0] < values[1] < values[2]


def test_intensity_distance_of_a_shift_is_the_shift(slices, body):
    true, lighter = describe(slices, body), describe(slices + 0.07, body)
    assert distances(lighter, true)["intensity"] == pytest.approx(0.07, abs=1e-4)
    assert distances(lighter, true)["gradient"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("exponent", [0.0, 2.0, 3.0])
def test_the_slope_of_a_power_law_is_its_exponent(exponent):
    frequency, power = power_spectrum(noise(exponent), (1.0, 1.0))
    slope = spectral_slope(frequency, power, (0.08, 0.45))
    assert slope == pytest.approx(-exponent, abs=0.15)


def test_the_density_of_white_noise_is_its_variance_times_the_area_of_a_pixel():
    values = noise(0.0)
    for spacing in ((1.0, 1.0), (2.0, 1.5)):
        _, power = power_spectrum(values, spacing, rings=6)
        assert power.mean() == pytest.approx(spacing[0] * spacing[1], rel=0.1)


def test_gradients_are_per_millimetre(body):
    ramp = 0.01 * torch.arange(float(HEIGHT))[:, None].expand(N, 1, HEIGHT, WIDTH)
    lengths = gradient_lengths(ramp, body, (2.0, 5.0))
    assert lengths == pytest.approx(np.full(len(lengths), 0.005), abs=1e-6)


def test_noise_is_found_beside_edges(body):
    step = torch.zeros(N, 1, HEIGHT, WIDTH)
    step[:, :, :, 11:] = 0.8
    assert tissue_noise(step, body) == pytest.approx(0, abs=1e-6)
    assert tissue_noise(noisy(step, 0.03), body) == pytest.approx(0.03, rel=0.1)


def test_air_gives_sigma_and_padding_is_no_air(body):
    images = 0.5 + 0.1 * noise(2.2).repeat(4, 1, 1, 1)
    body = body.repeat(4, 1, 1)
    body[:, :8] = False
    images[:, :, :8] = 0
    assert describe(images, body).noise_air is None
    air = np.random.default_rng(0).rayleigh(0.02, images[:, :, :8].shape)
    images[:, :, :8] = torch.from_numpy(air)
    assert describe(images, body).noise_air == pytest.approx(0.02, rel=0.05)


def test_only_slices_that_the_body_fills_count(slices, body):
    half = body.clone()
    half[2:, : HEIGHT // 2] = False
    assert describe(slices, half).slices == 2
    with pytest.raises(ValueError, match="no slice"):
        describe(slices, torch.zeros_like(body))


def test_tissues_are_labels_or_clusters(body):
    labels = torch.ones(N, HEIGHT, WIDTH, dtype=torch.uint8)
    labels[:, :, WIDTH // 2 :] = 2
    columns = torch.arange(WIDTH) * 3 // WIDTH
    levels = torch.tensor([0.2, 0.5, 0.9])[columns]
    images = noisy(levels.expand(N, 1, HEIGHT, WIDTH), 0.02)
    found = describe(images, body).tissues
    assert list(found) == ["dark", "middle", "bright"]
    for name, level in zip(found, (0.2, 0.5, 0.9), strict=True):
        assert found[name]["median"] == pytest.approx(level, abs=0.01)
        assert found[name]["share"] == pytest.approx(1 / 3, abs=0.03)
    found = describe(images, body, labels).tissues
    assert list(found) == ["body", "bone"]
    assert found["body"]["share"] == pytest.approx(0.5)
    assert found["body"]["median"] < found["bone"]["median"]


def test_a_portrait_survives_json(slices, body):
    portrait = describe(slices, body)
    again = Portrait(**json.loads(json.dumps(portrait.to_dict())))
    assert len(again.intensity) == len(again.gradient) == len(LEVELS)
    assert set(distances(again, portrait).values()) == {0.0}
