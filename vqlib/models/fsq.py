"""Finite scalar quantization: codes without a codebook.

`FSQ` squeezes each of a few channels into a short interval and rounds
it to one of L_i whole numbers (Mentzer et al. 2023, arXiv 2309.15505, section 3 and
appendix A.1). A code is the tuple of these digits, numbered like a number in mixed
radix, so that K = ∏ L_i. Nothing is learned, so there is no codebook to start, to
update or to restart, and no loss to weigh. Called like
`vqlib.models.quantizers.VectorQuantizer`. Taught in notebook 03.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqlib.errors import UserError
from vqlib.models.computing import at_least_float32
from vqlib.models.quantizers import Quantized, straight_through


class FSQ(nn.Module):
    """Rounds every channel to its own few levels.

    Args:
        levels: L_i, at least 3 each. Their number is D, their product K. The paper
            recommends 5 or more, such as 8, 6, 5 for K = 240 or 8, 5, 5, 5 for 1,000.

    Raises:
        UserError: for fewer than 3 levels.

    >>> import torch
    >>> quantizer = FSQ((8, 5))
    >>> quantizer.codebook_size, quantizer.dim
    (40, 2)
    >>> z_e = torch.tensor([0.3, -2.0]).view(1, 2, 1, 1)
    >>> out = quantizer(z_e)
    >>> out.z_q.flatten(), out.codes.item()
    (tensor([ 0.2500, -1.0000]), 5)
    """

    def __init__(self, levels: Sequence[int]):
        super().__init__()
        self.levels = tuple(levels)
        if not self.levels or min(self.levels) < 3:
            raise UserError(f"levels must be 3 or more each, not {self.levels}")
        self.codebook_size, self.dim = math.prod(self.levels), len(self.levels)
        sizes = torch.tensor(self.levels).view(-1, 1, 1)  # [D, 1, 1], over the grid
        bases = sizes.cumprod(0) // sizes  # 1, L_1, L_1 L_2, …
        # Follow from the arguments, so no checkpoint needs them.
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("bases", bases, persistent=False)

    def forward(self, z_e: Tensor) -> Quantized:
        """Quantize [B, D, h, w]; both losses are zero."""
        bounded = self._bound(at_least_float32(z_e))
        digits = straight_through(bounded, bounded.round())
        zero = bounded.new_zeros(())
        z_q = self._scale(digits).to(z_e.dtype)
        return Quantized(z_q, self._number(bounded), zero, zero)

    def encode(self, z_e: Tensor) -> Tensor:
        """Codes: [B, D, h, w] -> [B, h, w] int64."""
        return self._number(self._bound(at_least_float32(z_e)))

    def lookup(self, codes: Tensor) -> Tensor:
        """Code vectors of indices: [B, h, w] -> [B, D, h, w]."""
        digits = codes.unsqueeze(1) // self.bases % self.sizes - self.sizes // 2
        return self._scale(digits.float())

    @property
    def codebook(self) -> Tensor:
        """All code vectors [K, D], the points of a grid in [−1, 1]ᴰ."""
        codes = torch.arange(self.codebook_size, device=self.sizes.device)
        return self.lookup(codes.view(1, 1, -1))[0, :, 0].T

    def _bound(self, z: Tensor) -> Tensor:
        """Squeeze each channel so that its whole numbers are the L levels, such as
        −2 … 2 for L = 5 and −4 … 3 for L = 8; z = 0 stays 0. (The paper's shift has tan
        where this has the inverse of tanh.)"""
        half = (self.sizes - 1) * 1.001 / 2  # a little more, to reach the outermost
        offset = 0.5 * (self.sizes % 2 == 0)
        return torch.tanh(z + torch.atanh(offset / half)) * half - offset

    def _number(self, bounded: Tensor) -> Tensor:
        """Digits to one index, in mixed radix: [B, D, h, w] -> [B, h, w]."""
        digits = bounded.round().long() + self.sizes // 2
        return (digits * self.bases).sum(1)

    def _scale(self, digits: Tensor) -> Tensor:
        """Digits to coordinates in [−1, 1]."""
        return digits / (self.sizes // 2)
