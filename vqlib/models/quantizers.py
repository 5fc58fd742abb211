"""Vector quantization: the embedding space of a VQ-VAE and the step into it.

`VectorQuantizer` replaces each encoder vector by the nearest vector of a codebook
(van den Oord et al. 2017, arXiv 1711.00937, eq. 1 and 2). The codebook follows the
encoder by exponential moving averages (their appendix A.1) rather than by gradients.
Two remedies keep it alive: it starts from k-means of the first batch, and a code that
nothing chooses any more restarts at a random encoder vector (Dhariwal et al. 2020,
arXiv 2005.00341, section 3.1). Taught in notebook 03, sections 3.3 to 3.5.
"""

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest code (Euclidean) for each vector: [N, D], [K, D] -> [N].

    ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖², and ‖z‖² is the same for all codes, so one matrix
    product finds the winner. Always in float32: in half precision the squares overflow.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        vectors, codebook = vectors.float(), codebook.float()
        norms = codebook.square().sum(1)
        return torch.addmm(norms, vectors, codebook.T, alpha=-2).argmin(1)


def straight_through(z_e: Tensor, z_q: Tensor) -> Tensor:
    """The straight-through estimator: forward ``z_q``, backward as if it were ``z_e``
    (Bengio et al. 2013, arXiv 1308.3432)."""
    return z_e + (z_q - z_e).detach()


class Quantized(NamedTuple):
    """What a quantizer returns."""

    z_q: Tensor  # [B, D, h, w], the chosen code vectors, gradient straight through
    codes: Tensor  # [B, h, w] int64
    commitment_loss: Tensor  # scalar, mean (z_e − sg[z_q])²


class VectorQuantizer(nn.Module):
    """Nearest-neighbour quantizer with an EMA codebook.

    Args:
        codebook_size: K, number of codes.
        dim: D, length of a code vector.
        decay: of the moving averages; 0.95 forgets within about 20 steps.
        patience: a code that no vector chose for so many steps restarts at a random
            encoder vector; 0 switches restarts off.
        kmeans_steps: Lloyd iterations on the first training batch; 0 starts from
            random vectors.
        seed: of the start and the restarts.
    """

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        decay: float = 0.95,
        patience: int = 10,
        kmeans_steps: int = 10,
        seed: int = 0,
    ):
        super().__init__()
        self.codebook_size, self.dim = codebook_size, dim
        self.decay, self.patience = decay, patience
        self.kmeans_steps, self.seed = kmeans_steps, seed
        random = torch.Generator().manual_seed(seed)
        codebook = torch.randn(codebook_size, dim, generator=random)
        self.register_buffer("codebook", codebook)
        # Counts of 1 beside sums of one code each: an average from 0 would divide the
        # sum of an unpicked code by almost nothing after the first step.
        self.register_buffer("counts", torch.ones(codebook_size))
        self.register_buffer("sums", codebook.clone())
        self.register_buffer("idle", torch.zeros(codebook_size))  # steps unchosen
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, z_e: Tensor) -> Quantized:
        """Quantize [B, D, h, w]. The codebook moves only in training, with gradients
        switched on: encoding never changes state."""
        learn = self.training and torch.is_grad_enabled()
        if learn and self.step == 0 and self.kmeans_steps:
            self._start_by_kmeans(self._vectors(z_e))
        codes = self.encode(z_e)
        z_q = self.lookup(codes).to(z_e.dtype)
        if learn:
            self._follow(self._vectors(z_e), codes.flatten())
        commitment = F.mse_loss(z_e, z_q)
        return Quantized(straight_through(z_e, z_q), codes, commitment)

    def encode(self, z_e: Tensor) -> Tensor:
        """Nearest codes: [B, D, h, w] -> [B, h, w] int64. Changes no state."""
        codes = nearest_codes(self._vectors(z_e), self.codebook)
        return codes.view(z_e.shape[0], *z_e.shape[2:])

    def lookup(self, codes: Tensor) -> Tensor:
        """Code vectors of indices: [B, h, w] -> [B, D, h, w]."""
        vectors = F.embedding(codes, self.codebook)  # [B, h, w, D]
        return vectors.permute(0, 3, 1, 2).contiguous()

    def _vectors(self, z_e: Tensor) -> Tensor:
        """[B, D, h, w] -> [B·h·w, D] float32, without gradient."""
        return z_e.detach().permute(0, 2, 3, 1).reshape(-1, self.dim).float()

    @torch.no_grad()
    def _follow(self, vectors: Tensor, codes: Tensor) -> None:
        """Move every code towards the mean of the vectors that chose it: N_k and m_k of
        the paper's eq. (6) to (8), summed over all processes."""
        new = vectors.new_zeros(self.codebook_size, self.dim + 1)
        new[:, :-1].index_add_(0, codes, vectors)
        new[:, -1] = torch.bincount(codes, minlength=self.codebook_size)
        if dist.is_initialized():
            dist.all_reduce(new)
        self.sums.lerp_(new[:, :-1], 1 - self.decay)
        self.counts.lerp_(new[:, -1], 1 - self.decay)
        self.idle.add_(1).masked_fill_(new[:, -1] > 0, 0)
        dead = self.idle >= self.patience if self.patience else self.idle < 0
        if dead.any():
            # Count, sum and clock restart with the code, or the next step undoes it.
            picks = self._pick(vectors, self.codebook_size)[dead]
            self.counts[dead], self.sums[dead], self.idle[dead] = 1.0, picks, 0.0
        self.codebook.copy_(self.sums / self.counts.unsqueeze(1))
        self.step += 1

    def _pick(self, vectors: Tensor, n: int) -> Tensor:
        """``n`` random rows, the same on all processes. Seeded by the step, so that a
        resumed training picks what an uninterrupted one would have."""
        random = torch.Generator().manual_seed(self.seed + 1 + int(self.step))
        rows = torch.randint(len(vectors), (n,), generator=random)
        picks = vectors[rows.to(vectors.device)]
        if dist.is_initialized():
            dist.broadcast(picks, src=0)
        return picks

    @torch.no_grad()
    def _start_by_kmeans(self, vectors: Tensor) -> None:
        """Lloyd's algorithm on the first batch (of the first process)."""
        centres = self._pick(vectors, self.codebook_size)
        for _ in range(self.kmeans_steps):
            codes = nearest_codes(vectors, centres)
            counts = torch.bincount(codes, minlength=self.codebook_size)
            sums = torch.zeros_like(centres).index_add_(0, codes, vectors)
            used = counts > 0
            centres[used] = sums[used] / counts[used].unsqueeze(1)
        if dist.is_initialized():
            dist.broadcast(centres, src=0)
        mean_count = len(vectors) / self.codebook_size
        self.codebook.copy_(centres)
        self.counts.fill_(mean_count)
        self.sums.copy_(centres * mean_count)
