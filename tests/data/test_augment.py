import math
from dataclasses import replace

import pytest
import torch
from slice_files import refusal

from vqlib.data import NATIVE_SIZE, PIXEL_MM
from vqlib.data.augment import Augment

NONE = Augment(shift_mm=0, rotate_degrees=0, scale=0, gamma=0, bias=0)
STRONG = Augment(20, 10, 0.3, 0.5, 0.5, flip=True)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.rand(6, 1, 64, 32, generator=seeded(1))


@pytest.fixture
def blobs():
    """Two discs 80 mm apart, one above the other on screen, the upper one larger."""
    x, z = (
        (torch.arange(n // 2) + 0.5) * 2 * mm
        for n, mm in zip(NATIVE_SIZE, PIXEL_MM, strict=True)
    )
    image = torch.zeros(len(x), len(z))
    for up, radius in ((-40, 8), (40, 14)):
        away = torch.hypot(x[:, None] - x.mean(), z[None] - z.mean() - up)
        image += torch.sigmoid(radius - away)
    return image.expand(16, 1, -1, -1)


def centres(images):
    """Centres of mass of the lower and the upper half of each slice, `[B, 2, 2]` mm."""
    z_cut = images.shape[-1] // 2
    found = []
    for half, start in ((images[..., :z_cut], 0), (images[..., z_cut:], z_cut)):
        mass = half.sum((1, 2, 3))
        x = (torch.arange(half.shape[2]) + 0.5) * 2 * PIXEL_MM[0]
        z = (torch.arange(half.shape[3]) + 0.5 + start) * 2 * PIXEL_MM[1]
        along_x, along_z = half.sum((1, 3)), half.sum((1, 2))
        found.append(torch.stack([along_x @ x / mass, along_z @ z / mass], 1))
    return torch.stack(found, 1)


def test_everything_at_once_keeps_shape_type_range_and_device(images):
    assert torch.equal(NONE(images), images)
    changed = STRONG(images, seeded())
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert 0 <= changed.min() < changed.max() <= 1
    assert not torch.allclose(changed, images, atol=0.05)
    assert STRONG(images.to("meta"), seeded()).device.type == "meta"


def test_the_seed_decides_and_the_images_stay_as_they_were(images):
    before = images.clone()
    first = STRONG(images, seeded())
    assert torch.equal(first, STRONG(images, seeded()))
    assert not torch.equal(first, STRONG(images, seeded(1)))
    assert torch.equal(images, before)
    torch.manual_seed(3)  # decides where there is no generator
    second, third = STRONG(images), STRONG(images)
    torch.manual_seed(3)
    assert torch.equal(second, STRONG(images))
    assert not torch.equal(second, third)


def test_a_shift_is_in_millimetres_and_stays_within_its_limit(blobs):
    moved = replace(NONE, shift_mm=10)(blobs, seeded())
    by = (centres(moved) - centres(blobs)).mean(1)  # [B, 2]
    assert by.abs().max() < 10.2
    assert (by.abs().amax(0) > 5).all()  # 16 draws along both axes
    apart = centres(moved)[:, 1] - centres(moved)[:, 0]
    assert (apart - torch.tensor([0.0, 80.0])).abs().max() < 0.5


def test_a_rotation_is_one_of_millimetres_though_pixels_are_not_square(blobs):
    turned = replace(NONE, rotate_degrees=20)(blobs, seeded())
    apart = centres(turned)[:, 1] - centres(turned)[:, 0]
    assert (apart.norm(dim=1) - 80).abs().max() < 1
    degrees = torch.rad2deg(torch.atan2(apart[:, 0], apart[:, 1]))
    assert degrees.abs().max() < 20.5
    assert degrees.min() < -10
    assert degrees.max() > 10


def test_flip_mirrors_left_and_right_of_about_half_the_slices(images):
    many = images[:1].expand(200, -1, -1, -1)
    flipped = replace(NONE, flip=True)(many, seeded())
    mirrored = (flipped == images[:1].flip(2)).all((1, 2, 3))
    untouched = (flipped == images[:1]).all((1, 2, 3))
    assert (mirrored ^ untouched).all()
    assert 70 < mirrored.sum() < 130


def test_gamma_keeps_black_white_and_order(images):
    ramp = torch.linspace(0, 1, 32).expand(8, 1, 64, 32)
    changed = replace(NONE, gamma=0.5)(ramp, seeded())
    assert (changed[..., 0] == 0).all()
    assert (changed[..., -1] == 1).all()
    assert (changed.diff() > 0).all()
    exponents = changed[:, 0, 0, 16].log() / ramp[0, 0, 0, 16].log()
    assert exponents.log().abs().max() <= 0.5
    assert exponents.min() < 1 < exponents.max()


def test_a_bias_field_is_a_smooth_factor():
    grey = torch.full([8, 1, 128, 64], 0.5)
    factor = replace(NONE, bias=0.2)(grey, seeded()) / grey
    assert 1.1 < factor.max() < math.exp(0.2 * 1.3)  # a cubic may overshoot a little
    assert math.exp(-0.2 * 1.3) < factor.min() < 0.9
    assert factor.diff(dim=2).abs().max() < 0.02
    assert factor.diff(dim=3).abs().max() < 0.03
    black = torch.zeros(2, 1, 64, 32)
    assert torch.equal(replace(NONE, bias=0.2)(black, seeded()), black)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_an_amount_that_makes_no_sense_is_refused(value):
    assert "augmentation gamma is" in refusal(lambda: Augment(gamma=value))
