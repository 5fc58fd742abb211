import json
import math

import pytest
from commands import NOTEBOOKS, text
from slice_files import refusal

from vqlib import profiles, settings


def test_flat_names_reach_the_groups():
    quick = profiles.get("quick")
    assert profiles.get("quick", epochs=None, grid=None) == quick
    changed = profiles.get("quick", epochs=3, learning_rate=1, prior_heads=2)
    assert (changed.autoencoder.epochs, changed.autoencoder.learning_rate) == (3, 1.0)
    assert changed.prior.heads == 2
    changes = {"epochs": 3, "learning_rate": 1.0, "prior_heads": 2}
    assert changed.as_dict() == quick.as_dict() | changes


def given(name, value):
    """A setting, or a parameter that notebooks alone have."""
    if name in settings.FLAT:
        profiles.get("quick", **{name: value})
    else:
        settings.check(name, value)


def test_every_number_has_a_range():
    """Of settings, and of the parameters of notebooks."""
    numbers = {
        k for k, v in profiles.get("quick").as_dict().items() if type(v) in (int, float)
    }
    for path in NOTEBOOKS:
        cells = json.loads(text(path))["cells"]
        for line in next(c for c in cells if c["cell_type"] == "code")["source"]:
            name, _, kind = line.split(" = ")[0].partition(": ")
            numbers |= {name} if kind in ("int", "float") else set()
    assert numbers <= settings.RANGES.keys()
    for name in numbers:
        low, high = settings.RANGES[name]
        beyond = (low - (1 if type(low) is int else 1e-12), high + 1)
        for wrong in (*beyond, math.nan, math.inf, -math.inf, "1", True, [1]):
            refusal(given, name, wrong, match=f"^{name} must be")


def test_shapes_are_numbers():
    profile = profiles.get("quick", grid="32x16", codebook_size=512)
    assert profile.nominal_bits == 512 * 9
    assert (profile.grid_shape, profile.factor) == ((32, 16), 4)
    assert (profile.shape, profile.top_grid_shape) == ((128, 64), (16, 8))


def test_steps_become_whole_epochs_unless_epochs_are_given():
    profile = profiles.get("quick", steps=100, batch_size=10, prior_epochs=3)
    assert profile.training_epochs(slices=250) == 4
    assert profile.training_epochs(slices=100_000) == 1
    long = profiles.get("quick", steps=1440, batch_size=4)  # epochs of 360 steps
    assert long.training_epochs(slices=100_000) == 4
    assert profile.training_epochs(250, "prior") == 3
    assert profiles.get("quick", epochs=7).training_epochs(slices=250) == 7
    smoke = profiles.get("smoke", steps=8, prior_steps=12)  # it has epochs of its own
    assert (smoke.training_epochs(8), smoke.training_epochs(8, "prior")) == (4, 6)


@pytest.mark.parametrize("name", ["quick", "full", "smoke"])
def test_every_profile_is_consistent(name):
    profile = profiles.get(name, quantizer="fsq")
    assert profile.factor in (2, 4, 8)
    for key, value in profiles.get(name).as_dict().items():
        if key != "name" and not (key.endswith("epochs") and value == 0):
            assert settings.check(key, value) == value
