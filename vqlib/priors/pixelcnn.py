"""A prior over the codes by convolutions that look only back: the gated PixelCNN.

Van den Oord et al. 2016 (arXiv 1606.05328), section 2. Two stacks of convolutions run
side by side. The *vertical* one sees all rows above, to either side; the *horizontal*
one sees what lies to the left in the same row, and is told by the vertical one what
lies above. Together they see every code before the present one, where one masked
convolution on another leaves a blind spot to the upper right.

Unlike the paper's, the vertical stack takes two convolutions to a layer, and they skip
rows (dilation, as in WaveNet, arXiv 1609.03499), so that few layers see far up. It runs
once a row, the horizontal one once a code: what the first learns is cheap to sample.

Nothing is masked here: kernels that would be half zero are cut to the half that is not,
which is the same function at half the cost. Taught in notebook 05.
"""

from itertools import cycle, islice

import numpy as np
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
        self.horizontal = nn.Linear(
            2 * dim, 2 * dim
        )  # the one to the left, and its own
        self.down = nn.Linear(2 * dim, 2 * dim)  # from the vertical to the horizontal
        self.condition = nn.Linear(dim, (len(reaches) + 1) * 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def told(self, condition: Tensor) -> tuple[Tensor, ...]:
        """What the condition adds to each vertical convolution, and to the horizontal
        one: [..., dim] -> [..., 2 dim] each."""
        return self.condition(condition).chunk(len(self.vertical) + 1, dim=-1)

    def forward(self, v: Tensor, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """v, x: [B, h, w, dim]; condition: the same, or [B, 1, 1, dim] -> v, x."""
        *for_v, for_x = self.told(condition)
        for conv, told in zip(self.vertical, for_v, strict=True):
            wide = F.pad(v, (0, 0, 1, 1, conv.dilation[0], 0))  # rows above, borders
            seen = conv(wide.movedim(3, 1)).movedim(1, 3) + told  # [B, h, w, 2 dim]
            v = v + gate(seen)
        left = F.pad(x, (0, 0, 1, 0))[:, :, :-1]
        mixed = self.horizontal(torch.cat([left, x], dim=-1)) + self.down(seen) + for_x
        return v, x + self.out(self.drop(gate(mixed)))


class PixelCNN(CodePrior):
    """Gated PixelCNN over a grid of codes, conditioned on the slice.

    Args:
        codebook_size, grid, dim, code_dim, organs, top_grid: see `CodePrior`.
        layers: each lets it look one column further, and some rows.
        dropout: in the horizontal stack's residual branches while training.
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

    def features(self, codes: Tensor, told: Tensor) -> Tensor:
        """See `CodePrior`."""
        none, places = self.codebook_size, (self.row + self.column)[: codes.shape[1]]
        above = F.pad(codes, (0, 0, 1, 0), value=none)[:, :-1]  # one row down
        left = F.pad(codes, (1, 0), value=none)[:, :, :-1]  # one column to the right
        v = self.from_above(self.vectors[above]) + places  # [B, n, w, dim]
        x = self.from_left(self.vectors[left]) + places
        for layer in self.layers:
            v, x = layer(v, x, told[:, : codes.shape[1]])
        return x

    def start(self, told: Tensor) -> "_Places":
        """Nothing remembered yet, and the weights laid out: as of evaluation, and
        detached."""
        return _Places(self, told)

    def step(self, state: "_Places", codes, i: int):
        """Logits [B, K] of code i. The vertical stack runs once a row, for the whole
        row; the horizontal one at each place."""
        width = self.grid[1]
        row, column = divmod(i, width)
        if column == 0:
            state.begin(codes[:, i - width : i] if row else codes[:, -1:], row)
        return state.logits(codes[:, i - 1 if column else -1], column)


class _Places:
    """The network at one place after another: its weights laid out for few operations,
    and what it remembers.

    For a few slices on a CPU they are arrays of NumPy, whose small operations take a
    fraction of PyTorch's time. With more slices the threads of both would get into each
    other's way.
    """

    def __init__(self, prior: PixelCNN, told: Tensor):
        few = len(told) <= 4 and told.dtype == torch.float32
        self.numpy = told.device.type == "cpu" and few
        self.xp, self.mm = (np, np.dot) if self.numpy else (torch, torch.mm)
        self.dim = dim = told.shape[-1]
        lay, grid = self.lay, prior.grid
        places = prior.row + prior.column  # [h, w, dim]
        # σ(b) = (1 + tanh(b / 2)) / 2: the halves go into the weights, the inner one
        # before the gate, the outer one behind it
        halves = torch.cat([places.new_ones(dim), places.new_full((dim,), 0.5)])
        self.vertical, self.down, self.horizontal = [], [], []
        for layer in prior.layers:
            *for_v, for_x = layer.told(told)
            for conv, added in zip(layer.vertical, for_v, strict=True):
                weight = conv.weight.permute(2, 3, 1, 0)  # [2, 3, dim, 2 dim]
                added = ((added + conv.bias) * halves).expand(-1, *grid, -1)
                border = told.new_zeros(len(told), grid[1] + 2, dim)
                past = [lay(border.clone()) for _ in range(conv.dilation[0] + 1)]
                self.vertical.append((lay(weight * halves), lay(added), past))
            heard = layer.down.weight.T / halves[:, None] * halves
            bias = layer.down.bias + layer.horizontal.bias
            added = ((for_x + bias) * halves).expand(-1, *grid, -1)
            self.down.append((len(self.vertical) - 1, lay(heard), lay(added)))
            left, own = layer.horizontal.weight.chunk(2, dim=1)
            both = torch.cat([own.T * halves, left.T * halves], dim=1)
            self.horizontal.append(
                (lay(both), lay(0.5 * layer.out.weight.T), lay(layer.out.bias))
            )
        self.above = lay(prior.from_above(prior.vectors))  # [K + 1, dim]
        self.left = lay(prior.from_left(prior.vectors))
        self.places = lay(places)
        # scale and shift of the norm, and both ways to score a code: [dim, K] and [K]
        norm, vectors = prior.norm, prior.vectors[:-1, :-1]
        head = prior.head.weight + vectors @ prior.output_embedding.weight
        bias = (
            prior.head.bias + vectors @ prior.output_embedding.bias + head @ norm.bias
        )
        self.head, self.eps = (lay((head * norm.weight).T), lay(bias)), norm.eps
        mean = places.new_full((dim, 1), 1 / dim)
        self.mean, self.centre = lay(mean), lay(torch.eye(dim).to(mean) - mean)

    def lay(self, x: Tensor):
        """The tensor as the array that is computed with, in the same memory where it
        can be."""
        x = x.detach().contiguous()
        return x.numpy() if self.numpy else x

    def twice_gate(self, x):
        """2 `gate`, of halved b; in place."""
        self.xp.tanh(x, out=x)
        gated = x[..., self.dim :]
        gated += 1
        gated *= x[..., : self.dim]
        return gated

    def begin(self, above, row: int) -> None:
        """The vertical stack along a row, under codes [B, w], or [B, 1] for all."""
        v = self.above[above] + self.places[row]  # [B, w, dim]
        self.row, width, seen = row, v.shape[1], []
        for taps, added, past in self.vertical:
            past.append(past.pop(0))  # the oldest row's memory is the new row's
            past[-1][:, 1:-1] = v
            answer = added[:, row]
            for x, of_row in zip((past[0], past[-1]), taps, strict=True):
                for column, tap in enumerate(of_row):
                    answer = answer + x[:, column : column + width] @ tap
            seen.append(answer)
            v = v + 0.5 * self.twice_gate(1 * answer)
        heard = [seen[n] @ down + added[:, row] for n, down, added in self.down]
        self.heard = [x.swapaxes(0, 1) for x in heard]  # [w, B, 2 dim]
        self.before = [0.0] * len(heard)  # of the place to the left

    def logits(self, left, column: int):
        """The horizontal stack at a place, beside codes [B]: [B, K]."""
        mm, wide = self.mm, 2 * self.dim
        x = self.left[left] + self.places[self.row, column]  # [B, dim]
        for n, (both, out, bias) in enumerate(self.horizontal):
            answer = mm(x, both)  # for this place, and for the next
            mixed = answer[:, :wide]
            mixed += self.heard[n][column]
            mixed += self.before[n]
            x += mm(self.twice_gate(mixed), out)
            x += bias
            self.before[n] = answer[:, wide:]
        x = mm(x, self.centre)
        x /= self.xp.sqrt(mm(x * x, self.mean) + self.eps)
        weight, bias = self.head
        return mm(x, weight) + bias
