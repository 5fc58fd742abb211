"""The VQ-VAE (van den Oord et al. 2017, arXiv 1711.00937): encoder, codebook, decoder.

Its five components, each one named thing: `networks.Encoder`, the ``codebook`` of
`quantizers.VectorQuantizer`, the quantization (`quantizers.nearest_codes`),
`networks.Decoder`, and the training signal (`quantizers.straight_through` and
`losses.VQVAEObjective`). Any quantizer that is called alike fits in, such as
`fsq.FiniteScalarQuantizer`. Taught in notebook 03.
"""

from typing import NamedTuple

from torch import Tensor, nn

from vqlib.models.fsq import FiniteScalarQuantizer
from vqlib.models.networks import Decoder, Encoder
from vqlib.models.quantizers import VectorQuantizer


class VQVAEOutput(NamedTuple):
    """What a VQ-VAE returns."""

    reconstruction: Tensor  # [B, 1, H, W]
    codes: Tensor  # [B, h, w] int64
    commitment_loss: Tensor  # scalar
    codebook_loss: Tensor | float = 0.0  # scalar, where it learns by gradients


class VQVAE(nn.Module):
    """Slices in, codes in the middle, slices out.

    Args:
        encoder: gives D channels.
        quantizer: of dimension D.
        decoder: takes D channels.
    """

    def __init__(
        self,
        encoder: Encoder,
        quantizer: VectorQuantizer | FiniteScalarQuantizer,
        decoder: Decoder,
    ):
        super().__init__()
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder

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
