"""What both networks share: how a prior sees codes, what it is told of the slice, how
it answers.

Codes come in and go out as *vectors* of the VQ-VAE's codebook, not as mere names: codes
that look alike are alike for the network from the start, which saves most of the
training that it would take to find that out.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError
from vqlib.models.networks import Model
from vqlib.priors.sampling import sample, sample_volume

_FREQUENCIES = 8  # of the slice position's Fourier features: details of 1/16 volume


class CodePrior(Model):
    """p(c | s) = ∏ p(c_i | c_<i, s) over a grid of codes in raster order.

    The condition s is the slice's relative position in its volume and, where that is
    known, which organs it holds; for the bottom codes of a VQ-VAE-2 also its top codes,
    all of them, which were drawn before (Razavi et al. 2019, section 3.2). A network
    adds ``features``, all places of a grid in one pass, and for sampling ``start`` and
    ``step``, which go from one place to the next without computing anything twice (see
    `vqlib.priors.sampling`).

    Args:
        codebook_size: K.
        grid: (h, w) of the codes.
        dim: width of the network.
        code_dim: D, length of a code vector.
        organs: how many organs may be named as present or absent.
        top_grid: grid of the top codes, for a prior over the bottom codes. K and D are
            the same on both levels.
    """

    def __init__(
        self,
        codebook_size: int,
        grid: tuple[int, int],
        dim: int,
        code_dim: int,
        organs: int = 0,
        top_grid: tuple[int, int] | None = None,
    ):
        super().__init__()
        self.codebook_size, self.grid = codebook_size, tuple(grid)
        # Row K stands for "no code": before the first one. Its mark is the last column.
        vectors = torch.zeros(codebook_size + 1, code_dim + 1)
        vectors[-1, -1] = 1
        self.register_buffer("vectors", vectors)
        self.row = nn.Parameter(0.02 * torch.randn(grid[0], 1, dim))
        self.column = nn.Parameter(0.02 * torch.randn(1, grid[1], dim))
        self.condition = nn.Linear(2 * _FREQUENCIES, dim)
        self.organs = nn.Parameter(
            0.02 * torch.randn(organs, 2, dim)
        )  # absent, present
        self.null_embedding = nn.Parameter(
            0.02 * torch.randn(dim)
        )  # the condition is hidden
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, codebook_size)
        self.output_embedding = nn.Linear(dim, code_dim)
        for layer in (
            self.head,
            self.output_embedding,
        ):  # training starts at exactly log K nats
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.top_grid = top_grid
        if top_grid is not None:
            self.register_buffer("top_vectors", torch.zeros(codebook_size, code_dim))
            self.top = nn.Sequential(
                nn.Conv2d(code_dim, dim, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(dim, dim, 3, padding=1),
            )

    def use_codebook(self, codebook: Tensor, top: Tensor | None = None) -> None:
        """Take the code vectors [K, D] of a VQ-VAE, centred and scaled; for a prior
        over bottom codes those of the ``top`` codes too. Raises `UserError` where these
        are missing, or given to another prior."""
        self._check_levels(top)
        self.vectors[:-1, :-1] = _standard(codebook)
        if top is not None:
            self.top_vectors[:] = _standard(top)

    def check_codebook(self, codebook: Tensor, top: Tensor | None = None) -> None:
        """Raise `UserError` where this prior was trained with other code vectors."""
        self._check_levels(top)
        pairs = [(self.vectors[:-1, :-1], _standard(codebook))]
        if top is not None:
            pairs.append((self.top_vectors, _standard(top)))
        for ours, theirs in pairs:
            same = ours.shape == theirs.shape
            if not same or not torch.allclose(ours, theirs, atol=1e-4):
                raise UserError(
                    f"this prior belongs to another codebook ({len(ours)} codes there, "
                    f"{len(theirs)} here): use the VQ-VAE that it was trained with, or "
                    "train the prior again"
                )

    def conditions(
        self,
        position: Tensor,
        organs: Tensor | None,
        hidden: Tensor | None = None,
        top: Tensor | None = None,
    ) -> Tensor:
        """The condition as one vector a slice, [B, 1, 1, dim]; with top codes as one
        for each place, [B, h, w, dim].

        An organ of which nothing is known adds nothing; where ``hidden`` [B] is true,
        all that is known of the slice but its top codes gives way to one learned
        vector.
        """
        octaves = math.pi * torch.arange(1, _FREQUENCIES + 1, device=position.device)
        angles = position.unsqueeze(1) * octaves  # [B, _FREQUENCIES]
        told = self.condition(torch.cat([angles.sin(), angles.cos()], dim=1))
        if organs is None:
            organs = position.new_full((len(position), len(self.organs)), -1)
        known = torch.stack([organs == 0, organs == 1], dim=2).to(told.dtype)
        told = told + known.flatten(1) @ self.organs.flatten(0, 1)  # [B, dim]
        if hidden is not None:
            told = torch.where(hidden.unsqueeze(1), self.null_embedding, told)
        told = told[:, None, None]
        if top is None:
            return told
        seen = self.top(self.top_vectors[top].movedim(-1, 1))  # [B, dim, h/2, w/2]
        return told + F.interpolate(seen, self.grid).movedim(1, -1)

    def logits(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., K]: a score of each code by its name, and one by how well
        its vector fits the vector that the network wishes for."""
        x = self.norm(x)
        return self.head(x) + self.output_embedding(x) @ self.vectors[:-1, :-1].T

    def features(self, codes: Tensor, told: Tensor) -> Tensor:
        """What the network makes of the codes before each place: [B, n, w] (the first
        rows of a grid, or all) and of the `conditions` -> [B, n, w, dim]."""
        raise NotImplementedError

    def forward(
        self,
        codes: Tensor,
        position: Tensor,
        organs: Tensor | None = None,
        hidden: Tensor | None = None,
        top: Tensor | None = None,
    ) -> Tensor:
        """Logits of every code given those before it.

        Args:
            codes: [B, h, w] int64.
            position: [B] in [0, 1].
            organs: [B, organs], 1 present, 0 absent, -1 unknown; all unknown when not
                given.
            hidden: [B] bool, slices whose condition the network is not told.
            top: [B, h/2, w/2] int64, for a prior over bottom codes.

        Returns:
            [B, h, w, K].

        Raises:
            UserError: codes of another grid or codebook, or a condition out of range.
        """
        self.check(codes, position, organs, top)
        told = self.conditions(position, organs, hidden, top)
        return self.logits(self.features(codes, told))

    def log_prob(
        self,
        codes: Tensor,
        position: Tensor,
        organs: Tensor | None = None,
        top: Tensor | None = None,
    ) -> Tensor:
        """log p(c_i | c_<i, s) in nats: [B, h, w]. Its negative sum is the code length
        of the slice. Arguments as of ``forward``."""
        logits = self(codes, position, organs, top=top).flatten(0, 2)
        nats = F.cross_entropy(logits, codes.flatten(), reduction="none")
        return -nats.view_as(codes)

    def sample(self, position: Tensor, *args, **how) -> Tensor:
        """Draw new grids of codes: `vqlib.priors.sampling.sample`."""
        return sample(self, position, *args, **how)

    def sample_volume(self, positions: Tensor, **how) -> Tensor:
        """Draw a stack of neighbours: `vqlib.priors.sampling.sample_volume`."""
        return sample_volume(self, positions, **how)

    def check(
        self,
        codes: Tensor | None,
        position: Tensor,
        organs: Tensor | None = None,
        top: Tensor | None = None,
    ) -> None:
        """Raise `UserError` for what this prior cannot be asked."""
        if not (position.min() >= 0 and position.max() <= 1):
            raise UserError("a slice position lies outside [0, 1]; it is relative")
        if organs is not None:
            wanted = (len(position), len(self.organs))
            if tuple(organs.shape) != wanted:
                raise UserError(
                    f"organ presence of shape {tuple(organs.shape)}, but this prior "
                    f"takes {wanted}: slices x organs"
                )
            if not torch.isin(
                organs, torch.tensor([-1, 0, 1], device=organs.device)
            ).all():
                raise UserError(
                    "organ presence is 1 (present), 0 (absent) or -1 (unknown)"
                )
        self._check_levels(top)
        levels = (("codes", codes, self.grid), ("top codes", top, self.top_grid))
        for name, given, grid in levels:
            if given is None:
                continue
            if tuple(given.shape) != (len(position), *grid):
                raise UserError(
                    f"{name} of shape {tuple(given.shape)}, but this prior was made "
                    f"for {(len(position), *grid)}: as many grids as positions; use "
                    "the VQ-VAE that it was trained with"
                )
            if given.min() < 0 or given.max() >= self.codebook_size:
                raise UserError(
                    f"{name} outside 0…{self.codebook_size - 1}; this prior belongs to "
                    "another codebook"
                )

    def _check_levels(self, top: Tensor | None) -> None:
        if (top is None) != (self.top_grid is None):
            raise UserError(
                "this prior is over the codes of one level and is told no top codes"
                if self.top_grid is None
                else "this prior is over bottom codes: give it the top codes too"
            )


def _standard(codebook: Tensor) -> Tensor:
    centred = codebook - codebook.mean(0)
    return centred / centred.std().clamp_min(1e-6)
