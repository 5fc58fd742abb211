"""Every objective, each with its equation, and the SSIM.

An objective is a module around a model: called with a batch, it returns the ``loss`` to
minimise and numbers worth a curve. Training (`vqlib.training.fit`) knows nothing else,
so one loop serves all models. ``ssim_weight`` is w of the `distortion`.

========================  ====================================================
model                     objective
========================  ====================================================
`GlobalVAE`               `ELBOObjective`: −ELBO
`VAE` (spatial)           `RateConstrainedObjective`: distortion at a given KL
`Autoencoder`             `AutoencoderObjective`: distortion alone
`VQVAE`, `VQVAE2`         `VQVAEObjective`: distortion + codebook + commitment
`SharpVAE`, `SharpVQVAE`  `AdversarialObjective` around one of these
`TransformerPrior`        `PriorObjective`: −log p(codes)
`LatentFlow`              `FlowObjective`: flow matching
`Segmenter`               `SegmentationObjective`: cross-entropy + 1 − Dice
========================  ====================================================

In mixed precision networks run in 16 bits, these losses in float32. Taught in notebooks
02 (ELBO, rate constraint), 03 (commitment) and 05 (negative log-likelihood).
"""
# ruff: noqa: F401

from vqlib.losses.distortion import (
    distortion,
    gaussian_nll,
    laplace_nll,
    similarity_maps,
    ssim,
)
from vqlib.losses.generation import (
    AdversarialObjective,
    FlowObjective,
    MapObjective,
    PriorObjective,
)
from vqlib.losses.reconstruction import (
    AutoencoderObjective,
    ELBOObjective,
    Losses,
    RateConstrainedObjective,
    VQVAEObjective,
    gaussian_kl,
    kl_with_free_bits,
)
from vqlib.losses.segmentation import SegmentationObjective
