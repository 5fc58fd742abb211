import pytest
import torch

from lessons import codecs
from lessons.codecs import lossy_within


@pytest.fixture
def images():
    """A smooth blob, and the same with noise, which costs bytes."""
    x, z = torch.linspace(-1, 1, 64)[:, None], torch.linspace(-1, 1, 32)
    blob = torch.exp(-4 * (x**2 + z**2))
    noise = 0.2 * torch.rand(64, 32, generator=torch.Generator().manual_seed(0))
    return torch.stack([blob, (blob + noise).clamp(0, 1)]).unsqueeze(1)


@pytest.fixture(params=codecs.LOSSY_FORMS)
def form(request):
    if not codecs.available(request.param):
        pytest.skip(f"this Pillow has no {request.param}")
    return request.param


def test_each_lossy_format_keeps_to_its_limits_and_uses_them(images, form):
    few, many = lossy_within(images, [150, 600], form)
    for limit, coded in ((150, few), (600, many)):
        assert coded.images.shape == images.shape
        assert (coded.sizes[coded.met] <= limit).all()
        assert (coded.sizes[~coded.met] > limit).all()
    assert many.met.all()
    assert many.sizes[1] > 400  # the noisy slice has a use for all of them
    error = [(coded.images - images).square().mean() for coded in (few, many)]
    assert error[1] < error[0]
    assert error[1] < 0.01  # it is the slice that comes back, upright


def test_a_header_is_taken_off(images, form):
    header = codecs.header_bytes((64, 32), form)
    (coded,) = lossy_within(images, [10_000], form)
    assert 20 < header < 500
    assert (coded.sizes > 0).all()
    assert coded.sizes[0] < coded.sizes[1]


def test_a_limit_that_cannot_be_met_is_told(images, form):
    (coded,) = lossy_within(images, [0], form)
    assert not coded.met[1]
    assert coded.sizes[1] > 0
