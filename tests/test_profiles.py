import json
import math
from pathlib import Path

import pytest

from vqlib import profiles, settings
from vqlib.errors import UserError

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def test_flat_names_reach_the_groups():
    quick = profiles.get("quick")
    assert profiles.get("quick", epochs=None, grid=None) == quick
    changed = profiles.get("quick", epochs=3, learning_rate=1, prior_heads=2)
    assert (changed.autoencoder.epochs, changed.autoencoder.learning_rate) == (3, 1.0)
    assert changed.prior.heads == 2
    changes = {"epochs": 3, "learning_rate": 1.0, "prior_heads": 2}
    assert changed.as_dict() == quick.as_dict() | changes


def test_every_number_has_a_range():
    """Of settings, and of the parameters of notebooks."""
    numbers = {
        k for k, v in profiles.get("quick").as_dict().items() if type(v) in (int, float)
    }
    for path in NOTEBOOKS.glob("0*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for line in next(c for c in cells if c["cell_type"] == "code")["source"]:
            name, _, kind = line.split(" = ")[0].partition(": ")
            numbers |= {name} if kind in ("int", "float") else set()
    assert numbers <= settings.RANGES.keys()
    for name in numbers:
        kind = type(settings.RANGES[name][0])
        for wrong in (math.nan, math.inf, -math.inf, -1, 10**12, "1", True, [1]):
            with pytest.raises(UserError, match=f"^{name} must be"):
                settings.check(name, kind(wrong) if type(wrong) is int else wrong)


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


@pytest.mark.parametrize("name", ["quick", "full", "smoke"])
def test_every_profile_is_consistent(name):
    profile = profiles.get(name, quantizer="fsq")
    assert profile.factor in (2, 4, 8)
    for key, value in profiles.get(name).as_dict().items():
        if key != "name" and not (key.endswith("epochs") and value == 0):
            assert settings.check(key, value) == value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, "unknown setting 'epoch'; did you mean 'epochs'"),
        ({"name": "x"}, "unknown setting 'name'"),
        ({"epochs": "3"}, "epochs must be int"),
        ({"epochs": 3, "steps": 4}, "steps and epochs were both given; leave one out"),
        ({"augment": 1}, "augment must be bool"),
        ({"flip": True}, "set augment to true as well"),
        ({"size": "16x8", "grid": "4x2"}, "size 16x8 is out of range: sides of 16 to"),
        ({"grid": "32"}, "grid '32' is not of the form"),
        ({"grid": "32x32"}, "grid 32x32 does not fit slices of 128x64"),
        ({"phantom_patients": "1,2"}, "not three whole numbers"),
        ({"quantizer": "gradiant"}, "'gradiant'; did you mean 'gradient'"),
        ({"prior_heads": 5}, "5 prior_heads cannot share prior_dim 128 evenly"),
        ({"quantizer": "fsq", "codebook_size": 64}, "8x8x8 make 512 codes"),
        ({"quantizer": "fsq", "fsq_levels": "8,8,8"}, "not of the form"),
        ({"quantizer": "fsq", "fsq_levels": "256x2"}, "3 or more levels"),
        (
            {"quantizer": "fsq", "gradient_estimator": "rotation"},
            "leave gradient_estimator at straight_through",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes, message):
    with pytest.raises(UserError, match=message) as fault:
        profiles.get("quick", **changes)
    assert "\n" not in str(fault.value)
    with pytest.raises(UserError, match="unknown profile 'quik'; did you mean 'quick'"):
        profiles.get("quik")
