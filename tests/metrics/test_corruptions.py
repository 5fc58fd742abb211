import pytest
import torch

from vqlib.metrics.corruptions import CORRUPTIONS, PATCH, SEVERITIES, Slices, take


@pytest.fixture
def base(tiny):
    return take(tiny.validate, 30)


def test_take_goes_evenly_through_a_split(tiny):
    some = take(tiny.validate, 3)
    assert some.patients.tolist() == [21, 23, 26]  # first, middle, last
    assert len(take(tiny.validate, 999).images) == len(tiny.validate)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_nothing_happens_at_severity_0_and_more_at_more(name, base, tiny):
    corrupt, changes = CORRUPTIONS[name], []
    before = Slices(base.images.clone(), base.positions.clone(), base.patients)
    for severity in SEVERITIES:
        worse = corrupt(base, severity, tiny.train, 0)
        assert worse.images.shape == base.images.shape
        assert 0 <= worse.images.min() <= worse.images.max() <= 1
        pictures = (worse.images != base.images).flatten(1).float().mean()
        changes.append(float(pictures + (worse.positions != base.positions).sum()))
        again = corrupt(base, severity, tiny.train, 0)
        assert torch.equal(again.images, worse.images)
    assert changes[0] == 0
    assert changes[1] > 0
    # the first two change every pixel at once, the third may repeat what was there
    if name not in ("blur", "noise", "dropped modes"):
        assert changes == sorted(changes)
    assert torch.equal(base.images, before.images)
    assert torch.equal(base.positions, before.positions)


def test_ever_fewer_places_are_left_of_dropped_modes(base, tiny):
    drop = CORRUPTIONS["dropped modes"]
    left = [
        len(drop(base, severity, tiny.train, 0).positions.unique())
        for severity in SEVERITIES
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] > 4 * left[-1]


def test_patches_change_places_and_stay_whole(base, tiny):
    worse = CORRUPTIONS["shuffled patches"](base, 1.0, tiny.train, 0)

    def patches(images):
        whole = images[0, 0].unfold(0, PATCH, PATCH).unfold(1, PATCH, PATCH)
        return sorted(map(tuple, whole.reshape(-1, PATCH * PATCH).tolist()))

    assert patches(worse.images) == patches(base.images)
    half = CORRUPTIONS["shuffled patches"](base, 0.5, tiny.train, 0)
    kept = (half.images == base.images).float().mean()
    assert 0.4 < kept < 0.9


def test_dropped_modes_are_the_ends_of_the_volume(base, tiny):
    worse = CORRUPTIONS["dropped modes"](base, 1.0, tiny.train, 0)
    assert (worse.positions - 0.5).abs().max() < 0.1
    assert len(torch.unique(worse.images, dim=0)) < len(base.images)


def test_copies_are_training_slices(base, tiny):
    worse = CORRUPTIONS["copied training slices"](base, 1.0, tiny.train, 0)
    known = {tuple(x.flatten().tolist()) for x in tiny.train.images}
    assert all(tuple(x.flatten().tolist()) in known for x in worse.images)
