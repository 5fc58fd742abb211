"""The VQ-VAE (van den Oord et al. 2017, arXiv 1711.00937): encoder, codebook, decoder.

Its five components, each one named thing: `networks.Encoder`, the ``codebook`` of
`quantizers.VectorQuantizer`, the quantization (`quantizers.nearest_codes`),
`networks.Decoder`, and the training signal (`quantizers.straight_through` and
`vqlib.losses.VQVAEObjective`). Taught in notebook 03.
"""

from typing import NamedTuple

from torch import Tensor, nn

from vqlib.models.fsq import FSQ
from vqlib.models.networks import Decoder, Encoder, Model, check_parts
from vqlib.models.quantizers import VectorQuantizer


class VQVAEOutput(NamedTuple):
    """What a VQ-VAE returns."""

    reconstruction: Tensor  # [B, 1, H, W]
    codes: Tensor  # [B, h, w] int64
    commitment_loss: Tensor  # scalar
    codebook_loss: Tensor | float = 0.0  # scalar, where it learns by gradients


class VQVAE(Model):
    """Slices in, codes in the middle, slices out.

    Trained by `vqlib.losses.VQVAEObjective`.

    Args:
        codebook_size: K, number of codes.
        dim: D, length of a code vector.
        factor, width, blocks: of encoder and decoder, see `networks.Encoder`.
        in_channels: of the slices, in and out.
        quantizer: a ready one, such as ``FSQ((8, 8, 8))``, with a K and D of its own.
        encoder, decoder: ready parts, of D channels on the grid.

    Raises:
        UserError: for parts that do not fit each other, and in ``encode`` and
            ``forward`` for a size that the factor does not divide.

    >>> import torch
    >>> model = VQVAE(codebook_size=512, dim=8, factor=4)
    >>> out = model(torch.rand(2, 1, 64, 32))
    >>> out.reconstruction.shape, out.codes.shape
    (torch.Size([2, 1, 64, 32]), torch.Size([2, 16, 8]))
    >>> VQVAE(quantizer=FSQ((8, 8, 8))).decode(out.codes).shape
    torch.Size([2, 1, 64, 32])
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
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ):
        super().__init__()
        quantizer = quantizer or VectorQuantizer(codebook_size, dim)
        d = getattr(quantizer, "dim", dim)
        self.encoder = encoder or Encoder(factor, d, width, blocks, in_channels)
        self.quantizer = quantizer
        self.decoder = decoder or Decoder(factor, d, width, blocks, in_channels)
        check_parts(self.encoder, self.decoder, d, d)

    def encode(self, x: Tensor) -> Tensor:
        """[B, 1, H, W] -> codes [B, h, w] int64; changes no state."""
        z_e = self.encoder(x)  # [B, D, h, w]
        return self.quantizer.encode(z_e)

    def decode(self, codes: Tensor) -> Tensor:
        """codes [B, h, w] -> [B, 1, H, W]."""
        return self.decoder(self.quantizer.lookup(codes))

    def forward(self, x: Tensor) -> VQVAEOutput:
        z_q, codes, *vq_losses = self.quantizer(self.encoder(x))
        return VQVAEOutput(self.decoder(z_q), codes, *vq_losses)

    def reconstruct(self, x: Tensor) -> Tensor:
        """There and back: [B, 1, H, W] -> [B, 1, H, W]."""
        return self.decode(self.encode(x))
