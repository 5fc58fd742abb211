"""VQ-VAE-2 (Razavi et al. 2019, arXiv 1906.00446): a VQ-VAE with two maps of codes.

The top codes lie on half the grid, see the slice from further away, and are decoded
first. The bottom codes are chosen knowing what the top ones have said, so that they can
spend their bits on what is missing: the detail. Slices are decoded from both (section
3.1 and figure 2a). Encoder, quantizers and decoder are those of the VQ-VAE.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqlib.models.fsq import FiniteScalarQuantizer
from vqlib.models.networks import Decoder, Encoder, check_size
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


class VQVAE2(nn.Module):
    """Slices in, two maps of codes in the middle, slices out.

    Args:
        factor: f, pixels per position of the bottom grid along each axis; a power of
            two. A position of the top grid covers 2 f.
        width: channels inside all networks, and of what both encoders see.
        blocks: residual blocks of each network.
        top_quantizer: of the top codes.
        quantizer: of the bottom codes.
    """

    def __init__(
        self,
        factor: int,
        width: int,
        blocks: int,
        top_quantizer: VectorQuantizer | FiniteScalarQuantizer,
        quantizer: VectorQuantizer | FiniteScalarQuantizer,
    ):
        super().__init__()
        inside, dim, top_dim = (width, blocks), quantizer.dim, top_quantizer.dim
        self.encoder = Encoder(factor, width, *inside)
        self.top_encoder = Encoder(2, top_dim, *inside, in_channels=width)
        self.top_quantizer = top_quantizer
        self.top_decoder = Decoder(2, top_dim, *inside, out_channels=dim)
        self.join = nn.Conv2d(
            width + dim, dim, 1
        )  # what is seen, and what is said of it
        self.quantizer = quantizer
        self.decoder = Decoder(factor, 2 * dim, *inside)

    def encode(self, x: Tensor) -> Codes:
        """[B, 1, H, W] -> codes of both levels; changes no state.

        Raises `UserError` for a size that 2 f does not divide.
        """
        seen = self._see(x)
        top = self.top_quantizer.encode(self.top_encoder(seen))
        said = self.top_decoder(self.top_quantizer.lookup(top))  # [B, D, h, w]
        bottom = self.quantizer.encode(self.join(torch.cat([seen, said], dim=1)))
        return Codes(top, bottom)

    def decode(self, top: Tensor, bottom: Tensor) -> Tensor:
        """codes [B, h/2, w/2] and [B, h, w] -> [B, 1, H, W]."""
        said = self.top_decoder(self.top_quantizer.lookup(top))
        return self.decoder(torch.cat([said, self.quantizer.lookup(bottom)], dim=1))

    def forward(self, x: Tensor) -> VQVAE2Output:
        """Raises `UserError` for a size that 2 f does not divide."""
        seen = self._see(x)
        top = self.top_quantizer(self.top_encoder(seen))
        said = self.top_decoder(top.z_q)  # [B, D, h, w]
        bottom = self.quantizer(self.join(torch.cat([seen, said], dim=1)))
        return VQVAE2Output(
            self.decoder(torch.cat([said, bottom.z_q], dim=1)),
            Codes(top.codes, bottom.codes),
            top.commitment_loss + bottom.commitment_loss,
            top.codebook_loss + bottom.codebook_loss,
        )

    def reconstruct(self, x: Tensor) -> Tensor:
        """There and back: [B, 1, H, W] -> [B, 1, H, W]."""
        return self.decode(*self.encode(x))

    def _see(self, x: Tensor) -> Tensor:
        """[B, 1, H, W] -> [B, width, h, w]."""
        check_size(x, 2 * self.encoder.factor)
        return self.encoder(x)
