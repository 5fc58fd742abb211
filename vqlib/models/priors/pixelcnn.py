"""A prior over the codes by convolutions that look only back: the gated PixelCNN.

Van den Oord et al. 2016 (arXiv 1606.05328), section 2. Two stacks of convolutions run
side by side. The *vertical* one sees all rows above, to either side; the *horizontal*
one sees what lies to the left in the same row, and is told by the vertical one what
lies above. Together they see every code before the present one, where one masked
convolution on another leaves a blind spot to the upper right.

Nothing is masked here: kernels that would be half zero are cut to the half that is not,
which is the same function at half the cost. Taught in notebook 05.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.models.priors.base import CodePrior


def gate(x: Tensor) -> Tensor:
    """tanh(a) · sigmoid(b) of both halves (eq. 2): [..., 2 dim] -> [..., dim]."""
    a, b = x.chunk(2, dim=-1)
    return a.tanh() * b.sigmoid()


class GatedLayer(nn.Module):
    """One layer of both stacks (figure 2 of the paper), channels last."""

    def __init__(self, dim: int, dropout: float):
        super().__init__()
        self.vertical = nn.Conv2d(dim, 2 * dim, (2, 3))  # the row above, and its own
        self.horizontal = nn.Linear(
            2 * dim, 2 * dim
        )  # the one to the left, and its own
        self.down = nn.Linear(2 * dim, 2 * dim)  # from the vertical to the horizontal
        self.condition = nn.Linear(dim, 4 * dim)
        self.out = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def above(self, v: Tensor, told: Tensor) -> Tensor:
        """The vertical stack before its gate: rows [B, n + 1, w + 2, dim] with a border
        of one above and on either side -> [B, n, w, 2 dim]."""
        seen = self.vertical(v.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return seen + told

    def along(self, left: Tensor, x: Tensor, seen: Tensor, told: Tensor) -> Tensor:
        """The horizontal stack: [..., dim] twice and [..., 2 dim] -> [..., dim]."""
        mixed = self.horizontal(torch.cat([left, x], dim=-1)) + self.down(seen) + told
        return x + self.out(self.drop(gate(mixed)))

    def forward(self, v: Tensor, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """v, x: [B, h, w, dim]; told: [B, 1, 1, dim] -> the same shapes."""
        for_v, for_x = self.condition(told).chunk(2, dim=-1)
        seen = self.above(F.pad(v, (0, 0, 1, 1, 1, 0)), for_v)
        left = F.pad(x, (0, 0, 1, 0))[:, :, :-1]
        return v + gate(seen), self.along(left, x, seen, for_x)


@dataclass
class _State:
    """What sampling remembers, for each layer."""

    told: list[
        tuple[Tensor, Tensor]
    ]  # the condition for either stack, [B, 1, 1, 2 dim]
    rows: list[
        Tensor
    ]  # input of the vertical stack with its border: [B, h+1, w+2, dim]
    seen: list[Tensor]  # what it says of the present row: [B, 1, w, 2 dim]
    left: list[Tensor]  # input of the horizontal stack one place before: [B, dim]


class PixelCNNPrior(CodePrior):
    """Gated PixelCNN over a grid of codes, conditioned on the slice.

    Args:
        codebook_size, grid, dim, code_dim, organs: see `CodePrior`.
        layers: each lets it look one row and one column further.
        dropout: in the horizontal stack's residual branches while training.
    """

    def __init__(
        self,
        codebook_size: int,
        grid: tuple[int, int],
        dim: int,
        layers: int,
        code_dim: int,
        dropout: float = 0.1,
        organs: int = 0,
    ):
        super().__init__(codebook_size, grid, dim, code_dim, organs)
        self.from_above = nn.Linear(code_dim + 1, dim)
        self.from_left = nn.Linear(code_dim + 1, dim)
        self.layers = nn.ModuleList(GatedLayer(dim, dropout) for _ in range(layers))

    def features(self, codes: Tensor, told: Tensor) -> Tensor:
        """See `CodePrior`."""
        none, places = self.codebook_size, (self.row + self.column)[: codes.shape[1]]
        above = F.pad(codes, (0, 0, 1, 0), value=none)[:, :-1]  # one row down
        left = F.pad(codes, (1, 0), value=none)[:, :, :-1]  # one column to the right
        v = self.from_above(self.vectors[above]) + places  # [B, n, w, dim]
        x = self.from_left(self.vectors[left]) + places
        for layer in self.layers:
            v, x = layer(v, x, told[:, None, None])
        return x

    def start(self, told: Tensor) -> _State:
        """An empty cache."""
        told = told[:, None, None]
        (height, width), (batch, dim) = self.grid, (len(told), told.shape[-1])
        return _State(
            [layer.condition(told).chunk(2, dim=-1) for layer in self.layers],
            [told.new_zeros(batch, height + 1, width + 2, dim) for _ in self.layers],
            [told.new_zeros(0) for _ in self.layers],
            [told.new_zeros(0) for _ in self.layers],
        )

    def step(self, state: _State, codes: Tensor, i: int) -> Tensor:
        """Logits [B, K] of code i. The vertical stack runs once a row, for the whole
        row; the horizontal one at each place."""
        row, column = divmod(i, self.grid[1])
        if column == 0:
            self._next_row(state, codes, row)
        known = codes[:, i - 1] if column else codes[:, -1]  # the last column: no code
        x = (
            self.from_left(self.vectors[known])
            + self.row[row, 0]
            + self.column[0, column]
        )
        for n, layer in enumerate(self.layers):
            before, state.left[n] = state.left[n], x
            x = layer.along(
                before, x, state.seen[n][:, 0, column], state.told[n][1][:, 0, 0]
            )
        return self.logits(x)

    def _next_row(self, state: _State, codes: Tensor, row: int) -> None:
        width = self.grid[1]
        if row:
            known = codes[:, (row - 1) * width : row * width]
        else:
            known = codes[:, -1:].expand(-1, width)
        v = (self.from_above(self.vectors[known]) + self.row[row] + self.column[0])[
            :, None
        ]
        for n, layer in enumerate(self.layers):
            state.rows[n][:, row + 1, 1:-1] = v[:, 0]
            state.seen[n] = layer.above(
                state.rows[n][:, row : row + 2], state.told[n][0]
            )
            v = v + gate(state.seen[n])
            state.left[n] = torch.zeros_like(v[:, 0, 0])
