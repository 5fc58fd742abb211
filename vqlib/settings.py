"""Every setting of a run: its range and what it means.

Settings are grouped by what they belong to: ``profile.autoencoder.codebook_size``. On
the command line, in a notebook's parameters and in ``settings.json`` each has a flat
name, such as ``codebook_size`` or ``prior_layers``. Every number that a user can give
is checked by `check`, before any work begins. The values of the profiles are in
`vqlib.profiles`.
"""

from dataclasses import dataclass, field, fields
from functools import partial

from vqlib.errors import UserError, unknown_name

CHOICES = {
    "quantizer": ("ema", "gradient", "cosine", "fsq"),
}
EPOCH_STEPS = 360  # at most: large data sets are validated as often as small ones


def _number(default, least, largest):
    return field(default=default, metadata={"range": (least, largest)})


_steps = partial(_number, least=1, largest=10**9)
_batch = partial(_number, least=1, largest=65536)
_rate = partial(_number, least=1e-9, largest=1.0)


@dataclass(frozen=True)
class DataSettings:
    """How slices are seen, and the phantom that stands in for them."""

    size: str = "128x64"  # slice as the models see it: left–right x inferior–superior
    phantom_patients: str = "30,4,6"  # in train, validate and test
    phantom_weeks: int = _number(2, 1, 100)  # scans of a train patient; of others one
    phantom_slices: int = _number(60, 1, 1000)  # coronal slices per volume


@dataclass(frozen=True)
class Schedule:
    """How a model is trained."""

    steps: int = _steps(1080)  # rounded to whole epochs
    epochs: int = _number(0, 1, 10**6)  # 0, a default: as many as ``steps`` takes
    batch_size: int = _batch(4)  # of all processes; small: many steps learn more
    learning_rate: float = _rate(1e-3)  # the highest, after its warm-up


@dataclass(frozen=True)
class AutoencoderSettings(Schedule):
    """The autoencoders, which share their networks and their training."""

    steps: int = _steps(1800)
    learning_rate: float = _rate(4e-3)
    grid: str = "32x16"  # code positions per slice
    codebook_size: int = _number(512, 2, 65536)  # K
    code_dim: int = _number(8, 1, 1024)  # D, channels of one code vector
    width: int = _number(64, 1, 4096)  # channels at the resolution of the code grid
    blocks: int = _number(1, 0, 100)  # residual blocks on either side
    latent_channels: int = _number(8, 1, 1024)  # of the spatial VAE, at each position
    latent_dim: int = _number(64, 1, 65536)  # of the global VAE's one latent vector
    ssim_weight: float = _number(0.1, 0.0, 100.0)  # of 1 − SSIM beside L1
    augment: bool = False  # train on slices moved, turned, sized and shaded at random
    flip: bool = False  # and on every second one mirrored, left for right


@dataclass(frozen=True)
class QuantizerSettings:
    """The quantizer of the VQ-VAE."""

    kind: str = "ema"  # codebook by moving averages; gradient, cosine, or fsq
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
class GeneratorSettings(Schedule):
    """The autoencoders whose latents priors draw: see `vqlib.models.sharp`."""

    steps: int = _steps(720)
    learning_rate: float = _rate(2e-3)
    grid: str = "16x8"  # coarser than for reconstruction: few latents, easily learned
    codebook_size: int = _number(256, 2, 65536)
    code_dim: int = _number(8, 1, 1024)
    latent_channels: int = _number(8, 1, 1024)  # of the VAE, at each position
    width: int = _number(64, 12, 4096)
    organs_first: bool = True  # condition on a label map; needs data with labels
    ssim_weight: float = _number(0.1, 0.0, 100.0)  # of 1 − SSIM beside L1
    critic_weight: float = _number(0.05, 0.0, 100.0)  # in the decoder's loss
    feature_weight: float = _number(3.0, 0.0, 100.0)  # of the critic's features
    critic_start: int = _number(100, 0, 10**9)  # steps before the critic is asked


