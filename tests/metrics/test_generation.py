import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from vqlib.metrics import (
    frechet_distance,
    texture_features,
)


def slices(n, seed=0, size=(64, 32)):
    """A bright ellipse with two dark discs and some texture, different each time."""
    rng = np.random.default_rng(seed)
    x, z = np.mgrid[: size[0], : size[1]]
    images = []
    for _ in range(n):
        cx, cz, rx, rz = rng.normal((32, 16, 26, 12), 1.0)
        image = 0.6 * (((x - cx) / rx) ** 2 + ((z - cz) / rz) ** 2 < 1)
        for side in (-1, 1):
            far = np.hypot(x - cx - 14 * side, z - cz)
            image *= 1 - 0.7 * (far < rng.normal(5, 0.7))
        waves = np.sin(x / 2.5 + rng.uniform(0, 6)) * np.cos(z / 2 + rng.uniform(0, 6))
        images.append(image * (1 + 0.15 * waves) + 0.02 * rng.random(size))
    return torch.from_numpy(np.stack(images)[:, None]).float().clamp(0, 1)


REAL, HELD_OUT = slices(120), slices(120, seed=1)
REAL_FEATURES = texture_features(REAL)
FLOOR = frechet_distance(texture_features(HELD_OUT), REAL_FEATURES)


def distance(images):
    return frechet_distance(texture_features(images), REAL_FEATURES)


def test_features_are_finite_also_of_a_blank_slice():
    assert REAL_FEATURES.shape == (120, 56)
    assert np.isfinite(texture_features(torch.zeros(1, 1, 32, 32))).all()
    parts = texture_features(REAL, batch_size=50)
    np.testing.assert_allclose(parts, REAL_FEATURES)


def test_frequency_bands_are_in_order():
    z = torch.arange(64) / 64
    slow, fast = torch.sin(6.283 * 4 * z), torch.sin(6.283 * 28 * z)
    images = torch.stack([slow, fast])[:, None, None, :].expand(2, 1, 128, 64)
    bands = texture_features(images * 0.5 + 0.5)[:, :10]
    assert bands.argmax(1).tolist() == [1, 8]


def test_distance_of_a_set_to_itself_and_to_another():
    assert frechet_distance(REAL_FEATURES, REAL_FEATURES) == pytest.approx(0, abs=1e-6)
    a, b = texture_features(HELD_OUT), REAL_FEATURES
    unit = 1 / b.std(0)
    assert frechet_distance(a * unit, b * unit) == pytest.approx(
        frechet_distance(a, b), rel=1e-6
    )


def test_distance_of_known_gaussians():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (20_000, 3))
    b = rng.normal(0, 1, (20_000, 3))
    assert frechet_distance(b + np.array([2, 0, 0]), a) == pytest.approx(4, abs=0.1)
    assert frechet_distance(3 * b, a) == pytest.approx(3 * (3 - 1) ** 2, abs=0.2)


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda x, s: gaussian_blur(x, [7, 7], [0.4 + 0.4 * s] * 2),
        lambda x, s: x + 0.05 * s * torch.randn(x.shape, generator=seeded()),
        lambda x, s: x * (1 - 0.15 * s),
        lambda x, s: shuffled(x, 32 >> s),
        lambda x, s: x[: 20 >> s].repeat(6 << s, 1, 1, 1),
        lambda x, s: x.roll(3 * s, 3),
    ],
    ids=["blur", "noise", "darker", "shuffled patches", "few modes", "shifted"],
)
def test_worse_is_further(corrupt):
    distances = [distance(corrupt(HELD_OUT, strength)) for strength in (1, 2, 3)]
    assert FLOOR < distances[0] < distances[1] < distances[2]


def seeded():
    return torch.Generator().manual_seed(0)


def shuffled(images, side):
    """The same pixels in another order of patches."""
    n, _, h, w = images.shape
    patches = images.unfold(2, side, side).unfold(3, side, side).flatten(2, 3)
    patches = patches[:, 0, torch.randperm(patches.shape[2], generator=seeded())]
    grid = patches.reshape(n, h // side, w // side, side, side)
    return grid.permute(0, 1, 3, 2, 4).reshape(n, 1, h, w)


def test_fewer_slices_than_features_are_no_obstacle():
    few = frechet_distance(texture_features(HELD_OUT[:20]), REAL_FEATURES)
    assert FLOOR < few < distance(gaussian_blur(HELD_OUT[:20], [7, 7], [1.0, 1.0]))


def test_sets_that_cannot_be_compared():
    with pytest.raises(ValueError, match="cannot compare"):
        frechet_distance(REAL_FEATURES[:1], REAL_FEATURES)
    with pytest.raises(ValueError, match="cannot compare"):
        frechet_distance(REAL_FEATURES[:, :3], REAL_FEATURES)
