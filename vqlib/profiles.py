"""Profiles: the settings of ``quick``, ``standard`` and ``full``, as data.

All run the same code. ``quick`` is made for two CPU cores and minutes, ``standard`` for
two cores and hours, ``full`` for the real slices at their native size on a GPU;
``smoke`` takes seconds and is for tests.
The networks of ``quick`` were chosen by measurement, see
``benchmarks/results/network.json``.
"""

import math
from dataclasses import dataclass, field, replace

from vqlib import settings as s
from vqlib.errors import UserError, unknown_name
from vqlib.settings import EPOCH_STEPS, FLAT, check, whole_numbers

GRIDS = {"grid": "autoencoder", "generator_grid": "generator", "maps_grid": "maps"}
SIDES = (16, 2048)  # of slices, pixels: SSIM's window takes 11, the segmenter halves


@dataclass(frozen=True)
class Profile:
    """Every setting that a run depends on, apart from its data and its seed."""

    name: str
    data: s.DataSettings = field(default_factory=s.DataSettings)
    autoencoder: s.AutoencoderSettings = field(default_factory=s.AutoencoderSettings)
    quantizer: s.QuantizerSettings = field(default_factory=s.QuantizerSettings)
    training: s.TrainingSettings = field(default_factory=s.TrainingSettings)
    generator: s.GeneratorSettings = field(default_factory=s.GeneratorSettings)
    maps: s.MapsSettings = field(default_factory=s.MapsSettings)
    prior: s.PriorSettings = field(default_factory=s.PriorSettings)
    flow: s.FlowSettings = field(default_factory=s.FlowSettings)
    detail: s.DetailSettings = field(default_factory=s.DetailSettings)
    segmenter: s.SegmenterSettings = field(default_factory=s.SegmenterSettings)

    @property
    def shape(self) -> tuple[int, int]:
        """``size`` as two numbers, (H, W)."""
        return whole_numbers("size", self.data.size, "128x64")

    @property
    def grid_shape(self) -> tuple[int, int]:
        """``grid`` as two numbers, (h, w)."""
        return self.grid_of("autoencoder")

    @property
    def factor(self) -> int:
        """Pixels per grid position along each axis."""
        return self.shape[0] // self.grid_shape[0]

    def grid_of(self, part: str) -> tuple[int, int]:
        """The grid of "autoencoder", "generator" or "maps" as two numbers, (h, w)."""
        return whole_numbers("grid", getattr(self, part).grid, "32x16")

    @property
    def top_grid_shape(self) -> tuple[int, int]:
        """Half of ``grid``, for the top codes of a VQ-VAE-2; raises `UserError`."""
        height, width = self.grid_shape
        if height % 2 or width % 2:
            raise UserError(
                f"grid {self.autoencoder.grid} cannot be halved for the top codes of a "
                "VQ-VAE-2; choose an even one, or the model vqvae"
            )
        return height // 2, width // 2

    @property
    def levels(self) -> tuple[int, ...]:
        """``fsq_levels`` as numbers; raises `UserError` where they do not make K."""
        levels = whole_numbers("fsq_levels", self.fsq_levels, "8x8x…", 3)
        if math.prod(levels) != self.codebook_size:
            raise UserError(
                f"fsq_levels {self.fsq_levels} make {math.prod(levels)} codes, but "
                f"codebook_size is {self.codebook_size}; change one of them"
            )
        return levels

    @property
    def nominal_bits(self) -> float:
        """Bits per slice of the VQ-VAE, positions x log2 K."""
        return math.prod(self.grid_shape) * math.log2(self.autoencoder.codebook_size)

    def training_epochs(self, slices: int, part: str = "autoencoder") -> int:
        """Epochs of a training on so many slices: ``epochs``, or as many as make up
        ``steps``, so that a profile costs the same on any data. ``part`` is a
        group of settings, such as "prior"."""
        chosen = getattr(self, part)
        per_epoch = min(max(1, slices // chosen.batch_size), EPOCH_STEPS)
        return chosen.epochs or max(1, round(chosen.steps / per_epoch))

    def as_dict(self) -> dict:
        """All settings by their flat names, as plain types."""
        flat = {n: getattr(getattr(self, g), f.name) for n, (g, f) in FLAT.items()}
        return {"name": self.name} | flat

    def changed(self, **changes) -> "Profile":
        """The profile with some settings replaced, by their flat names; a change to
        ``None`` is none, so that a notebook can pass all of its parameters.

        Whoever asks for ``steps`` gets them, also where the profile has ``epochs``.
        Raises `UserError` for an unknown name, with the nearest one, for a value of the
        wrong type or out of range, and for values that do not go together.
        """
        given = {k: check(k, v) for k, v in changes.items() if v is not None}
        for steps in [name for name in given if name.endswith("steps")]:
            epochs = steps.replace("steps", "epochs")
            if epochs in given:
                raise UserError(f"{steps} and {epochs} were both given; leave one out")
            given[epochs] = 0
        profile = self
        for name, value in given.items():
            group, setting = FLAT[name]
            changed = replace(getattr(profile, group), **{setting.name: value})
            profile = replace(profile, **{group: changed})
        _refuse_what_does_not_fit(profile)
        return profile

    def __getattr__(self, name: str):
        """A setting by its flat name."""
        if name not in FLAT:
            raise AttributeError(f"a profile has no setting {name!r}")
        group, setting = FLAT[name]
        return getattr(getattr(self, group), setting.name)


def _refuse_what_does_not_fit(p: Profile) -> None:
    """Raise `UserError` for values that are fine alone and impossible together."""
    (height, width), (low, high) = p.shape, SIDES
    whole_numbers("phantom_patients", p.phantom_patients, "16,4,5")
    if p.quantizer.kind == "fsq":
        _ = p.levels  # raises where they do not make K
    faults = {
        f"size {p.size} is out of range: sides of {low} to {high} pixels": (
            not low <= min(p.shape) <= max(p.shape) <= high
        )
    }
    for name, part in GRIDS.items():
        h, w = p.grid_of(part)
        f = height // h
        faults[
            f"{name} {h}x{w} does not fit slices of {p.size}: both sides must shrink "
            f"by the same power of two; choose {height // 8}x{width // 8}"
        ] = (h * f, w * f) != p.shape or f not in (2, 4, 8, 16, 32, 64)
    faults |= {
        f"generator_grid {p.generator_grid} cannot be halved twice, which the flow "
        "needs; choose multiples of 4": any(n % 4 for n in p.grid_of("generator")),
        "flip is a part of augmentation; set augment to true as well": (
            p.flip and not p.augment
        ),
        f"{p.prior.heads} prior_heads cannot share prior_dim {p.prior.dim} evenly; "
        "choose a multiple": p.prior.dim % p.prior.heads,
    }
    for fault, found in faults.items():
        if found:
            raise UserError(fault)


def _profile(name: str, **groups: dict) -> Profile:
    """The profile quick with other values in some of its groups."""
    changed = {g: replace(getattr(_QUICK, g), **new) for g, new in groups.items()}
    return replace(_QUICK, name=name, **changed)


_QUICK = Profile("quick")
_PROFILES = {
    "quick": _QUICK,
    "standard": _profile(
        "standard",
        data=dict(phantom_patients="120,6,10", phantom_weeks=1),
        autoencoder=dict(steps=7200),
        generator=dict(width=96, ssim_weight=0.0, critic_start=500)
        | dict(steps=12960, learning_rate=1e-3),
        maps=dict(grid="16x8", codebook_size=128, steps=4320),
        prior=dict(dim=128, layers=4, steps=5760, learning_rate=3e-3),
        flow=dict(width=64, steps=7200),
        detail=dict(steps=14400),
        segmenter=dict(steps=720),
    ),
    "full": _profile(
        "full",
        data=dict(size="256x128", phantom_patients="32,4,3", phantom_weeks=5),
        autoencoder=dict(grid="64x32", width=128, blocks=3)
        | dict(epochs=60, batch_size=64, learning_rate=1e-3),
        generator=dict(grid="32x16", codebook_size=512, width=256, critic_start=2000)
        | dict(epochs=150, batch_size=32, learning_rate=5e-4),
        maps=dict(grid="16x8", width=128, epochs=150, batch_size=32),
        prior=dict(dim=512, layers=12, heads=8)
        | dict(epochs=120, batch_size=32, learning_rate=3e-4),
        flow=dict(width=128, epochs=300, batch_size=32, learning_rate=1e-3),
        detail=dict(width=96, epochs=150, batch_size=32, learning_rate=5e-4),
        segmenter=dict(steps=4000, batch_size=32, blur=4.0),
    ),
    "smoke": _profile(
        "smoke",
        data=dict(size="64x32", phantom_patients="2,1,2")
        | dict(phantom_weeks=1, phantom_slices=8),
        autoencoder=dict(grid="16x8", codebook_size=16, width=16, epochs=2)
        | dict(latent_channels=4, latent_dim=8),
        quantizer=dict(fsq_levels="4x4"),
        generator=dict(grid="8x4", codebook_size=16, width=24, epochs=2)
        | dict(latent_channels=4, critic_start=4),
        maps=dict(grid="4x2", codebook_size=16, width=16, epochs=2),
        prior=dict(dim=16, layers=1, heads=2, epochs=2, batch_size=4),
        flow=dict(width=8, epochs=2, batch_size=4),
        detail=dict(width=8, epochs=2, batch_size=4),
        segmenter=dict(steps=8, batch_size=4, blur=1.0),
    ),
}


def get(name: str, /, **changes) -> Profile:
    """A profile by its name, with some of its settings replaced by their flat names:
    see `Profile.changed`.

    >>> get("quick", codebook_size=64).autoencoder.codebook_size
    64
    """
    if name not in _PROFILES:
        raise unknown_name("profile", str(name), _PROFILES)
    return _PROFILES[name].changed(**changes)


def named_like(run: str) -> str:
    """The profile whose run has this name where none is chosen; else quick."""
    return run if run in _PROFILES else _QUICK.name


def changes(made: dict) -> dict:
    """What ``settings.json`` holds other than the profile that it names, for `get`."""
    usual = get(str(made.get("name"))).as_dict()
    found = {k: v for k, v in made.items() if v != usual.get(k, v)}
    for epochs in [name for name in found if name.endswith("epochs")]:
        if found[epochs] == 0:  # because steps were asked for
            steps = epochs.replace("epochs", "steps")
            found |= {epochs: None, steps: made.get(steps)}
    return found
