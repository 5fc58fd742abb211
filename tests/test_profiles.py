import pytest

from vqlib import profiles
from vqlib.errors import UserError


def test_overrides_of_none_keep_the_profile():
    quick = profiles.get("quick")
    assert profiles.get("quick", epochs=None, grid=None) == quick
    changed = profiles.get("quick", epochs=3, learning_rate=1)
    assert (changed.epochs, changed.learning_rate) == (3, 1.0)
    assert changed.as_dict() == quick.as_dict() | {"epochs": 3, "learning_rate": 1.0}


def test_early_stop_can_be_switched_off():
    assert profiles.get("full", patience=0).patience == 0


def test_nominal_bits_are_positions_times_log2_k():
    settings = profiles.get("quick", grid="32x16", codebook_size=512)
    assert settings.nominal_bits == 512 * 9
    assert settings.grid_shape == (32, 16)
    assert settings.shape == (128, 64)


def test_steps_become_whole_epochs_unless_epochs_are_given():
    settings = profiles.get("quick", steps=100, batch_size=10, prior_epochs=3)
    assert settings.training_epochs(slices=250) == 4
    assert settings.training_epochs(slices=100_000) == 1
    assert settings.prior_training_epochs(slices=250) == 3
    assert profiles.get("quick", epochs=7).training_epochs(slices=250) == 7


def test_levels_are_looked_at_only_where_they_matter():
    assert profiles.get("quick", quantizer="fsq").levels == (8, 8, 8)
    assert profiles.get("quick", codebook_size=64).codebook_size == 64


@pytest.mark.parametrize("name", ["quick", "full", "smoke"])
def test_every_profile_is_consistent(name):
    _ = profiles.get(name, quantizer="fsq")
    settings = profiles.get(name)
    assert settings.shape[0] // settings.grid_shape[0] in (2, 4, 8)
    assert settings.prior_dim % settings.prior_heads == 0


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("quik", {}, "unknown profile 'quik'; did you mean 'quick'"),
        ("quick", {"epoch": 3}, "unknown setting 'epoch'; did you mean 'epochs'"),
        ("quick", {"epochs": "3"}, "epochs must be int"),
        ("quick", {"patience": -1}, "patience must be positive"),
        ("quick", {"weight_ema": 1.0}, "weight_ema must be less than 1"),
        ("quick", {"augment": 1}, "augment must be bool"),
        ("quick", {"flip": True}, "set augment to true as well"),
        ("quick", {"epochs": True}, "epochs must be int"),
        ("quick", {"epochs": 0}, "epochs must be positive"),
        ("quick", {"learning_rate": "1e-3"}, "learning_rate must be float"),
        ("quick", {"grid": "32"}, "grid '32' is not of the form"),
        ("quick", {"grid": "0x16"}, "must be positive"),
        ("quick", {"grid": "32x32"}, "grid 32x32 does not fit slices of 128x64"),
        ("quick", {"grid": "30x15"}, "does not fit"),
        ("quick", {"grid": "128x64"}, "does not fit"),
        ("quick", {"quantizer": "gradiant"}, "'gradiant'; did you mean 'gradient'"),
        ("quick", {"gradient_estimator": "rotate"}, "did you mean 'rotation'"),
        ("quick", {"prior": "pixelcn"}, "unknown prior 'pixelcn'; did you mean"),
        ("quick", {"prior_dropout": 1.0}, "prior_dropout must be .* less than 1"),
        ("quick", {"restarts": 0}, "restarts must be bool"),
        ("quick", {"quantizer": "fsq", "codebook_size": 64}, "8x8x8 make 512 codes"),
        ("quick", {"quantizer": "fsq", "fsq_levels": "8,8,8"}, "not of the form"),
        ("quick", {"quantizer": "fsq", "fsq_levels": "256x2"}, "3 or more levels"),
        (
            "quick",
            {"quantizer": "fsq", "gradient_estimator": "rotation"},
            "leave gradient_estimator at straight_through",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name, overrides, message):
    with pytest.raises(UserError, match=message) as fault:
        profiles.get(name, **overrides)
    assert "\n" not in str(fault.value)
