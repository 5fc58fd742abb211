"""VQ-VAE-2 (Razavi et al. 2019, arXiv 1906.00446): a VQ-VAE with two maps of codes.

The top codes lie on half the grid, see the slice from further away, and are decoded
first. The bottom codes are chosen given the top ones, so that they can spend their bits
on what is missing: the detail. Slices are decoded from both (section 3.1, figure 2a).
Encoder, quantizers and decoder are those of the VQ-VAE.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqlib.models.fsq import FSQ
from vqlib.models.networks import Decoder, Encoder, Model, check_size
from vqlib.models.quantizers import VectorQuantizer


class Codes(NamedTuple):
    """The codes of both levels."""

    top: Tensor  # [B, h/2, w/2] int64
    bottom: Tensor  # [B, h, w] int64


class VQVAE2Output(NamedTuple):
    """What a VQ-VAE-2 returns; its losses are the sums over both levels."""

    reconstruction: Tensor  # [B, 1, H, W]
    codes: Codes
    commitment_loss: Tensor  # scalar
    codebook_loss: Tensor  # scalar


class VQVAE2(Model):
    """Slices in, two maps of codes in the middle, slices out.

    Trained by `vqlib.losses.VQVAEObjective`.

    Args:
        codebook_size, dim: K and D of both levels.
        factor: f, pixels per position of the bottom grid along each axis; a power of
            two. A position of the top grid covers 2 f.
        width, blocks: of all networks, see `networks.Encoder`.
        in_channels: of the slices, in and out.
        quantizer, top_quantizer: ready ones for the bottom and for the top codes, each
            with a K and D of its own.

    Raises:
        UserError: in ``encode`` and ``forward`` for a size that 2 f does not divide.

    >>> import torch
    >>> codes = VQVAE2(codebook_size=512, dim=8).encode(torch.rand(2, 1, 64, 32))
    >>> codes.top.shape, codes.bottom.shape
    (torch.Size([2, 8, 4]), torch.Size([2, 16, 8]))
    """

    def __init__(
        self,
        codebook_size: int = 512,
        dim: int = 8,
        factor: int = 4,
        width: int = 64,
        blocks: int = 1,
        in_channels: int = 1,
        quantizer: VectorQuantizer | FSQ | None = None,
        top_quantizer: VectorQuantizer | FSQ | None = None,
    ):
        super().__init__()
        top_quantizer = top_quantizer or VectorQuantizer(codebook_size, dim)
        quantizer = quantizer or VectorQuantizer(codebook_size, dim, seed=1)
        inside, d, top_d = (width, blocks), quantizer.dim, top_quantizer.dim
        self.encoder = Encoder(factor, width, *inside, in_channels)
        self.top_encoder = Encoder(2, top_d, *inside, in_channels=width)
        self.top_quantizer = top_quantizer
        self.top_decoder = Decoder(2, top_d, *inside, out_channels=d)
        self.join = nn.Conv2d(width + d, d, 1)  # encoder features and decoded top codes
        self.quantizer = quantizer
        self.decoder = Decoder(factor, 2 * d, *inside, in_channels)

    def encode(self, x: Tensor) -> Codes:
        """[B, 1, H, W] -> codes of both levels; changes no state."""
        features = self._features(x)
        top = self.top_quantizer.encode(self.top_encoder(features))
        from_top = self.top_decoder(self.top_quantizer.lookup(top))  # [B, D, h, w]
        bottom = self.quantizer.encode(
            self.join(torch.cat([features, from_top], dim=1))
        )
        return Codes(top, bottom)

    def decode(self, top: Tensor, bottom: Tensor) -> Tensor:
        """codes [B, h/2, w/2] and [B, h, w] -> [B, 1, H, W]."""
        from_top = self.top_decoder(self.top_quantizer.lookup(top))
        return self.decoder(torch.cat([from_top, self.quantizer.lookup(bottom)], dim=1))

    def forward(self, x: Tensor) -> VQVAE2Output:
        features = self._features(x)
        top = self.top_quantizer(self.top_encoder(features))
        from_top = self.top_decoder(top.z_q)  # [B, D, h, w]
        bottom = self.quantizer(self.join(torch.cat([features, from_top], dim=1)))
        return VQVAE2Output(
            self.decoder(torch.cat([from_top, bottom.z_q], dim=1)),
            Codes(top.codes, bottom.codes),
            top.commitment_loss + bottom.commitment_loss,
            top.codebook_loss + bottom.codebook_loss,
        )

    def reconstruct(self, x: Tensor) -> Tensor:
        """There and back: [B, 1, H, W] -> [B, 1, H, W]."""
        return self.decode(*self.encode(x))

    def _features(self, x: Tensor) -> Tensor:
        """[B, 1, H, W] -> [B, width, h, w]."""
        check_size(x.shape[-2:], 2 * self.encoder.factor)
        return self.encoder(x)
