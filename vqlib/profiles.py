"""Settings as data: what the profiles ``quick`` and ``full`` stand for.

Both run the same code. ``quick`` is made for two CPU cores and minutes, ``full`` for
the real slices at their native size on a GPU; ``smoke`` takes seconds and is for tests.
The networks of ``quick`` were chosen by measurement, see ``benchmarks/network.py``.
"""

import math
from dataclasses import asdict, dataclass, fields, replace

from vqlib.errors import UserError, unknown_name

QUANTIZERS = ("ema", "gradient", "cosine", "fsq")
ESTIMATORS = ("straight_through", "rotation")
PRIORS = ("transformer", "pixelcnn")
QUANTIZER_SETTINGS = (
    *("quantizer", "gradient_estimator", "commitment_weight"),
    *("kmeans_start", "restarts", "restart_after", "fsq_levels"),
)


@dataclass(frozen=True)
class Profile:
    """Every number that a run depends on, apart from its data and its seed."""

    name: str
    # data
    size: str = "128x64"  # slice as the models see it: left–right x inferior–superior
    phantom_patients: str = "12,4,5"  # men in train, validate and test
    phantom_weeks: int = 2  # scans of each man in train; one in validate and test
    phantom_slices: int = 60  # coronal slices per volume
    # autoencoders
    grid: str = "32x16"  # code positions per slice
    codebook_size: int = 512  # K
    code_dim: int = 8  # D, channels of one code vector
    width: int = 64  # channels at the resolution of the code grid
    blocks: int = 1  # residual blocks on either side
    latent_channels: int = 8  # of the spatial VAE, at each grid position
    latent_dim: int = 64  # length of the global VAE's one latent vector
    steps: int = 1800  # of training, rounded to whole epochs
    epochs: int = 0  # passes over the train slices; 0: as many as ``steps`` takes
    batch_size: int = 4  # many small steps learn more in minutes than few large ones
    learning_rate: float = 4e-3
    ssim_weight: float = 0.1  # of 1 − SSIM beside L1, for all autoencoders
    augment: bool = False  # show them slices moved, turned, sized and shaded anew
    flip: bool = False  # and every second one mirrored, left for right
    # quantizer of the VQ-VAE
    quantizer: str = "ema"  # codebook by moving averages; gradient, cosine, or fsq
    gradient_estimator: str = "straight_through"  # past the choice of codes; rotation
    commitment_weight: float = 0.05  # β of the loss
    kmeans_start: bool = True  # of the codebook; else random
    restarts: bool = True  # of codes that nothing chooses any more
    restart_after: int = 3  # so many steps
    fsq_levels: str = "8x8x8"  # values of each channel; their product is K
    # every training, the prior's too
    weight_ema: float = 0.0  # decay of the mean weights per step; 0: no mean is kept
    patience: int = 0  # epochs without a better validation loss until it stops; 0: all
    # prior
    prior: str = "transformer"  # or pixelcnn
    prior_dropout: float = 0.1
    prior_dim: int = 96  # of the transformer, as the next two
    prior_layers: int = 3
    prior_heads: int = 4
    prior_steps: int = 1440
    prior_epochs: int = 0
    prior_batch_size: int = 4
    prior_learning_rate: float = 3e-3
    pixelcnn_dim: int = 64  # channels of the PixelCNN
    pixelcnn_layers: int = 2  # each with two vertical convolutions
    guidance: float = 2.0  # of sampling, on what the prior is told; 1: none
    # segmenter, the score card's instrument
    segmenter_steps: int = 400
    segmenter_batch_size: int = 8
    segmenter_learning_rate: float = 5e-3
    segmenter_blur: float = 0.0  # of half of its slices, up to so many pixels

    @property
    def shape(self) -> tuple[int, int]:
        """``size`` as two numbers."""
        return parse_shape("size", self.size)

    @property
    def grid_shape(self) -> tuple[int, int]:
        """``grid`` as two numbers; raises `UserError` where ``size`` does not fit."""
        grid, shape = parse_shape("grid", self.grid), self.shape
        factors = {n / g for n, g in zip(shape, grid, strict=True)}
        factor = factors.pop()
        if factors or factor < 2 or math.log2(factor) % 1:
            raise UserError(
                f"grid {self.grid} does not fit slices of {self.size}: both sides must "
                "shrink by the same power of two; choose for example "
                f"grid {shape[0] // 4}x{shape[1] // 4}"
            )
        return grid

    @property
    def top_grid_shape(self) -> tuple[int, int]:
        """Half of ``grid``, for the top codes of a VQ-VAE-2; raises `UserError`."""
        height, width = self.grid_shape
        if height % 2 or width % 2:
            raise UserError(
                f"grid {self.grid} cannot be halved for the top codes of a VQ-VAE-2; "
                "choose an even one, or the model vqvae"
            )
        return height // 2, width // 2

    @property
    def levels(self) -> tuple[int, ...]:
        """``fsq_levels`` as numbers; raises `UserError` where they do not make K."""
        try:
            levels = tuple(int(part) for part in self.fsq_levels.lower().split("x"))
        except ValueError:
            levels = ()
        if min(levels, default=0) < 3:
            raise UserError(
                f"fsq_levels {self.fsq_levels!r} is not of the form 8x8x8, with 3 or "
                "more levels each"
            )
        if math.prod(levels) != self.codebook_size:
            raise UserError(
                f"fsq_levels {self.fsq_levels} make {math.prod(levels)} codes, but "
                f"codebook_size is {self.codebook_size}; change one of them"
            )
        return levels

    @property
    def nominal_bits(self) -> float:
        """Bits per slice of the VQ-VAE: positions x log2 K."""
        return math.prod(self.grid_shape) * math.log2(self.codebook_size)

    def training_epochs(self, slices: int) -> int:
        """Epochs of an autoencoder on so many train slices: ``epochs``, or as many as
        make up ``steps``, so that a profile costs the same on any data."""
        per_epoch = max(1, slices // self.batch_size)
        return self.epochs or max(1, round(self.steps / per_epoch))

    def prior_training_epochs(self, slices: int) -> int:
        """The same for the prior."""
        per_epoch = max(1, slices // self.prior_batch_size)
        return self.prior_epochs or max(1, round(self.prior_steps / per_epoch))

    def segmenter_training_epochs(self, slices: int) -> int:
        """The same for the segmenter."""
        per_epoch = max(1, slices // self.segmenter_batch_size)
        return max(1, round(self.segmenter_steps / per_epoch))

    def as_dict(self) -> dict:
        """All settings as plain types, for ``settings.json``."""
        return asdict(self)


def parse_shape(what: str, text: str) -> tuple[int, int]:
    """Turn ``"128x64"`` into ``(128, 64)``; raises `UserError`."""
    try:
        height, width = (int(part) for part in str(text).lower().split("x"))
    except ValueError:
        raise UserError(f"{what} {text!r} is not of the form 128x64") from None
    if min(height, width) < 1:
        raise UserError(f"{what} {text!r} must be positive")
    return height, width


_PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "quick",
            prior="pixelcnn",  # which learns more in the same minutes
            prior_steps=2520,
            segmenter_blur=2.0,
        ),
        Profile(
            "full",
            size="256x128",
            phantom_patients="32,4,3",
            phantom_weeks=5,
            grid="64x32",
            width=128,
            blocks=3,
            epochs=60,
            batch_size=64,
            learning_rate=1e-3,
            prior_dim=512,
            prior_layers=12,
            prior_heads=8,
            prior_epochs=60,
            prior_batch_size=32,
            prior_learning_rate=3e-4,
            pixelcnn_dim=192,
            pixelcnn_layers=6,
            segmenter_steps=4000,
            segmenter_batch_size=32,
            segmenter_blur=4.0,
        ),
        Profile(
            "smoke",
            size="64x32",
            phantom_patients="2,1,2",
            phantom_weeks=1,
            phantom_slices=8,
            grid="16x8",
            codebook_size=16,
            fsq_levels="4x4",
            code_dim=8,
            width=16,
            blocks=1,
            latent_channels=4,
            latent_dim=8,
            epochs=2,
            batch_size=4,
            prior_dim=16,
            prior_layers=1,
            prior_heads=2,
            prior_epochs=2,
            prior_batch_size=4,
            pixelcnn_dim=8,
            pixelcnn_layers=1,
            segmenter_steps=8,
            segmenter_batch_size=4,
            segmenter_blur=1.0,
        ),
    )
}