@dataclass(frozen=True)
class MapsSettings(Schedule):
    """The VQ-VAE over label maps."""

    steps: int = _steps(1440)
    batch_size: int = _batch(8)
    learning_rate: float = _rate(2e-3)
    grid: str = "8x4"
    codebook_size: int = _number(512, 2, 65536)
    code_dim: int = _number(8, 1, 1024)
    width: int = _number(96, 1, 4096)


@dataclass(frozen=True)
class PriorSettings(Schedule):
    """The transformers over codes, of slices and of label maps."""

    batch_size: int = _batch(16)
    learning_rate: float = _rate(4e-3)
    dropout: float = _number(0.1, 0.0, 0.99)  # share of activations set to 0
    dim: int = _number(96, 1, 16384)  # channels at each code
    layers: int = _number(3, 1, 200)  # transformer blocks
    heads: int = _number(4, 1, 200)  # of attention, which share dim


@dataclass(frozen=True)
class FlowSettings(Schedule):
    """The flow over the latents of a VAE."""

    steps: int = _steps(1440)
    batch_size: int = _batch(16)
    learning_rate: float = _rate(4e-3)
    width: int = _number(48, 4, 4096)  # channels of its network


@dataclass(frozen=True)
class DetailSettings(Schedule):
    """The flow from decoded slices to slices."""

    steps: int = _steps(2160)
    batch_size: int = _batch(8)
    learning_rate: float = _rate(2e-3)
    width: int = _number(32, 4, 4096)  # channels of its network


@dataclass(frozen=True)
class SegmenterSettings(Schedule):
    """The segmenter, by which the score card finds organs in generated slices."""

    steps: int = _steps(400)
    batch_size: int = _batch(8)
    learning_rate: float = _rate(5e-3)
    blur: float = _number(2.0, 0.0, 100.0)  # of every second slice, at most, in pixels


GROUPS = {
    "data": DataSettings,
    "autoencoder": AutoencoderSettings,
    "quantizer": QuantizerSettings,
    "training": TrainingSettings,
    "generator": GeneratorSettings,
    "maps": MapsSettings,
    "prior": PriorSettings,
    "flow": FlowSettings,
    "detail": DetailSettings,
    "segmenter": SegmenterSettings,
}
PREFIXED = ("generator", "maps", "prior", "flow", "detail", "segmenter")
_EXCEPT = {"kind": "quantizer", "organs_first": "organs_first"}
FLAT = {  # flat name -> group, field
    _EXCEPT.get(f.name, f"{group}_{f.name}" if group in PREFIXED else f.name): (
        group,
        f,
    )
    for group, settings in GROUPS.items()
    for f in fields(settings)
}
RANGES = {  # every number that a user can give: the least and the largest
    **{k: f.metadata["range"] for k, (_, f) in FLAT.items() if "range" in f.metadata},
    # parameters of commands and notebooks
    "seed": (0, 2**32 - 1),
    "temperature": (0.0, 100.0),
    "guidance": (0.0, 100.0),
    "position": (0.0, 1.0),
    **dict.fromkeys(("samples", "pairs", "resamples", "shuffles"), (1, 10**6)),
}


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


def whole_numbers(name: str, text: str, form: str, least: int = 1) -> tuple[int, ...]:
    """The numbers of a setting such as ``128x64``, of the form of an example, in which
    … stands for any more. Raises `UserError`, also for numbers below ``least``.

    >>> whole_numbers("size", "128x64", "256x128")
    (128, 64)
    """
    separator = "," if "," in form else "x"
    parts = [part.strip() for part in text.lower().split(separator)]
    numbers = tuple(int(p) if p.isdecimal() and len(p) < 6 else 0 for p in parts)
    wrong = "…" not in form and len(numbers) != form.count(separator) + 1
    if wrong or min(numbers) < least:
        raise UserError(
            f"{name} {text!r} is not of the form {form}, in whole numbers from {least}"
        )
    return numbers
