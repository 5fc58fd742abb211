import math
from dataclasses import replace

import pytest
import torch

from vqlib.data import PIXEL_MM
from vqlib.data.augment import Augment

NONE = Augment(shift_mm=0, rotate_degrees=0, scale=0, gamma=0, bias=0)
STRONG = Augment(20, 10, 0.3, 0.5, 0.5, flip=True)


def applied(augment, images, seed=0):
    torch.manual_seed(seed)
    return augment(images)


@pytest.fixture
def images():
    return torch.rand(6, 1, 64, 32, generator=torch.Generator().manual_seed(1))


def discs(images):
    """Where two discs lie that are 80 mm apart, one above the other: `[B, 2, 2]` mm."""
    x, z = (torch.arange(n) + 0.5 for n in images.shape[-2:])
    found = []
    for half in (z < len(z) / 2, z >= len(z) / 2):
        part = images[:, 0] * half
        mass = part.sum((1, 2))
        along = part.sum(2) @ x * PIXEL_MM[0], part.sum(1) @ z * PIXEL_MM[1]
        found.append(torch.stack([2 * a / mass for a in along], 1))
    return torch.stack(found, 1)


@pytest.fixture
def blobs():
    x, z = ((torch.arange(n) + 0.5 - n / 2) * 2 for n in (128, 64))
    image = torch.zeros(128, 64)
    for up, radius in ((-40, 8), (40, 14)):
        away = torch.hypot(x[:, None] * PIXEL_MM[0], z[None] * PIXEL_MM[1] - up)
        image += torch.sigmoid(radius - away)
    return image.expand(16, 1, -1, -1)


def test_everything_at_once_keeps_shape_and_range_and_follows_the_seed(images):
    assert torch.equal(NONE(images), images)
    before = images.clone()
    changed = applied(STRONG, images)
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert 0 <= changed.min() < changed.max() <= 1
    assert not torch.allclose(changed, images, atol=0.05)
    assert torch.equal(changed, applied(STRONG, images))
    assert not torch.equal(changed, applied(STRONG, images, 1))
    assert torch.equal(images, before)
    assert STRONG(images.to("meta")).device.type == "meta"


def test_shift_and_rotation_are_of_millimetres_though_pixels_are_not_square(blobs):
    moved = discs(applied(replace(NONE, shift_mm=10), blobs))
    by = (moved - discs(blobs)).mean(1)  # [B, 2]
    assert by.abs().max() < 10.2
    assert (by.abs().amax(0) > 5).all()  # 16 draws along both axes
    turned = discs(applied(replace(NONE, rotate_degrees=20), blobs))
    for found in (moved, turned):
        apart = found[:, 1] - found[:, 0]
        assert (apart.norm(dim=1) - 80).abs().max() < 1
    degrees = torch.rad2deg(torch.atan2(apart[:, 0], apart[:, 1]))
    assert -20.5 < degrees.min() < -10
    assert 10 < degrees.max() < 20.5


def test_flip_mirrors_left_and_right_of_about_half_the_slices(images):
    many = images[:1].expand(200, -1, -1, -1)
    flipped = applied(replace(NONE, flip=True), many)
    mirrored = (flipped == images[:1].flip(2)).all((1, 2, 3))
    assert (mirrored ^ (flipped == images[:1]).all((1, 2, 3))).all()
    assert 70 < mirrored.sum() < 130


def test_gamma_keeps_black_white_and_order_and_a_bias_field_is_smooth():
    ramp = torch.linspace(0, 1, 32).expand(8, 1, 64, 32)
    changed = applied(replace(NONE, gamma=0.5), ramp)
    assert (changed[..., 0] == 0).all()
    assert (changed[..., -1] == 1).all()
    assert (changed.diff() > 0).all()
    grey = torch.full([8, 1, 128, 64], 0.5)
    factor = applied(replace(NONE, bias=0.2), grey) / grey
    assert 1.1 < factor.max() < math.exp(0.2 * 1.3)  # a cubic may overshoot a little
    assert math.exp(-0.2 * 1.3) < factor.min() < 0.9
    assert factor.diff(dim=2).abs().max() < 0.02