def get(name: str, /, **overrides) -> Profile:
    """A profile with some of its settings replaced.

    An override of ``None`` keeps the profile's value, so that a notebook can pass all
    of its parameters. Raises `UserError` for an unknown profile or setting, naming the
    nearest one, and for a value of the wrong type.
    """
    if name not in _PROFILES:
        raise unknown_name("profile", name, _PROFILES)
    profile, types = _PROFILES[name], {f.name: f.type for f in fields(Profile)}
    changes = {}
    for key, value in overrides.items():
        if key not in types or key == "name":
            raise unknown_name("setting", key, types)
        if value is None:
            continue
        if types[key] is float and type(value) is int:
            value = float(value)
        if type(value) is not types[key]:
            raise UserError(
                f"setting {key} must be {types[key].__name__}, not {value!r}"
            )
        least = 1 if types[key] is int and key != "patience" else 0
        if types[key] in (int, float) and value < least:
            raise UserError(f"setting {key} must be positive, not {value!r}")
        if key == "weight_ema" and value >= 1:
            raise UserError(f"setting {key} must be less than 1, not {value!r}")
        changes[key] = value
    profile = replace(profile, **changes)
    _refuse_what_does_not_fit(profile)
    return profile


def _refuse_what_does_not_fit(profile: Profile) -> None:
    """Raise `UserError` before any work is done."""
    _ = profile.grid_shape
    if profile.flip and not profile.augment:
        raise UserError("flip is a part of augmentation; set augment to true as well")
    if profile.quantizer not in QUANTIZERS:
        raise unknown_name("quantizer", profile.quantizer, QUANTIZERS)
    if profile.gradient_estimator not in ESTIMATORS:
        raise unknown_name("gradient_estimator", profile.gradient_estimator, ESTIMATORS)
    if profile.prior not in PRIORS:
        raise unknown_name("prior", profile.prior, PRIORS)
    if not 0 <= profile.prior_dropout < 1:
        raise UserError(
            f"prior_dropout must be at least 0 and less than 1, not "
            f"{profile.prior_dropout}"
        )
    if profile.quantizer == "fsq":
        _ = profile.levels
        if profile.gradient_estimator != "straight_through":
            raise UserError(
                "quantizer fsq rounds, it does not choose: leave gradient_estimator at "
                "straight_through"
            )
