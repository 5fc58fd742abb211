"""Variational autoencoders in two forms, and the plain autoencoder as their control.

`VAE` keeps a grid of latent vectors, as a VQ-VAE does; `GlobalVAE` is the textbook's
form, one vector for the whole slice. Both follow Kingma & Welling 2014 (arXiv
1312.6114): the encoder gives mean and log-variance of q(z|x), z is drawn from it
(eq. 4), the decoder maps z back. What trains them differs: the textbook's VAE maximises
its evidence bound (`vqlib.losses.ELBOObjective`), the spatial one is held at the rate
of the VQ-VAE that it is compared with (`vqlib.losses.RateConstrainedObjective`).
Taught in notebook 02.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqlib.models.networks import Decoder, Encoder, Model, check_parts, check_size

_GLOBAL_CHANNELS = 8  # on the grid, before the one vector of the textbook's VAE


class VAEOutput(NamedTuple):
    """What a VAE returns."""

    reconstruction: Tensor  # [B, 1, H, W]
    mu: Tensor  # [B, L] or [B, L, h, w]
    logvar: Tensor  # the same shape


def reparameterise(mu: Tensor, logvar: Tensor) -> Tensor:
    """z = μ + σ·ε with ε ~ N(0, I): a draw from q(z|x) that gradients pass through."""
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


class VAE(Model):
    """VAE whose latent is a grid of vectors, [L, h, w].

    Trained by `vqlib.losses.RateConstrainedObjective`: the least distortion at a chosen
    KL, in place of the evidence bound with a weight β chosen by hand.

    Args:
        latent_channels: L.
        factor, width, blocks: of encoder and decoder, see `networks.Encoder`.
        in_channels: of the slices, in and out.
        encoder, decoder: ready parts in place of those that the numbers describe; 2 L
            channels out of the one and L into the other.

    Raises:
        UserError: for parts that do not fit each other.

    >>> import torch
    >>> out = VAE(latent_channels=8, factor=4)(torch.rand(2, 1, 64, 32))
    >>> out.reconstruction.shape, out.mu.shape
    (torch.Size([2, 1, 64, 32]), torch.Size([2, 8, 16, 8]))
    """

    def __init__(
        self,
        latent_channels: int = 8,
        factor: int = 4,
        width: int = 64,
        blocks: int = 1,
        in_channels: int = 1,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ):
        super().__init__()
        n = latent_channels
        self.encoder = encoder or Encoder(factor, 2 * n, width, blocks, in_channels)
        self.decoder = decoder or Decoder(factor, n, width, blocks, in_channels)
        check_parts(self.encoder, self.decoder, 2 * n, n)

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


class GlobalVAE(VAE):
    """The textbook's VAE: one latent vector [L] for the whole slice.

    Trained by `vqlib.losses.ELBOObjective`.

    Args:
        latent_dim: L.
        size: (H, W) of the slices.
        factor, width, blocks, in_channels: see `VAE`.

    Raises:
        UserError: for a size that the factor does not divide.

    >>> import torch
    >>> model = GlobalVAE(latent_dim=64, size=(64, 32))
    >>> mu, logvar = model.encode(torch.rand(2, 1, 64, 32))
    >>> mu.shape, model.decode(mu).shape
    (torch.Size([2, 64]), torch.Size([2, 1, 64, 32]))
    """

    def __init__(
        self,
        latent_dim: int = 64,
        size: tuple[int, int] = (128, 64),
        factor: int = 4,
        width: int = 64,
        blocks: int = 1,
        in_channels: int = 1,
    ):
        super(VAE, self).__init__()  # with networks of its own
        channels = _GLOBAL_CHANNELS
        self.encoder = Encoder(factor, channels, width, blocks, in_channels)
        self.decoder = Decoder(factor, channels, width, blocks, in_channels)
        check_size(size, factor)
        shape = (channels, *(side // factor for side in size))
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


class Autoencoder(Model):
    """The same encoder and decoder with nothing in between: what the networks can do
    when the rate is not limited. A control, not a generative model.

    Trained by `vqlib.losses.AutoencoderObjective`.

    Args:
        dim: channels on the grid.
        factor, width, blocks, in_channels, encoder, decoder: see `VAE`.

    >>> import torch
    >>> Autoencoder(dim=8, factor=4)(torch.rand(2, 1, 64, 32)).shape
    torch.Size([2, 1, 64, 32])
    """

    def __init__(
        self,
        dim: int = 8,
        factor: int = 4,
        width: int = 64,
        blocks: int = 1,
        in_channels: int = 1,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ):
        super().__init__()
        self.encoder = encoder or Encoder(factor, dim, width, blocks, in_channels)
        self.decoder = decoder or Decoder(factor, dim, width, blocks, in_channels)
        check_parts(self.encoder, self.decoder, dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    reconstruct = forward
