"""Vector quantization: the embedding space of a VQ-VAE and the step into it.

`VectorQuantizer` replaces each encoder vector by the nearest vector of a codebook
(van den Oord et al. 2017, arXiv 1711.00937, eq. 1 and 2). The codebook follows the
encoder by exponential moving averages (their appendix A.1) or learns by gradients
(their eq. 3). Two remedies keep it alive: it starts from k-means of the first batch,
and a code that no vector chooses any more restarts at a random encoder vector (Dhariwal
et al. 2020, arXiv 2005.00341, section 3.1). `straight_through` carries the gradient
past the choice. A quantizer without a codebook is
`vqlib.models.fsq`; it is called in the same way. Taught in notebook 03, sections 3.2 to
3.4.
"""

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.models.computing import at_least_float32, processes
from vqlib.models.kmeans import (
    counts_and_sums,
    kmeans,
    nearest_codes,
    spread_centres,
)

_TINY = 1e-12  # squared length below which a vector has no direction
_FEWEST = 1e-20  # an average over fewer vectors than this is only rounding error


class Quantized(NamedTuple):
    """What a quantizer returns."""

    z_q: Tensor  # [B, D, h, w], the chosen code vectors, with a gradient for z_e
    codes: Tensor  # [B, h, w] int64
    commitment_loss: Tensor  # scalar, mean (z_e − sg[e])²: draws vectors to codes
    codebook_loss: Tensor  # scalar, mean (sg[z_e] − e)²: draws codes to vectors


def straight_through(z_e: Tensor, z_q: Tensor) -> Tensor:
    """The straight-through estimator: forward ``z_q``, backward as if it were ``z_e``
    (Bengio et al. 2013, arXiv 1308.3432).

    >>> import torch
    >>> z_e = torch.tensor([0.4, 1.6], requires_grad=True)
    >>> z_q = straight_through(z_e, z_e.round())
    >>> (z_q * torch.tensor([3.0, 5.0])).sum().backward()
    >>> z_q.detach(), z_e.grad
    (tensor([0., 2.]), tensor([3., 5.]))
    """
    return z_e + (z_q - z_e).detach()


