"""Profiles: the settings of ``quick``, ``standard`` and ``full``, as data.

All run the same code. ``quick`` is made for two CPU cores and minutes, ``standard`` for
two cores and hours, ``full`` for the real slices at their native size on a GPU;
``smoke`` takes seconds and is for tests.
The networks of ``quick`` were chosen by measurement, see ``benchmarks/network.py``.
"""

import math
from dataclasses import dataclass, field, replace

from vqlib.errors import UserError, unknown_name
from vqlib.settings import (
    EPOCH_STEPS,
    FLAT,
    AutoencoderSettings,
    DataSettings,
    FlowSettings,
    GeneratorSettings,
    MapsSettings,
    PriorSettings,
    QuantizerSettings,
    SegmenterSettings,
    TrainingSettings,
    check,
    fsq_levels,
    parse_shape,
    refuse_what_does_not_fit,
)

__all__ = ["FLAT", "Profile", "check", "get", "parse_shape"]
_EITHER = {
    f"{prefix}steps": f"{prefix}epochs"
    for prefix in ("", "generator_", "maps_", "prior_", "flow_", "segmenter_")
}


@dataclass(frozen=True)
class Profile:
    """Every setting that a run depends on, apart from its data and its seed."""

    name: str
    data: DataSettings = field(default_factory=DataSettings)
    autoencoder: AutoencoderSettings = field(default_factory=AutoencoderSettings)
    quantizer: QuantizerSettings = field(default_factory=QuantizerSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    maps: MapsSettings = field(default_factory=MapsSettings)
    prior: PriorSettings = field(default_factory=PriorSettings)
    flow: FlowSettings = field(default_factory=FlowSettings)
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)

    @property
    def shape(self) -> tuple[int, int]:
        """``size`` as two numbers, (H, W)."""
        return parse_shape("size", self.data.size)

    @property
    def grid_shape(self) -> tuple[int, int]:
        """``grid`` as two numbers, (h, w)."""
        return parse_shape("grid", self.autoencoder.grid)

    @property
    def factor(self) -> int:
        """Pixels per grid position along each axis."""
        return self.shape[0] // self.grid_shape[0]

    def grid_of(self, part: str) -> tuple[int, int]:
        """The grid of "generator" or "maps" as two numbers, (h, w)."""
        return parse_shape(f"{part}_grid", getattr(self, part).grid)

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
        return fsq_levels(self.quantizer.fsq_levels, self.autoencoder.codebook_size)

    @property
    def nominal_bits(self) -> float:
        """Bits per slice of the VQ-VAE: positions x log2 K."""
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
        for steps, epochs in _EITHER.items():
            if steps in given and epochs in given:
                raise UserError(f"{steps} and {epochs} were both given; leave one out")
            if steps in given:
                given[epochs] = 0
        profile = self
        for name, value in given.items():
            group, setting = FLAT[name]
            changed = replace(getattr(profile, group), **{setting.name: value})
            profile = replace(profile, **{group: changed})
        refuse_what_does_not_fit(profile)
        return profile

    def __getattr__(self, name: str):
        """A setting by its flat name."""
        if name not in FLAT:
            raise AttributeError(f"a profile has no setting {name!r}")
        group, setting = FLAT[name]
        return getattr(getattr(self, group), setting.name)


_QUICK = Profile("quick", segmenter=SegmenterSettings(blur=2.0))
_STANDARD = Profile(
    "standard",
    DataSettings(phantom_patients="120,6,10", phantom_weeks=1),
    AutoencoderSettings(steps=7200),
    generator=GeneratorSettings(
        width=96,
        critic_weight=0.02,
        feature_weight=1.0,
        critic_start=1500,
        steps=8640,
        learning_rate=1e-3,
    ),
    maps=MapsSettings(steps=7200),
    prior=PriorSettings(dim=128, layers=4, steps=3960),
    flow=FlowSettings(width=64, steps=7200),
    segmenter=SegmenterSettings(steps=720, blur=2.0),
)
_FULL = Profile(
    "full",
    DataSettings("256x128", "32,4,3", phantom_weeks=5),
    AutoencoderSettings(
        grid="64x32", width=128, blocks=3, epochs=60, batch_size=64, learning_rate=1e-3
    ),
    generator=GeneratorSettings(
        grid="32x16",
        codebook_size=512,
        width=256,
        critic_start=2000,
        epochs=150,
        batch_size=32,
        learning_rate=5e-4,
    ),
    maps=MapsSettings(grid="16x8", width=128, epochs=150, batch_size=32),
    prior=PriorSettings(
        dim=512, layers=12, heads=8, epochs=120, batch_size=32, learning_rate=3e-4
    ),
    flow=FlowSettings(width=128, epochs=300, batch_size=32, learning_rate=1e-3),
    segmenter=SegmenterSettings(steps=4000, batch_size=32, blur=4.0),
)
_SMOKE = Profile(
    "smoke",
    DataSettings("64x32", "2,1,2", phantom_weeks=1, phantom_slices=8),
    AutoencoderSettings(
        grid="16x8",
        codebook_size=16,
        width=16,
        latent_channels=4,
        latent_dim=8,
        epochs=2,
    ),
    QuantizerSettings(fsq_levels="4x4"),
    generator=GeneratorSettings(
        grid="8x4",
        codebook_size=16,
        width=24,
        latent_channels=4,
        critic_start=4,
        epochs=2,
    ),
    maps=MapsSettings(grid="4x2", codebook_size=16, width=16, epochs=2),
    prior=PriorSettings(dim=16, layers=1, heads=2, epochs=2, batch_size=4),
    flow=FlowSettings(width=8, epochs=2, batch_size=4),
    segmenter=SegmenterSettings(steps=8, batch_size=4, blur=1.0),
)
_PROFILES = {profile.name: profile for profile in (_QUICK, _STANDARD, _FULL, _SMOKE)}


def get(name: str, /, **changes) -> Profile:
    """A profile by its name, with some of its settings replaced by their flat names:
    see `Profile.changed`.

    >>> get("quick", codebook_size=64).autoencoder.codebook_size
    64
    """
    if name not in _PROFILES:
        raise unknown_name("profile", str(name), _PROFILES)
    return _PROFILES[name].changed(**changes)
