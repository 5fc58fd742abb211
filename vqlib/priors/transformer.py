"""A prior over codes: an autoregressive transformer in raster order.

The chain rule writes the probability of a grid of codes as a product over positions,
p(c | s) = ∏ p(c_i | c_<i, s), with s the condition (`vqlib.priors.conditioning`). A
causal transformer (Vaswani et al. 2017, arXiv 1706.03762; pre-norm as in GPT-2) gives
all factors in one pass when training; when sampling, keys and values of earlier
positions are cached, so that each new code costs one position, not all of them.

Codes come in and go out as *vectors* of the codebook, not as mere numbers: codes that
look alike are alike for the network from the start. Taught in notebook 05.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError
from vqlib.models.networks import Model
from vqlib.priors.conditioning import Conditioning
from vqlib.priors.sampling import sample


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


class TransformerPrior(Model):
    """Causal transformer over a grid of codes, given position and context.

    The network predicting code i is shown the vectors of its nearest known neighbours
    in the grid (`offsets`); what lies further back it finds by attention. Trained by
    `vqlib.losses.PriorObjective`.

    Args:
        codebook_size: K.
        grid: (h, w) of the codes.
        dim, layers, heads: size of the transformer.
        code_dim: D, length of a code vector.
        dropout: in the residual branches while training.
        context_channels: C of the context, or 0.

    Raises:
        UserError: where the heads do not share ``dim`` evenly.

    >>> import torch
    >>> prior = TransformerPrior(512, grid=(8, 4), dim=32, layers=2, heads=2).eval()
    >>> prior.sample(position=torch.tensor([0.2, 0.8]), seed=1).shape
    torch.Size([2, 8, 4])
    """

    def __init__(
        self,
        codebook_size: int = 256,
        grid: tuple[int, int] = (16, 8),
        dim: int = 128,
        layers: int = 4,
        heads: int = 4,
        code_dim: int = 8,
        dropout: float = 0.1,
        context_channels: int = 0,
    ):
        super().__init__()
        if dim % heads:
            raise UserError(f"dim {dim} is not a multiple of {heads} heads; change one")
        self.codebook_size, self.grid = codebook_size, tuple(grid)
        # Row K stands for "no code": before the first one. Its mark is the last column.
        vectors = torch.zeros(codebook_size + 1, code_dim + 1)
        vectors[-1, -1] = 1
        self.register_buffer("vectors", vectors)
        self.row_embedding = nn.Parameter(0.02 * torch.randn(grid[0], 1, dim))
        self.column_embedding = nn.Parameter(0.02 * torch.randn(1, grid[1], dim))
        self.conditioning = Conditioning(dim, context_channels)
        self.offsets = offsets(grid[1])
        self.local = nn.Linear(len(self.offsets) * (code_dim + 1), dim)
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(dim, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        for block in self.blocks:  # residual branches start small, as in GPT-2
            for layer in (block.out, block.mlp[-1]):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, codebook_size)
        self.output_embedding = nn.Linear(dim, code_dim)
        for weights in (*self.head.parameters(), *self.output_embedding.parameters()):
            nn.init.zeros_(weights)  # start: log K nats

    def forward(
        self,
        codes: Tensor,
        position: Tensor,
        context: Tensor | None = None,
        unconditional: Tensor | None = None,
    ) -> Tensor:
        """Logits of every code given those before it.

        Values are not checked here, where a GPU would have to be waited for in each
        training step, but in `log_prob` and `sample`.

        Args:
            codes: [B, h, w] int64.
            position: [B] in [0, 1].
            context: [B, C, h, w], see `vqlib.priors.conditioning`.
            unconditional: [B] bool, slices without position and context.

        Returns:
            [B, h, w, K].
        """
        flat = codes.flatten(1)  # [B, N]
        shown = [  # with K where there is none
            F.pad(flat, (back, 0), value=self.codebook_size)[:, : flat.shape[1]]
            for back in self.offsets
        ]
        x = self._embed_neighbours(torch.stack(shown, dim=-1))  # [B, N, dim]
        x = x + self._embed_places(position, context, unconditional)
        for block in self.blocks:
            x = block(x)
        return self.logits(x).unflatten(1, self.grid)

    def log_prob(
        self, codes: Tensor, position: Tensor, context: Tensor | None = None
    ) -> Tensor:
        """log p(c_i | c_<i, s) in nats: [B, h, w]. Its negative sum is the code length
        of the slice. Arguments as of ``forward``.

        Raises:
            UserError: for codes of another grid or codebook, or a condition out of
                range.
        """
        self.check(codes, position, context)
        logits = self(codes, position, context).flatten(0, 2)
        nats = F.cross_entropy(logits, codes.flatten(), reduction="none")
        return -nats.view_as(codes)

    sample = sample  # a method: draw new grids of codes

    def logits(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., K]: a score of each code by its number, and one by the
        scalar product of its vector with the output embedding."""
        x = self.norm(x)
        return self.head(x) + self.output_embedding(x) @ self.vectors[:-1, :-1].T

    def start(
        self,
        position: Tensor,
        context: Tensor | None = None,
        unconditional: Tensor | None = None,
    ) -> "Cache":
        """An empty cache for `step`."""
        places = self._embed_places(position, context, unconditional)
        batch, length, dim = places.shape
        at = torch.arange(length, device=places.device).unsqueeze(1)
        around = at - torch.tensor(self.offsets, device=places.device)
        heads = self.blocks[0].heads
        shape = (2, batch, heads, length, dim // heads)
        return Cache(
            places,
            torch.where(around < 0, length, around),
            [places.new_zeros(shape) for _ in self.blocks],
        )

    def step(self, cache: "Cache", codes: Tensor, i: int) -> Tensor:
        """Logits [B, K] of code i, for i = 0, 1, 2, … in turn. Of ``codes`` [B, N + 1]
        those before i are known; the column beyond the grid holds K: no code. Costs
        one position of each block."""
        x = self._embed_neighbours(codes[:, cache.around[i]])
        x = (cache.places[:, i] + x).unsqueeze(1)  # [B, 1, dim]
        for block, keys_values in zip(self.blocks, cache.blocks, strict=True):
            x = block(x, keys_values, at=i)
        return self.logits(x[:, 0])

    def use_codebook(self, codebook: Tensor) -> None:
        """Take the code vectors [K, D] of a VQ-VAE, centred and scaled."""
        centred = codebook - codebook.mean(0)
        self.vectors[:-1, :-1] = centred / centred.std().clamp_min(1e-6)

    def check(
        self, codes: Tensor | None, position: Tensor, context: Tensor | None = None
    ) -> None:
        """Raise `UserError` for codes or a condition that this prior cannot take."""
        self.conditioning.check(position, context)
        shape, size = (len(position), *self.grid), self.codebook_size
        if codes is None:
            return
        if tuple(codes.shape) != shape or codes.min() < 0 or codes.max() >= size:
            raise UserError(
                f"codes must be numbers in 0…{size - 1} of shape {shape}, a grid for "
                f"each position, not of {tuple(codes.shape)}: use the VQ-VAE that this "
                "prior was trained with"
            )

    def _embed_places(self, position, context, unconditional) -> Tensor:
        """What is known of every place before any code: [B, N, dim]."""
        given = self.conditioning(position, context, unconditional).movedim(1, -1)
        places = self.row_embedding + self.column_embedding + given
        return places.flatten(1, 2)

    def _embed_neighbours(self, neighbours: Tensor) -> Tensor:
        """Codes [..., 6] -> [..., dim]."""
        local = self.local(self.vectors[neighbours].flatten(-2))
        return local + self.mix(local)


@dataclass
class Cache:
    """What the transformer remembers while codes are drawn."""

    places: Tensor  # what is known of every place before any code: [B, N, dim]
    around: Tensor  # which codes each place is shown: [N, 6], N where there is none
    blocks: list[Tensor]  # keys and values of each
