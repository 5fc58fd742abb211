"""Image codecs that the benchmarks set beside the models."""

from pathlib import Path

import pytest
import torch

FORMS = ("WebP", "AVIF", "JPEG 2000")


@pytest.fixture
def codecs(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import image_codecs

    return image_codecs


@pytest.fixture(params=FORMS)
def form(request, codecs):
    if not codecs.available(request.param):
        pytest.skip(f"this Pillow has no {request.param}")
    return request.param


@pytest.fixture
def images():
    """A smooth blob, and the same with noise, which costs bytes."""
    x, z = torch.linspace(-1, 1, 64)[:, None], torch.linspace(-1, 1, 32)
    blob = torch.exp(-4 * (x**2 + z**2))
    noise = 0.2 * torch.rand(64, 32, generator=torch.Generator().manual_seed(0))
    return torch.stack([blob, (blob + noise).clamp(0, 1)]).unsqueeze(1)


def test_each_format_keeps_to_its_limits_and_uses_them(codecs, images, form):
    none, few, many = codecs.lossy_within(images, [0, 150, 600], form)
    for limit, coded in ((0, none), (150, few), (600, many)):
        assert coded.images.shape == images.shape
        assert (coded.sizes[coded.met] <= limit).all()
        assert (coded.sizes[~coded.met] > limit).all()
    assert not none.met[1]
    assert many.met.all()
    assert many.sizes[1] > 400  # the noisy slice has a use for all of them
    error = [(coded.images - images).square().mean() for coded in (few, many)]
    assert error[1] < min(error[0], 0.01)  # it is the slice that comes back, upright
    assert 20 < codecs.header_bytes((64, 32), form) < 500
