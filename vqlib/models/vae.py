"""Variational autoencoders in two forms, and the plain autoencoder as their control.

`SpatialVAE` keeps a grid of latent vectors, as a VQ-VAE does; `GlobalVAE` is the
textbook's form, one vector for the whole slice. Both follow Kingma & Welling 2014
(arXiv 1312.6114): the encoder gives mean and log-variance of q(z|x), z is drawn from it
(eq. 4), the decoder maps z back. Their objectives are in `vqlib.losses`.
Taught in notebook 02.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqlib.models.networks import Decoder, Encoder


class VAEOutput(NamedTuple):
    """What a VAE returns."""

    reconstruction: Tensor  # [B, 1, H, W]
    mu: Tensor  # [B, L] or [B, L, h, w]
    logvar: Tensor  # the same shape


def reparameterise(mu: Tensor, logvar: Tensor) -> Tensor:
    """z = μ + σ·ε with ε ~ N(0, I): a draw from q(z|x) that gradients pass through."""
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


class SpatialVAE(nn.Module):
    """VAE whose latent is a grid of vectors [L, h, w].

    Args:
        encoder: gives 2 L channels, mean and log-variance.
        decoder: takes L channels.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 1, H, W] -> mean and log-variance, each [B, L, h, w]."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        # Training starts at σ ≈ 0.2: with σ ≈ 1 the decoder sees noise for a long while
        # and learns to do without z. The clamp keeps exp() within float16.
        return mu, (logvar - 3).clamp(-14, 4)

    def decode(self, z: Tensor) -> Tensor:
        """[B, L, h, w] -> [B, 1, H, W]."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> VAEOutput:
        mu, logvar = self.encode(x)
        return VAEOutput(self.decode(reparameterise(mu, logvar)), mu, logvar)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode a *draw* from q(z|x): the KL counts the bits of the draw, while the
        mean of q would carry more than the stated rate."""
        return self(x).reconstruction


class GlobalVAE(SpatialVAE):
    """The textbook's VAE: one latent vector [L] for the whole slice.

    Args:
        encoder: gives C channels on the grid.
        decoder: takes C channels on the grid.
        channels: C.
        grid: (h, w).
        latent_dim: L.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        channels: int,
        grid: tuple[int, int],
        latent_dim: int,
    ):
        super().__init__(encoder, decoder)
        shape = (channels, *grid)
        features = math.prod(shape)
        self.to_latent = nn.Sequential(
            nn.Flatten(), nn.Linear(features, 2 * latent_dim)
        )
        self.from_latent = nn.Sequential(
            nn.Linear(latent_dim, features), nn.Unflatten(1, shape)
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 1, H, W] -> mean and log-variance, each [B, L]."""
        mu, logvar = self.to_latent(self.encoder(x)).chunk(2, dim=1)
        return mu, logvar.clamp(-14, 4)

    def decode(self, z: Tensor) -> Tensor:
        """[B, L] -> [B, 1, H, W]."""
        return self.decoder(self.from_latent(z))


class Autoencoder(nn.Module):
    """The same encoder and decoder with nothing in between: what the networks can do
    when the rate is not limited. A control, not a generative model."""

    def __init__(self, encoder: Encoder, decoder: Decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    reconstruct = forward
