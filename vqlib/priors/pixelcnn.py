"""A prior over the codes by convolutions that look only back: the gated PixelCNN.

Van den Oord et al. 2016 (arXiv 1606.05328), section 2. Two stacks of convolutions run
side by side. The *vertical* one sees all rows above, to either side; the *horizontal*
one sees what lies to the left in the same row, and takes from the vertical one what
lies above. Together they see every code before the present one, where one masked
convolution on another leaves a blind spot to the upper right.

Unlike the paper's, the vertical stack takes two convolutions to a layer, and they skip
rows (dilation, as in WaveNet, arXiv 1609.03499), so that few layers see far up. In
sampling it runs once a row, the horizontal one once a code.

Nothing is masked here: kernels that would be half zero are cut to the half that is not,
which is the same function at half the cost. Taught in notebook 05.
"""

from dataclasses import dataclass
from itertools import cycle, islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.priors.base import CodePrior

_REACHES = ((1, 2), (4, 8))  # rows up of a layer's two convolutions, in turn


def gate(x: Tensor) -> Tensor:
    """tanh(a) · sigmoid(b) of both halves (eq. 2): [..., 2 dim] -> [..., dim]."""
    a, b = x.chunk(2, dim=-1)
    return a.tanh() * b.sigmoid()


class GatedLayer(nn.Module):
    """One layer of both stacks (figure 2 of the paper), channels last.

    Args:
        dim: channels of either stack.
        reaches: for each of its vertical convolutions, how many rows up it looks.
        dropout: in the horizontal stack's residual branch while training.
    """

    def __init__(self, dim: int, reaches: tuple[int, ...], dropout: float):
        super().__init__()
        self.vertical = nn.ModuleList(  # a row above, and its own
            nn.Conv2d(dim, 2 * dim, (2, 3), dilation=(reach, 1)) for reach in reaches
        )
        self.horizontal = nn.Linear(2 * dim, 2 * dim)  # the one to the left, its own
        self.down = nn.Linear(2 * dim, 2 * dim)  # from the vertical to the horizontal
        self.condition = nn.Linear(dim, (len(reaches) + 1) * 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def conditioning(self, condition: Tensor) -> tuple[Tensor, ...]:
        """What the condition adds to each vertical convolution, and to the horizontal
        one: [..., dim] -> [..., 2 dim] each."""
        return self.condition(condition).chunk(len(self.vertical) + 1, dim=-1)

    def forward(self, v: Tensor, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """v, x: [B, h, w, dim]; condition: the same, or [B, 1, 1, dim] -> v, x."""
        *for_v, for_x = self.conditioning(condition)
        for conv, added in zip(self.vertical, for_v, strict=True):
            padded = F.pad(v, (0, 0, 1, 1, conv.dilation[0], 0))  # rows above, borders
            seen = conv(padded.movedim(3, 1)).movedim(1, 3) + added  # [B, h, w, 2 dim]
            v = v + gate(seen)
        left = F.pad(x, (0, 0, 1, 0))[:, :, :-1]
        mixed = self.horizontal(torch.cat([left, x], dim=-1)) + self.down(seen) + for_x
        return v, x + self.out(self.drop(gate(mixed)))

    def start(self, condition: Tensor, grid: tuple[int, int]) -> "_LayerCache":
        """An empty cache for `step_row` and `step_place`."""
        batch, dim, (height, width) = len(condition), condition.shape[-1], grid
        empty = condition.new_zeros
        return _LayerCache(
            [x.expand(-1, height, width, -1) for x in self.conditioning(condition)],
            [
                empty(batch, dim, height + conv.dilation[0], width + 2)
                for conv in self.vertical
            ],
            down=empty(batch, width, 2 * dim),
            left=empty(batch, dim),
        )

    def step_row(self, cache: "_LayerCache", v: Tensor, row: int) -> Tensor:
        """The vertical stack along one row: [B, w, dim] -> [B, w, dim]."""
        *for_v, for_x = (x[:, row] for x in cache.conditioning)  # [B, w, 2 dim]
        for conv, added, rows in zip(self.vertical, for_v, cache.rows, strict=True):
            reach = conv.dilation[0]
            rows[:, :, row + reach, 1:-1] = v.movedim(1, 2)
            pair = rows[:, :, row : row + reach + 1 : reach]  # the two that it sees
            seen = F.conv2d(pair, conv.weight, conv.bias)  # [B, 2 dim, 1, w]
            seen = seen[:, :, 0].movedim(1, 2) + added
            v = v + gate(seen)
        cache.down = self.down(seen) + for_x
        cache.left = torch.zeros_like(cache.left)
        return v

    def step_place(self, cache: "_LayerCache", x: Tensor, column: int) -> Tensor:
        """The horizontal stack at the next place of that row: [B, dim] -> [B, dim]."""
        mixed = self.horizontal(torch.cat([cache.left, x], dim=-1))
        cache.left = x
        return x + self.out(gate(mixed + cache.down[:, column]))


class PixelCNN(CodePrior):
    """Gated PixelCNN over a grid of codes, conditioned on the slice.

    Args:
        codebook_size, grid, dim, code_dim, organs, top_grid: see `CodePrior`.
        layers: each lets it look one column further, and some rows.
        dropout: in the horizontal stack's residual branches while training.

    >>> import torch
    >>> prior = PixelCNN(codebook_size=512, grid=(8, 4), dim=16, layers=2).eval()
    >>> codes = prior.sample(position=torch.tensor([0.2, 0.8]), seed=1)
    >>> codes.shape
    torch.Size([2, 8, 4])
    >>> nats = -prior.log_prob(codes, torch.tensor([0.2, 0.8])).mean()
    >>> round(nats.exp().item())  # untrained, it takes all codes for equally likely
    512
    """

    def __init__(
        self,
        codebook_size: int = 512,
        grid: tuple[int, int] = (32, 16),
        dim: int = 64,
        layers: int = 2,
        code_dim: int = 8,
        dropout: float = 0.1,
        organs: int = 0,
        top_grid: tuple[int, int] | None = None,
    ):
        super().__init__(codebook_size, grid, dim, code_dim, organs, top_grid)
        self.from_above = nn.Linear(code_dim + 1, dim)
        self.from_left = nn.Linear(code_dim + 1, dim)
        self.layers = nn.ModuleList(
            GatedLayer(dim, reaches, dropout)
            for reaches in islice(cycle(_REACHES), layers)
        )

    def features(self, codes: Tensor, conditioning: Tensor) -> Tensor:
        """See `CodePrior`."""
        none, rows = self.codebook_size, codes.shape[1]
        above = F.pad(codes, (0, 0, 1, 0), value=none)[:, :-1]  # one row down
        left = F.pad(codes, (1, 0), value=none)[:, :, :-1]  # one column to the right
        places = (self.row_embedding + self.column_embedding)[:rows]
        v = self.from_above(self.vectors[above]) + places  # [B, n, w, dim]
        x = self.from_left(self.vectors[left]) + places
        for layer in self.layers:
            v, x = layer(v, x, conditioning[:, :rows])
        return x

    def start(self, conditioning: Tensor) -> "_Cache":
        """See `CodePrior`."""
        return _Cache(
            self.from_above(self.vectors),
            self.from_left(self.vectors),
            self.row_embedding + self.column_embedding,
            [layer.start(conditioning, self.grid) for layer in self.layers],
        )

    def step(self, cache: "_Cache", codes: Tensor, i: int) -> Tensor:
        """See `CodePrior`. The vertical stack runs once a row, for the whole row; the
        horizontal one at each place."""
        width = self.grid[1]
        row, column = divmod(i, width)
        if column == 0:
            above = codes[:, i - width : i] if row else codes[:, -1:]
            v = cache.above[above] + cache.places[row]  # [B, w, dim]
            for layer, memory in zip(self.layers, cache.layers, strict=True):
                v = layer.step_row(memory, v, row)
        left = codes[:, i - 1 if column else -1]
        x = cache.left[left] + cache.places[row, column]  # [B, dim]
        for layer, memory in zip(self.layers, cache.layers, strict=True):
            x = layer.step_place(memory, x, column)
        return self.logits(x)


@dataclass
class _LayerCache:
    """What a layer remembers while codes are drawn."""

    conditioning: list[Tensor]  # of each convolution, [B, h, w, 2 dim]
    rows: list[
        Tensor
    ]  # inputs of each vertical one, padded: [B, dim, h + reach, w + 2]
    down: Tensor  # from the vertical stack to the present row, [B, w, 2 dim]
    left: Tensor  # the horizontal stack at the place to the left, [B, dim]


@dataclass
class _Cache:
    above: Tensor  # embedding of each code as the one above, [K + 1, dim]
    left: Tensor  # as the one to the left, [K + 1, dim]
    places: Tensor  # embedding of each place, [h, w, dim]
    layers: list[_LayerCache]
