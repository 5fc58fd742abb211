"""Every setting of a run: its default, its range and what it means.

Settings are grouped by what they belong to: ``profile.autoencoder.codebook_size``. On
the command line, in a notebook's parameters and in ``settings.json`` each has a flat
name, such as ``codebook_size`` or ``prior_layers``. Every number that a user can give
is checked by `check`, before any work begins. The values that belong together are in
`vqlib.profiles`.
"""

import math
from dataclasses import dataclass, field, fields

from vqlib.errors import UserError, unknown_name

QUANTIZERS = ("ema", "gradient", "cosine", "fsq")
ESTIMATORS = ("straight_through", "rotation")
EPOCH_STEPS = 360  # at most: large data sets are validated as often as small ones
SIDES = (16, 2048)  # of slices, pixels: SSIM's window takes 11, the segmenter halves


def _number(default, least, largest):
    return field(default=default, metadata={"range": (least, largest)})


@dataclass(frozen=True)
class DataSettings:
    """How slices are seen, and the phantom that stands in for them."""

    size: str = "128x64"  # slice as the models see it: left–right x inferior–superior
    phantom_patients: str = "30,4,6"  # in train, validate and test
    phantom_weeks: int = _number(2, 1, 100)  # scans of a train patient; of others one
    phantom_slices: int = _number(60, 1, 1000)  # coronal slices per volume


@dataclass(frozen=True)
class AutoencoderSettings:
    """The autoencoders, which share their networks and their training."""

    grid: str = "32x16"  # code positions per slice
    codebook_size: int = _number(512, 2, 65536)  # K
    code_dim: int = _number(8, 1, 1024)  # D, channels of one code vector
    width: int = _number(64, 1, 4096)  # channels at the resolution of the code grid
    blocks: int = _number(1, 0, 100)  # residual blocks on either side
    latent_channels: int = _number(8, 1, 1024)  # of the spatial VAE, at each position
    latent_dim: int = _number(64, 1, 65536)  # of the global VAE's one latent vector
    steps: int = _number(1800, 1, 10**9)  # of training, rounded to whole epochs
    epochs: int = _number(0, 1, 10**6)  # 0, a default: as many as ``steps`` takes
    batch_size: int = _number(4, 1, 65536)  # small: in minutes, many steps learn more
    learning_rate: float = _number(4e-3, 1e-9, 1.0)
    ssim_weight: float = _number(0.1, 0.0, 100.0)  # of 1 − SSIM beside L1
    augment: bool = False  # train on slices moved, turned, sized and shaded at random
    flip: bool = False  # and on every second one mirrored, left for right


@dataclass(frozen=True)
class QuantizerSettings:
    """The quantizer of the VQ-VAE."""

    kind: str = "ema"  # codebook by moving averages; gradient, cosine, or fsq
    gradient_estimator: str = "straight_through"  # past the choice of codes; rotation
    commitment_weight: float = _number(0.05, 0.0, 100.0)  # of the loss
    kmeans_start: bool = True  # of the codebook; else random
    restarts: bool = True  # of codes that are no longer chosen
    restart_after: int = _number(3, 1, 10**6)  # so many steps
    fsq_levels: str = "8x8x8"  # values of each channel; their product is K


@dataclass(frozen=True)
class TrainingSettings:
    """What the trainings of autoencoders and priors have in common."""

    weight_ema: float = _number(0.0, 0.0, 0.99999)  # decay of mean weights; 0: no mean
    patience: int = _number(0, 0, 10**6)  # epochs without improvement; 0: never stop


