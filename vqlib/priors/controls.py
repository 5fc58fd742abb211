"""Controls: priors that draw every code for itself, whatever its neighbours are.

A prior that does not beat them has learned nothing about neighbouring codes. They
differ in what they know: nothing (`uniform`), how often each code occurs (`order0`),
how often it occurs at this place of the grid and at about this position in the volume
(`by_place`). Taught in notebook 05.
"""

import math

import torch
from torch import Tensor, nn

WEIGHT = 32.0  # of a coarser table, in slices


class IndependentCodes(nn.Module):
    """p(c | s) = ∏ p_i(c_i | s): a table of probabilities.

    Args:
        p: [bins, h, w, K], for so many stretches of the volume of equal length.
    """

    def __init__(self, p: Tensor):
        super().__init__()
        self.grid, self.codebook_size = tuple(p.shape[1:3]), p.shape[3]
        self.register_buffer("table", p.log())

    def _rows(self, position: Tensor) -> Tensor:
        return self.table[_bin(position, len(self.table))]  # [B, h, w, K]

    def log_prob(self, codes: Tensor, position: Tensor) -> Tensor:
        """log p_i(c_i | s) in nats: [B, h, w]."""
        return self._rows(position).gather(-1, codes.unsqueeze(-1)).squeeze(-1)

    def sample(self, position: Tensor, seed: int = 0) -> Tensor:
        """Codes [B, h, w], one grid for each position [B]."""
        random = torch.Generator(position.device).manual_seed(seed)
        p = self._rows(position).exp().flatten(0, 2)
        codes = torch.multinomial(p, 1, generator=random)
        return codes.view(len(position), *self.grid)


def uniform(grid: tuple[int, int], codebook_size: int) -> IndependentCodes:
    """Every code with probability 1/K: log K nats."""
    return IndependentCodes(torch.full((1, *grid, codebook_size), 1 / codebook_size))


def order0(codes: Tensor, codebook_size: int) -> IndependentCodes:
    """Every code as often as in ``codes`` [N, h, w] (the train slices'), to whose
    counts 1 is added."""
    counts = codes.flatten().bincount(minlength=codebook_size) + 1.0
    p = counts / counts.sum()
    return IndependentCodes(p.expand(1, *codes.shape[1:], -1).clone())


def by_place(
    codes: Tensor,
    positions: Tensor,
    codebook_size: int,
    bins: int = 10,
) -> IndependentCodes:
    """Every code as often as at its own place of the grid, in slices of its own stretch
    of the volume.

    Few slices make poor frequencies, so each table is pulled towards the coarser one
    above it, as if that had been seen in `WEIGHT` slices: stretch and place → place →
    everywhere.

    Args:
        codes: [N, h, w], the train slices'.
        positions: [N] in [0, 1].
        codebook_size: K.
        bins: stretches of the volume; 1 leaves the position out.
    """
    size, length = codebook_size, math.prod(codes.shape[1:])
    flat = codes.flatten(1) + size * torch.arange(length)  # place i, code c: i K + c
    coarser = order0(codes, size).table.exp().flatten()  # [N K]
    for stretches in sorted({1, bins}):
        row = _bin(positions, stretches)
        index = (flat + (row * length * size).unsqueeze(1)).flatten()
        counts = index.bincount(minlength=stretches * length * size)
        counts = counts.view(stretches, -1)
        slices = row.bincount(minlength=stretches).unsqueeze(1)
        p = (counts + WEIGHT * coarser) / (slices + WEIGHT)
        coarser = p[0] if stretches == 1 else p
    return IndependentCodes(p.view(bins, *codes.shape[1:], size))


def _bin(position: Tensor, bins: int) -> Tensor:
    return (position * bins).long().clamp(max=bins - 1)
