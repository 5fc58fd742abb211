"""A prior over the codes by convolutions that look only back: the gated PixelCNN.

Van den Oord et al. 2016 (arXiv 1606.05328), section 2. Two stacks of convolutions run
side by side. The *vertical* one sees all rows above, to either side; the *horizontal*
one sees what lies to the left in the same row, and is told by the vertical one what
lies above. Together they see every code before the present one, where one masked
convolution on another leaves a blind spot to the upper right.

Nothing is masked here: kernels that would be half zero are cut to the half that is not,
which is the same function at half the cost. Taught in notebook 05.
"""

import numpy as np
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

    def forward(self, v: Tensor, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """v, x: [B, h, w, dim]; told: the same, or [B, 1, 1, dim] -> v, x."""
        for_v, for_x = self.condition(told).chunk(2, dim=-1)
        wide = F.pad(v, (0, 0, 1, 1, 1, 0)).permute(0, 3, 1, 2)  # a row above, borders
        seen = self.vertical(wide).permute(0, 2, 3, 1) + for_v  # [B, h, w, 2 dim]
        left = F.pad(x, (0, 0, 1, 0))[:, :, :-1]
        mixed = self.horizontal(torch.cat([left, x], dim=-1)) + self.down(seen) + for_x
        return v + gate(seen), x + self.out(self.drop(gate(mixed)))


class PixelCNNPrior(CodePrior):
    """Gated PixelCNN over a grid of codes, conditioned on the slice.

    Args:
        codebook_size, grid, dim, code_dim, organs, top_grid: see `CodePrior`.
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
        top_grid: tuple[int, int] | None = None,
    ):
        super().__init__(codebook_size, grid, dim, code_dim, organs, top_grid)
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
            v, x = layer(v, x, told[:, : codes.shape[1]])
        return x

    def start(self, told: Tensor) -> "_Places":
        """Nothing remembered yet, and the weights laid out: as of evaluation, and
        detached."""
        return _Places(self, told)

    def step(self, state: "_Places", codes: Tensor, i: int) -> Tensor:
        """Logits [B, K] of code i. The vertical stack runs once a row, for the whole
        row; the horizontal one at each place."""
        width = self.grid[1]
        row, column = divmod(i, width)
        nothing = codes[:, -1:]
        if column == 0:
            above = codes[:, i - width : i] if row else nothing.expand(-1, width)
            state.begin(above, row)
        return state.logits(codes[:, i - 1] if column else nothing[:, 0], column)


class _Places:
    """The network at one place after another: its weights laid out for few operations,
    and what it remembers.

    For a few slices on a CPU they are arrays of NumPy, whose small operations take a
    fraction of PyTorch's time. With more slices the threads of both would get into each
    other's way.
    """

    def __init__(self, prior: PixelCNNPrior, told: Tensor):
        few = len(told) <= 4 and told.dtype == torch.float32
        numpy = told.device.type == "cpu" and few
        self.xp, self.dim, dim = np if numpy else torch, told.shape[-1], told.shape[-1]

        def lay(x: Tensor):
            x = x.detach().contiguous()
            return x.numpy() if numpy else x

        self.lay = lay
        places = (prior.row + prior.column).detach()  # [h, w, dim]
        self.above = lay(prior.from_above(prior.vectors))  # [K + 1, dim]
        self.left = lay(prior.from_left(prior.vectors))
        self.places = lay(places)
        border = told.new_zeros(len(told), prior.grid[1] + 2, dim)
        # σ(b) = (1 + tanh(b / 2)) / 2: the inner half goes into the weights
        halves = torch.cat([places.new_ones(dim), places.new_full((dim,), 0.5)])
        self.layers, self.inputs = [], []  # the vertical stack's: row above, own row
        for layer in prior.layers:
            for_v, for_x = (
                ((x + bias) * halves).detach().expand(-1, *prior.grid, -1)
                for x, bias in zip(
                    layer.condition(told).chunk(2, -1),
                    (layer.vertical.bias, layer.down.bias + layer.horizontal.bias),
                    strict=True,
                )
            )
            left, own = layer.horizontal.weight.chunk(2, dim=1)
            self.layers.append(
                (
                    lay(layer.vertical.weight.permute(2, 3, 1, 0) * halves),
                    for_v.numpy() if numpy else for_v,  # [B, h, w, 2 dim]
                    lay(layer.down.weight.T / halves[:, None] * halves),
                    for_x.numpy() if numpy else for_x,
                    lay(torch.cat([own.T * halves, left.T * halves], dim=1)),
                    lay(layer.out.weight.T),
                    lay(layer.out.bias),
                )
            )
            self.inputs.append([lay(border.clone()), lay(border.clone())])
        # scale and shift of the norm, and both ways to score a code: [dim, K] and [K]
        norm, vectors = prior.norm, prior.vectors[:-1, :-1]
        head = prior.head.weight + vectors @ prior.wish.weight
        bias = prior.head.bias + vectors @ prior.wish.bias + head @ norm.bias
        self.head, self.eps = (lay((head * norm.weight).T), lay(bias)), norm.eps
        mean = places.new_full((dim, 1), 1 / dim)
        self.mean, self.centre = lay(mean), lay(torch.eye(dim).to(mean) - mean)

    def gate(self, x):
        """As `gate`, of halved b."""
        x = self.xp.tanh(x)
        return x[..., : self.dim] * (0.5 * x[..., self.dim :] + 0.5)

    def begin(self, above: Tensor, row: int) -> None:
        """The vertical stack along a row, under codes [B, w]."""
        v = self.above[self.lay(above)] + self.places[row]  # [B, w, dim]
        self.row, self.heard, width = row, [], v.shape[1]
        for n, (taps, for_v, down, for_x, *_) in enumerate(self.layers):
            self.inputs[n] = self.inputs[n][::-1]
            self.inputs[n][1][:, 1:-1] = v
            seen = for_v[:, row]
            for x, of_row in zip(self.inputs[n], taps, strict=True):
                for column, tap in enumerate(of_row):
                    seen = seen + x[:, column : column + width] @ tap
            v = v + self.gate(seen)
            self.heard.append(seen @ down + for_x[:, row])  # [B, w, 2 dim]
        self.before = [0.0] * len(self.layers)  # of the place to the left

    def logits(self, left: Tensor, column: int) -> Tensor:
        """The horizontal stack at a place, beside codes [B]: [B, K]."""
        x = self.left[self.lay(left)] + self.places[self.row, column]  # [B, dim]
        for n, (*_, both, out, bias) in enumerate(self.layers):
            answer = x @ both  # for this place, and for the next
            mixed = answer[:, : 2 * self.dim] + self.heard[n][:, column]
            x = x + self.gate(mixed + self.before[n]) @ out + bias
            self.before[n] = answer[:, 2 * self.dim :]
        x = x @ self.centre
        scale = ((x * x) @ self.mean + self.eps) ** -0.5
        weight, bias = self.head
        return torch.as_tensor((x * scale) @ weight + bias)