@dataclass(frozen=True)
class GeneratorSettings:
    """The autoencoders whose latents priors draw: see `vqlib.models.sharp`."""

    grid: str = "16x8"  # coarser than for reconstruction: few latents, easily learned
    codebook_size: int = _number(256, 2, 65536)
    code_dim: int = _number(8, 1, 1024)
    latent_channels: int = _number(8, 1, 1024)  # of the VAE, at each position
    width: int = _number(64, 12, 4096)
    organs_first: bool = True  # condition on a label map; needs data with labels
    critic_weight: float = _number(0.05, 0.0, 100.0)
    feature_weight: float = _number(3.0, 0.0, 100.0)  # of the critic's features
    critic_start: int = _number(100, 0, 10**9)  # steps before the critic is asked
    steps: int = _number(720, 1, 10**9)
    epochs: int = _number(0, 1, 10**6)
    batch_size: int = _number(4, 1, 65536)
    learning_rate: float = _number(2e-3, 1e-9, 1.0)


@dataclass(frozen=True)
class MapsSettings:
    """The VQ-VAE over label maps."""

    grid: str = "8x4"
    codebook_size: int = _number(512, 2, 65536)
    code_dim: int = _number(8, 1, 1024)
    width: int = _number(96, 1, 4096)
    steps: int = _number(1440, 1, 10**9)
    epochs: int = _number(0, 1, 10**6)
    batch_size: int = _number(8, 1, 65536)
    learning_rate: float = _number(2e-3, 1e-9, 1.0)


@dataclass(frozen=True)
class PriorSettings:
    """The transformers over codes, of slices and of label maps."""

    dropout: float = _number(0.1, 0.0, 0.99)
    dim: int = _number(96, 1, 16384)
    layers: int = _number(3, 1, 200)
    heads: int = _number(4, 1, 200)
    steps: int = _number(1080, 1, 10**9)
    epochs: int = _number(0, 1, 10**6)
    batch_size: int = _number(16, 1, 65536)
    learning_rate: float = _number(1e-3, 1e-9, 1.0)


@dataclass(frozen=True)
class FlowSettings:
    """The flow over the latents of a VAE."""

    width: int = _number(48, 4, 4096)
    steps: int = _number(1440, 1, 10**9)
    epochs: int = _number(0, 1, 10**6)
    batch_size: int = _number(16, 1, 65536)
    learning_rate: float = _number(1.5e-3, 1e-9, 1.0)


@dataclass(frozen=True)
class SegmenterSettings:
    """The segmenter, by which the score card finds organs in generated slices."""

    steps: int = _number(400, 1, 10**9)
    epochs: int = _number(0, 1, 10**6)
    batch_size: int = _number(8, 1, 65536)
    learning_rate: float = _number(5e-3, 1e-9, 1.0)
    blur: float = _number(0.0, 0.0, 100.0)  # of every second slice, at most, in pixels


GROUPS = {
    "data": DataSettings,
    "autoencoder": AutoencoderSettings,
    "quantizer": QuantizerSettings,
    "training": TrainingSettings,
    "generator": GeneratorSettings,
    "maps": MapsSettings,
    "prior": PriorSettings,
    "flow": FlowSettings,
    "segmenter": SegmenterSettings,
}
_EXCEPT = {"kind": "quantizer", "organs_first": "organs_first"}
_PREFIXED = ("generator", "maps", "prior", "flow", "segmenter")
FLAT = {}  # flat name -> group, field
for _group, _class in GROUPS.items():
    _prefix = f"{_group}_" if _group in _PREFIXED else ""
    for _field in fields(_class):
        FLAT[_EXCEPT.get(_field.name, _prefix + _field.name)] = (_group, _field)
RANGES = {  # every number that a user can give: the least and the largest
    **{k: f.metadata["range"] for k, (_, f) in FLAT.items() if "range" in f.metadata},
    # parameters of commands and notebooks
    "seed": (0, 2**32 - 1),
    "temperature": (0.0, 100.0),
    "guidance": (0.0, 100.0),
    "position": (0.0, 1.0),
    **dict.fromkeys(("samples", "pairs", "resamples", "shuffles"), (1, 10**6)),
}
CHOICES = {"quantizer": QUANTIZERS, "gradient_estimator": ESTIMATORS}


