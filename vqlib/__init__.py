"""vqlib: VAE and VQ-VAE as generative models of medical images.

What a researcher imports is here by name, and loaded when it is first asked for. Read
the modules in the order of the notebooks that teach them: ``data`` (01), ``models.vae``
and ``losses`` (02), ``models.quantizers``, ``models.vqvae`` and ``training`` (03),
``priors`` (05); `Experiment` holds them together.
"""

from importlib import import_module

__version__ = "1.0.0rc1"
_HOME = {
    "vqlib.data": "Augment SliceDataset open_data",
    "vqlib.errors": "UserError",
    "vqlib.experiment": "Experiment",
    "vqlib.generator": "Generator sample",
    "vqlib.losses": "ELBOObjective RateConstrainedObjective VQVAEObjective",
    "vqlib.metrics": "patient_bootstrap score",
    "vqlib.models": (
        "FSQ VAE VQVAE VQVAE2 Autoencoder Decoder Encoder GlobalVAE SharpVAE "
        "SharpVQVAE VectorQuantizer"
    ),
    "vqlib.priors": "LatentFlow TransformerPrior",
    "vqlib.training": "FitSettings fit make_fabric",
}
_MODULES = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = ["__version__", *_MODULES]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
