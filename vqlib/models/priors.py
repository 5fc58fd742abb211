"""A prior over the codes: an autoregressive transformer in raster order.

The chain rule writes the probability of a grid of codes as a product over positions,
p(c | s) = ∏ p(c_i | c_<i, s), with s the slice's relative position in its volume. A
causal transformer (Vaswani et al. 2017, arXiv 1706.03762; pre-norm as in GPT-2) gives
all factors in one pass when training; when sampling, keys and values of earlier
positions are kept, so that each new code costs one position, not all of them.
Taught in notebook 05, sections 5.3 to 5.5.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError

_FREQUENCIES = 8  # of the slice position's Fourier features: details of 1/16 volume


def offsets(width: int) -> tuple[int, ...]:
    """How far back in raster order the six codes lie that the network is shown: the two
    before it, and in the row above the three nearest and one row further the nearest.
    (At the edge of the grid some are on the other side of it; the place tells which.)
    """
    return 1, 2, max(width - 1, 1), width, width + 1, 2 * width


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Tensor | None = None, at: int = 0) -> Tensor:
        """[B, T, dim] -> [B, T, dim].

        Without a cache the T positions are a whole sequence, each of which sees itself
        and what came before. With a cache [2, B, heads, N, dim/heads] of keys and
        values, x is the one position ``at``, which sees all cached ones before it.
        """
        batch, length, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, T, dim/heads]
        if cache is None:
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            cache[0, :, :, at], cache[1, :, :, at] = k[:, :, 0], v[:, :, 0]
            keys, values = cache[:, :, :, : at + 1]
            seen = F.scaled_dot_product_attention(q, keys, values)
        seen = seen.transpose(1, 2).reshape(batch, length, dim)
        x = x + self.drop(self.out(seen))
        return x + self.drop(self.mlp(self.norm2(x)))


class TransformerPrior(nn.Module):
    """Causal transformer over a grid of codes, conditioned on the slice position.

    Codes come in and go out as *vectors* of the VQ-VAE's codebook, not as mere names:
    codes that look alike are alike for the network from the start, which saves most of
    the training that it would take to find that out. The network predicting code i is
    shown the vectors of its nearest known neighbours in the grid (`offsets`); what lies
    further back it finds by attention.

    Args:
        codebook_size: K.
        grid: (h, w) of the codes.
        dim, layers, heads: size of the transformer.
        code_dim: D, length of a code vector.
        dropout: in the residual branches while training.
    """

    def __init__(
        self,
        codebook_size: int,
        grid: tuple[int, int],
        dim: int,
        layers: int,
        heads: int,
        code_dim: int,
        dropout: float = 0.1,
    ):
        super().__init__()
        if dim % heads:
            raise UserError(f"prior_dim {dim} is not a multiple of prior_heads {heads}")
        self.codebook_size, self.grid = codebook_size, tuple(grid)
        # Row K stands for "no code": before the first one. Its mark is the last column.
        vectors = torch.zeros(codebook_size + 1, code_dim + 1)
        vectors[-1, -1] = 1
        self.register_buffer("vectors", vectors)
        self.offsets = offsets(grid[1])
        self.local = nn.Linear(len(self.offsets) * (code_dim + 1), dim)
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(dim, dim))
        self.row = nn.Parameter(0.02 * torch.randn(grid[0], 1, dim))
        self.column = nn.Parameter(0.02 * torch.randn(1, grid[1], dim))
        self.condition = nn.Linear(2 * _FREQUENCIES, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, codebook_size)
        self.wish = nn.Linear(dim, code_dim)
        for block in self.blocks:  # residual branches start small, as in GPT-2
            for layer in (block.out, block.mlp[-1]):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * layers))
        for layer in (self.head, self.wish):  # training starts at exactly log K nats
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def use_codebook(self, codebook: Tensor) -> None:
        """Take the code vectors [K, D] of a VQ-VAE, centred and scaled."""
        centred = codebook - codebook.mean(0)
        self.vectors[:-1, :-1] = centred / centred.std().clamp_min(1e-6)

    def neighbours(self, codes: Tensor) -> Tensor:
        """The codes that each position is shown: [B, h, w] -> [B, N, 6], with K where
        there is none."""
        flat = codes.flatten(1)  # [B, N]
        length = flat.shape[1]
        shown = [
            F.pad(flat, (back, 0), value=self.codebook_size)[:, :length]
            for back in self.offsets
        ]
        return torch.stack(shown, dim=-1)

    def _places(self, position: Tensor) -> Tensor:
        """What is known of every grid position before any code: [B] -> [B, N, dim]."""
        octaves = math.pi * torch.arange(1, _FREQUENCIES + 1, device=position.device)
        angles = position.unsqueeze(1) * octaves  # [B, _FREQUENCIES]
        slice_ = self.condition(torch.cat([angles.sin(), angles.cos()], dim=1))
        return (self.row + self.column).flatten(0, 1) + slice_.unsqueeze(1)

    def _surroundings(self, neighbours: Tensor) -> Tensor:
        """What the known neighbours say: indices [..., 6] -> [..., dim]."""
        local = self.local(self.vectors[neighbours].flatten(-2))
        return local + self.mix(local)

    def _logits(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., K]: a score of each code by its name, and one by how well
        its vector fits the vector that the network wishes for."""
        x = self.norm(x)
        return self.head(x) + self.wish(x) @ self.vectors[:-1, :-1].T

    def forward(self, codes: Tensor, position: Tensor) -> Tensor:
        """Logits of every code given those before it.

        Args:
            codes: [B, h, w] int64.
            position: [B] in [0, 1].

        Returns:
            [B, h, w, K].

        Raises:
            UserError: codes of another grid or codebook, or a position out of range.
        """
        self._check(codes, position)
        x = self._places(position) + self._surroundings(self.neighbours(codes))
        for block in self.blocks:
            x = block(x)
        return self._logits(x).unflatten(1, self.grid)

    def log_prob(self, codes: Tensor, position: Tensor) -> Tensor:
        """log p(c_i | c_<i, s) in nats: [B, h, w]. Its negative sum is the code length
        of the slice."""
        logits = self(codes, position).flatten(0, 2)
        nats = F.cross_entropy(logits, codes.flatten(), reduction="none")
        return -nats.view_as(codes)

    @torch.no_grad()
    def sample(
        self,
        position: Tensor,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Draw new grids of codes, one for each slice position.

        Args:
            position: [B] in [0, 1].
            temperature: logits are divided by it; 0 takes the likeliest code.
            top_k: draw among the k likeliest codes only.
            seed: of the draws.

        Returns:
            codes [B, h, w] int64.

        Raises:
            UserError: a negative temperature, top_k below 1, a position out of range.
        """
        if temperature < 0:
            raise UserError(f"temperature must be 0 or more, not {temperature}")
        if top_k is not None and top_k < 1:
            raise UserError(f"top_k must be 1 or more, not {top_k}")
        self._check(None, position)
        (height, width), device = self.grid, position.device
        batch, length = len(position), height * width
        random = torch.Generator(device).manual_seed(seed)
        places = self._places(position)
        start = max(self.offsets)  # so many "no code" before the first
        codes = torch.full((batch, start + length), self.codebook_size, device=device)
        known = torch.tensor([start - back for back in self.offsets], device=device)
        first = self.blocks[0]
        shape = (2, batch, first.heads, length, places.shape[-1] // first.heads)
        caches = [places.new_zeros(shape) for _ in self.blocks]
        for i in range(length):
            x = places[:, i] + self._surroundings(codes[:, known + i])
            x = x.unsqueeze(1)  # [B, 1, dim]
            for block, cache in zip(self.blocks, caches, strict=True):
                x = block(x, cache, at=i)
            logits = self._logits(x[:, 0])
            codes[:, start + i] = draw(logits, temperature, top_k, random)
        return codes[:, start:].view(batch, height, width).clone()

    def _check(self, codes: Tensor | None, position: Tensor) -> None:
        if position.min() < 0 or position.max() > 1:
            raise UserError("a slice position lies outside [0, 1]; it is relative")
        if codes is None:
            return
        if tuple(codes.shape[1:]) != self.grid:
            raise UserError(
                f"codes on a grid of {tuple(codes.shape[1:])}, but this prior was made "
                f"for {self.grid}; use the VQ-VAE that it was trained with"
            )
        if codes.min() < 0 or codes.max() >= self.codebook_size:
            raise UserError(
                f"codes outside 0…{self.codebook_size - 1}; this prior belongs to "
                "another codebook"
            )


def draw(
    logits: Tensor, temperature: float, top_k: int | None, random: torch.Generator
) -> Tensor:
    """One code from each row of logits: [B, K] -> [B]."""
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None and top_k < logits.shape[-1]:
        worst = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < worst, -torch.inf)
    return torch.multinomial(
        (logits / temperature).softmax(-1), 1, generator=random
    ).squeeze(1)