def check(name: str, value):
    """A setting or parameter that the user gave, if it is of the right type and within
    its range; a whole number may stand for a fraction. Raises `UserError`.

    >>> check("temperature", 1)
    1.0
    """
    if name not in FLAT and name not in RANGES:
        raise unknown_name("setting", name, FLAT)
    low, high = RANGES.get(name, (None, None))
    kind = type(FLAT[name][1].default if name in FLAT else low)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise UserError(f"{name} must be {kind.__name__}, not {value!r}")
    if low is not None and not low <= value <= high:  # nan is in no range
        raise UserError(f"{name} must be from {low:.10g} to {high:.10g}, not {value!r}")
    if name in CHOICES and value not in CHOICES[name]:
        raise unknown_name(name, value, CHOICES[name])
    return value


def parse_shape(what: str, text: str) -> tuple[int, int]:
    """Turn ``"128x64"`` into ``(128, 64)``; raises `UserError`."""
    numbers = tuple(_whole_numbers(str(text), "x"))
    if len(numbers) != 2 or min(numbers) < 1:
        raise UserError(f"{what} {text!r} is not of the form 128x64")
    return numbers


def fsq_levels(text: str, codebook_size: int) -> tuple[int, ...]:
    """Turn ``"8x8x8"`` into ``(8, 8, 8)``; raises `UserError` where they are not as
    many codes as the codebook has."""
    levels = tuple(_whole_numbers(text, "x"))
    if min(levels) < 3:
        raise UserError(
            f"fsq_levels {text!r} is not of the form 8x8x8, with 3 or more levels each"
        )
    if (codes := math.prod(levels)) != codebook_size:
        raise UserError(
            f"fsq_levels {text} make {codes} codes, but codebook_size is "
            f"{codebook_size}; change one of them"
        )
    return levels


def _whole_numbers(text: str, separator: str) -> list[int]:
    """The numbers of a list such as ``8x8x8``; 0 for what is none."""
    parts = [part.strip() for part in text.lower().split(separator)]
    return [int(p) if p.isdecimal() and len(p) < 6 else 0 for p in parts]


def refuse_what_does_not_fit(profile) -> None:
    """Raise `UserError` for values that are fine alone and impossible together."""
    p, (height, width), (low, high) = profile, profile.shape, SIDES
    if not low <= min(height, width) <= max(height, width) <= high:
        raise UserError(
            f"size {p.size} is out of range: sides of {low} to {high} pixels"
        )
    for name in ("grid", "generator_grid", "maps_grid"):
        h, w = parse_shape(name, grid := getattr(p, name))
        f = height // h
        if (h * f, w * f) != (height, width) or f not in (2, 4, 8, 16, 32, 64):
            raise UserError(
                f"{name} {grid} does not fit slices of {p.size}: both sides must "
                f"shrink by the same power of two; choose {height // 8}x{width // 8}"
            )
    h, w = parse_shape("generator_grid", p.generator_grid)
    if h % 4 or w % 4:
        raise UserError(
            f"generator_grid {p.generator_grid} cannot be halved twice, which the flow "
            "needs; choose multiples of 4"
        )
    patients = _whole_numbers(p.phantom_patients, ",")
    if len(patients) != 3 or min(patients) < 1:
        raise UserError(
            f"phantom_patients {p.phantom_patients!r} is not three whole numbers; give "
            "for example 16,4,5"
        )
    if p.flip and not p.augment:
        raise UserError("flip is a part of augmentation; set augment to true as well")
    if p.prior.dim % p.prior.heads:
        raise UserError(
            f"{p.prior.heads} prior_heads cannot share prior_dim {p.prior.dim} evenly; "
            "choose a multiple"
        )
    if p.quantizer.kind != "fsq":
        return
    fsq_levels(p.fsq_levels, p.codebook_size)
    if p.gradient_estimator != "straight_through":
        raise UserError(
            "quantizer fsq rounds, it does not choose: leave gradient_estimator at "
            "straight_through"
        )
