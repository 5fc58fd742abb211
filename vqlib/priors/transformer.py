"""A prior over the codes: an autoregressive transformer in raster order.

The chain rule writes the probability of a grid of codes as a product over positions,
p(c | s) = ∏ p(c_i | c_<i, s), with s the slice's relative position in its volume. A
causal transformer (Vaswani et al. 2017, arXiv 1706.03762; pre-norm as in GPT-2) gives
all factors in one pass when training; when sampling, keys and values of earlier
positions are cached, so that each new code costs one position, not all of them.
Taught in notebook 05, sections 5.3 to 5.5.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError
from vqlib.priors.base import CodePrior


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


class TransformerPrior(CodePrior):
    """Causal transformer over a grid of codes, conditioned on the slice.

    The network predicting code i is shown the vectors of its nearest known neighbours
    in the grid (`offsets`); what lies further back it finds by attention.

    Args:
        codebook_size, grid, dim, code_dim, organs, top_grid: see `CodePrior`.
        layers, heads: size of the transformer.
        dropout: in the residual branches while training.

    Raises:
        UserError: where the heads do not share ``dim`` evenly.

    >>> import torch
    >>> prior = TransformerPrior(512, grid=(8, 4), dim=32, layers=2, heads=2).eval()
    >>> prior.sample(position=torch.tensor([0.2, 0.8]), seed=1).shape
    torch.Size([2, 8, 4])
    """

    def __init__(
        self,
        codebook_size: int = 512,
        grid: tuple[int, int] = (32, 16),
        dim: int = 96,
        layers: int = 3,
        heads: int = 4,
        code_dim: int = 8,
        dropout: float = 0.1,
        organs: int = 0,
        top_grid: tuple[int, int] | None = None,
    ):
        if dim % heads:
            raise UserError(f"dim {dim} is not a multiple of {heads} heads; change one")
        super().__init__(codebook_size, grid, dim, code_dim, organs, top_grid)
        self.offsets = offsets(grid[1])
        self.local = nn.Linear(len(self.offsets) * (code_dim + 1), dim)
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(dim, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        for block in self.blocks:  # residual branches start small, as in GPT-2
            for layer in (block.out, block.mlp[-1]):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * layers))

    def features(self, codes: Tensor, conditioning: Tensor) -> Tensor:
        """See `CodePrior`."""
        x = self._embed_neighbours(self.neighbours(codes))  # [B, N, dim]
        x = self._embed_places(conditioning)[:, : x.shape[1]] + x
        for block in self.blocks:
            x = block(x)
        return x.unflatten(1, codes.shape[1:])

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

    def start(self, conditioning: Tensor) -> "_Cache":
        """See `CodePrior`."""
        places = self._embed_places(conditioning)
        batch, length, dim = places.shape
        at = torch.arange(length, device=places.device).unsqueeze(1)
        around = at - torch.tensor(self.offsets, device=places.device)
        heads = self.blocks[0].heads
        shape = (2, batch, heads, length, dim // heads)
        return _Cache(
            places,
            torch.where(around < 0, length, around),
            [places.new_zeros(shape) for _ in self.blocks],
        )

    def step(self, cache: "_Cache", codes: Tensor, i: int) -> Tensor:
        """See `CodePrior`. Costs one position of each block."""
        x = self._embed_neighbours(codes[:, cache.around[i]])
        x = (cache.places[:, i] + x).unsqueeze(1)  # [B, 1, dim]
        for block, keys_values in zip(self.blocks, cache.blocks, strict=True):
            x = block(x, keys_values, at=i)
        return self.logits(x[:, 0])

    def _embed_places(self, conditioning: Tensor) -> Tensor:
        """What is known of every place before any code: [B, N, dim]."""
        places = self.row_embedding + self.column_embedding + conditioning
        return places.flatten(1, 2)

    def _embed_neighbours(self, neighbours: Tensor) -> Tensor:
        """Codes [..., 6] -> [..., dim]."""
        local = self.local(self.vectors[neighbours].flatten(-2))
        return local + self.mix(local)


@dataclass
class _Cache:
    """What the transformer remembers while codes are drawn."""

    places: Tensor  # what is known of every place before any code: [B, N, dim]
    around: Tensor  # which codes each place is shown: [N, 6], N where there is none
    blocks: list[Tensor]  # keys and values of each