class VectorQuantizer(nn.Module):
    """Nearest-neighbour quantizer with a learned codebook.

    Args:
        codebook_size: K, number of codes.
        dim: D, length of a code vector.
        decay: of the moving averages; 0.95 forgets within about 20 steps.
        patience: a code that no vector chose for so many steps restarts at a random
            encoder vector; 0 switches restarts off.
        kmeans_steps: Lloyd iterations on the first training batch; 0 starts from
            random vectors.
        seed: of the start and the restarts.
        ema: the codebook follows by moving averages; if false it is a parameter that
            ``codebook_loss`` trains.
        cosine: vectors and codes have length 1, so that the nearest code is the one of
            the smallest angle. Meant for few dimensions (Yu et al. 2021, arXiv
            2110.04627, section 3.2); the projection to them is the encoder's last
            layer.

    >>> import torch
    >>> quantizer = VectorQuantizer(codebook_size=512, dim=8)
    >>> out = quantizer(torch.randn(2, 8, 16, 8))
    >>> out.z_q.shape, out.codes.shape
    (torch.Size([2, 8, 16, 8]), torch.Size([2, 16, 8]))
    >>> quantizer.codebook.shape, quantizer.lookup(out.codes).shape
    (torch.Size([512, 8]), torch.Size([2, 8, 16, 8]))
    """

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        decay: float = 0.95,
        patience: int = 10,
        kmeans_steps: int = 10,
        seed: int = 0,
        ema: bool = True,
        cosine: bool = False,
    ):
        super().__init__()
        self.codebook_size, self.dim = codebook_size, dim
        self.decay, self.patience = decay, patience
        self.kmeans_steps, self.seed = kmeans_steps, seed
        self.ema, self.cosine = ema, cosine
        # Counts of 1 beside sums of one code each: an average from 0 would divide the
        # sum of an unpicked code by almost nothing after the first step.
        counts = torch.ones(codebook_size)
        random = torch.Generator().manual_seed(seed)
        codebook = torch.randn(codebook_size, dim, generator=random, device="cpu")
        codebook = self._unit(codebook).to(counts.device)
        if ema:
            self.register_buffer("codebook", codebook)
            self.register_buffer("counts", counts)
            self.register_buffer("sums", codebook.clone())
        else:
            self.codebook = nn.Parameter(codebook)
        self.register_buffer("idle", torch.zeros(codebook_size))  # steps unchosen
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        # The step again as a plain number: to ask the buffer is to wait for the GPU.
        self._host_step = 0
        self.register_load_state_dict_post_hook(_read_step)

    @torch.compiler.disable  # it counts steps, so each would be compiled anew
    def forward(self, z_e: Tensor) -> Quantized:
        """Quantize [B, D, h, w]. The codebook moves only in training, with gradients
        switched on: encoding never changes state."""
        learn = self.training and torch.is_grad_enabled()
        z = self._unit(at_least_float32(z_e))
        vectors = _rows(z)
        if learn and self._host_step == 0 and self.kmeans_steps:
            self._start(vectors)
        codes = self._nearest(vectors).view(z.shape[0], *z.shape[2:])
        chosen = self.lookup(codes).to(z.dtype)
        if learn:
            self._learn(vectors, codes.flatten())
        z_q = chosen.detach()
        return Quantized(
            straight_through(z, z_q).to(z_e.dtype),
            codes,
            F.mse_loss(z, z_q),
            z.new_zeros(()) if self.ema else F.mse_loss(chosen, z.detach()),
        )

    def encode(self, z_e: Tensor) -> Tensor:
        """Nearest codes: [B, D, h, w] -> [B, h, w] int64. Changes no state."""
        codes = self._nearest(_rows(self._unit(at_least_float32(z_e))))
        return codes.view(z_e.shape[0], *z_e.shape[2:])

    def lookup(self, codes: Tensor) -> Tensor:
        """Code vectors of indices: [B, h, w] -> [B, D, h, w]."""
        vectors = F.embedding(codes, self.codebook)  # [B, h, w, D]
        return self._unit(vectors.permute(0, 3, 1, 2)).contiguous()

    def _unit(self, vectors: Tensor) -> Tensor:
        """[N, D, ...], of length 1 along D where angles count."""
        return unit(vectors) if self.cosine else vectors

    def _nearest(self, vectors: Tensor) -> Tensor:
        return nearest_codes(vectors, self._unit(self.codebook.detach()))

    @torch.no_grad()
    def _learn(self, vectors: Tensor, codes: Tensor) -> None:
        """Count which codes were chosen, [N, D] and [N], and move the codebook: N_k and
        m_k of the paper's eq. (6) to (8), summed over all processes."""
        counts, sums = counts_and_sums(vectors, codes, self.codebook_size)
        self.idle.add_(1).masked_fill_(counts > 0, 0)
        if self.ema:
            self.sums.lerp_(sums, 1 - self.decay)
            self.counts.lerp_(counts, 1 - self.decay)
        if self.patience:
            self._restart(self.idle >= self.patience, vectors)
        if self.ema:
            # A code without vectors to average stays where it was.
            means = self._unit(self.sums / self.counts.unsqueeze(1))
            faded = self.counts.unsqueeze(1) < _FEWEST
            self.codebook.copy_(torch.where(faded, self.codebook, means))
        self.step += 1
        self._host_step += 1

    def _restart(self, dead: Tensor, vectors: Tensor) -> None:
        """Put the dead codes, [K] bool, at random vectors. Count, sum and clock restart
        with the code, or the next step undoes it. Whether there are any is not asked,
        since a GPU would have to be waited for."""
        picks = self._pick(vectors, self.codebook_size)
        if self.ema:
            self.counts.masked_fill_(dead, 1.0)
        codes = self.sums if self.ema else self.codebook
        codes.copy_(torch.where(dead.unsqueeze(1), picks, codes))
        self.idle.masked_fill_(dead, 0)

    def _pick(self, vectors: Tensor, n: int) -> Tensor:
        """``n`` random rows, the same on all processes. Seeded by the step, so that a
        resumed training picks what an uninterrupted one would have."""
        random = torch.Generator().manual_seed(self.seed + 1 + self._host_step)
        rows = torch.randint(len(vectors), (n,), generator=random, device="cpu")
        picks = vectors[rows.to(vectors.device, non_blocking=True)]
        if processes() > 1:
            dist.broadcast(picks, src=0)
        return picks

    @torch.no_grad()
    def _start(self, vectors: Tensor) -> None:
        """Put the codes at the k-means of the first batch, [N, D]."""
        random = torch.Generator().manual_seed(self.seed + 1)
        centres = spread_centres(vectors, self.codebook_size, random)
        if processes() > 1:
            dist.broadcast(centres, src=0)
        centres = kmeans(vectors, centres, self.kmeans_steps, self._unit)
        self.codebook.copy_(centres)
        if self.ema:
            mean_count = processes() * len(vectors) / self.codebook_size
            self.counts.fill_(mean_count)
            self.sums.copy_(centres * mean_count)


def unit(vectors: Tensor) -> Tensor:
    """Vectors along dimension 1, [B, D, ...], scaled to length 1; zeros stay zeros."""
    squares = vectors.square().sum(1, keepdim=True)  # ``norm`` takes ten times as long
    return vectors * squares.clamp_min(_TINY).rsqrt()


def _rows(z: Tensor) -> Tensor:
    """[B, D, h, w] -> [B·h·w, D], without gradient."""
    return z.detach().permute(0, 2, 3, 1).reshape(-1, z.shape[1])


def _read_step(quantizer: VectorQuantizer, _keys) -> None:
    quantizer._host_step = int(quantizer.step)
