"""The networks: autoencoders, quantizers, and a segmenter to judge samples with.

Plain torch modules that know nothing of files, profiles or devices. Start at `vae`,
then read `quantizers` and `vqvae`.
"""
# ruff: noqa: F401

from vqlib.models.critic import Critic
from vqlib.models.fsq import FSQ
from vqlib.models.networks import Decoder, Encoder
from vqlib.models.quantizers import (
    Quantized,
    VectorQuantizer,
    nearest_codes,
    straight_through,
)
from vqlib.models.segmenter import Segmenter
from vqlib.models.sharp import SharpDecoder, SharpVAE, SharpVQVAE
from vqlib.models.vae import VAE, Autoencoder, GlobalVAE, VAEOutput, reparameterise
from vqlib.models.vqvae import VQVAE, VQVAEOutput
from vqlib.models.vqvae2 import VQVAE2, Codes, VQVAE2Output
