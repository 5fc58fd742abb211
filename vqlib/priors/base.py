"""What both networks share: how a prior sees codes, its conditioning, its logits.

Codes come in and go out as *vectors* of the VQ-VAE's codebook, not as mere numbers:
codes that look alike are alike for the network from the start, which saves most of the
training that it would take to find that out. Taught in notebook 05.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.errors import UserError
from vqlib.models.networks import Model
from vqlib.priors.sampling import sample

_FREQUENCIES = 8  # of the slice position's Fourier features: details of 1/16 volume


class CodePrior(Model):
    """p(c | s) = ∏ p(c_i | c_<i, s) over a grid of codes in raster order.

    Trained by `vqlib.losses.PriorObjective`. The condition s is the slice's relative
    position in its volume and, where that is known, which organs it holds; for the
    bottom codes of a VQ-VAE-2 also its top codes, all of them, which were drawn before
    (Razavi et al. 2019, section 3.2). A network adds ``features``, all places of a grid
    in one pass, and for sampling ``start`` and ``step``, which go from one place to the
    next without computing anything twice.

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
        self.row_embedding = _embedding(grid[0], 1, dim)
        self.column_embedding = _embedding(1, grid[1], dim)
        self.position_embedding = nn.Linear(2 * _FREQUENCIES, dim)
        self.organ_embedding = _embedding(organs, 2, dim)  # absent, present
        self.null_embedding = _embedding(dim)  # in place of a condition
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, codebook_size)
        self.output_embedding = nn.Linear(dim, code_dim)
        for layer in (self.head, self.output_embedding):  # start: log K nats
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.top_grid = top_grid
        if top_grid is not None:
            self.register_buffer("top_vectors", torch.zeros(codebook_size, code_dim))
            self.top_encoder = nn.Sequential(
                nn.Conv2d(code_dim, dim, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(dim, dim, 3, padding=1),
            )

    def forward(
        self,
        codes: Tensor,
        position: Tensor,
        organs: Tensor | None = None,
        unconditional: Tensor | None = None,
        top: Tensor | None = None,
    ) -> Tensor:
        """Logits of every code given those before it.

        Values are not checked here, where a GPU would have to be waited for in each
        training step, but in `log_prob` and `sample`.

        Args:
            codes: [B, h, w] int64.
            position: [B] in [0, 1].
            organs: [B, organs], 1 present, 0 absent, -1 unknown; all unknown when not
                given.
            unconditional: [B] bool, slices without position and organs.
            top: [B, h/2, w/2] int64, for a prior over bottom codes.

        Returns:
            [B, h, w, K].
        """
        conditioning = self.conditioning(position, organs, unconditional, top)
        return self.logits(self.features(codes, conditioning))

    def log_prob(
        self,
        codes: Tensor,
        position: Tensor,
        organs: Tensor | None = None,
        top: Tensor | None = None,
    ) -> Tensor:
        """log p(c_i | c_<i, s) in nats: [B, h, w]. Its negative sum is the code length
        of the slice. Arguments as of ``forward``.

        Raises:
            UserError: for codes of another grid or codebook, or a condition out of
                range.
        """
        self.check(codes, position, organs, top)
        logits = self(codes, position, organs, top=top).flatten(0, 2)
        nats = F.cross_entropy(logits, codes.flatten(), reduction="none")
        return -nats.view_as(codes)

    sample = sample  # a method: draw new grids of codes

    def conditioning(
        self,
        position: Tensor,
        organs: Tensor | None = None,
        unconditional: Tensor | None = None,
        top: Tensor | None = None,
    ) -> Tensor:
        """The condition as one vector a slice, [B, 1, 1, dim]; with top codes as one
        for each place, [B, h, w, dim].

        An unknown organ adds nothing. Where ``unconditional`` [B] is true, the null
        embedding stands in place of position and organs.
        """
        octaves = math.pi * torch.arange(1, _FREQUENCIES + 1, device=position.device)
        angles = position.unsqueeze(1) * octaves  # [B, _FREQUENCIES]
        slices = self.position_embedding(torch.cat([angles.sin(), angles.cos()], 1))
        if organs is None:
            organs = position.new_full((len(position), len(self.organ_embedding)), -1)
        known = torch.stack([organs == 0, organs == 1], dim=2).to(slices.dtype)
        slices = slices + known.flatten(1) @ self.organ_embedding.flatten(0, 1)
        if unconditional is not None:
            slices = torch.where(
                unconditional.unsqueeze(1), self.null_embedding, slices
            )
        slices = slices[:, None, None]  # [B, 1, 1, dim]
        if top is None:
            return slices
        places = self.top_encoder(self.top_vectors[top].movedim(-1, 1))
        return slices + F.interpolate(places, self.grid).movedim(1, -1)

    def logits(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., K]: a score of each code by its number, and one by the
        scalar product of its vector with the output embedding."""
        x = self.norm(x)
        return self.head(x) + self.output_embedding(x) @ self.vectors[:-1, :-1].T

    def features(self, codes: Tensor, conditioning: Tensor) -> Tensor:
        """What the network makes of the codes before each place: [B, n, w] (the first
        rows of a grid, or all) and of the `conditioning` -> [B, n, w, dim]."""
        raise NotImplementedError

    def start(self, conditioning: Tensor) -> Any:
        """An empty cache for `step`."""
        raise NotImplementedError

    def step(self, cache: Any, codes: Tensor, i: int) -> Tensor:
        """Logits [B, K] of code i, for i = 0, 1, 2, … in turn. Of ``codes`` [B, N + 1]
        those before i are known; the column beyond the grid holds K: no code."""
        raise NotImplementedError

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
            if ours.shape != theirs.shape or not torch.allclose(
                ours, theirs, atol=1e-4
            ):
                raise UserError(
                    f"this prior belongs to another codebook ({len(ours)} codes there, "
                    f"{len(theirs)} here): use the VQ-VAE that it was trained with, or "
                    "train the prior again"
                )

    def check(
        self,
        codes: Tensor | None,
        position: Tensor,
        organs: Tensor | None = None,
        top: Tensor | None = None,
    ) -> None:
        """Raise `UserError` for codes or a condition that this prior cannot take."""
        if not (position.min() >= 0 and position.max() <= 1):
            raise UserError("a slice position lies outside [0, 1]; it is relative")
        if organs is not None:
            shape = (len(position), len(self.organ_embedding))
            values = (organs == -1) | (organs == 0) | (organs == 1)
            if tuple(organs.shape) != shape or not values.all():
                raise UserError(
                    f"organ presence must be 1 (present), 0 (absent) or -1 (unknown), "
                    f"of shape {shape}: slices x organs; not {tuple(organs.shape)}"
                )
        self._check_levels(top)
        levels = (("codes", codes, self.grid), ("top codes", top, self.top_grid))
        for name, given, grid in levels:
            if given is None:
                continue
            shape, size = (len(position), *grid), self.codebook_size
            fits = tuple(given.shape) == shape
            if not fits or given.min() < 0 or given.max() >= size:
                raise UserError(
                    f"{name} must be numbers in 0…{size - 1} of shape {shape}, a grid "
                    f"for each position, not of {tuple(given.shape)}: use the VQ-VAE "
                    "that this prior was trained with"
                )

    def _check_levels(self, top: Tensor | None) -> None:
        if (top is None) != (self.top_grid is None):
            raise UserError(
                "this prior is over the codes of one level and takes no top codes"
                if self.top_grid is None
                else "this prior is over bottom codes: give it the top codes too"
            )


def _embedding(*shape: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(*shape))


def _standard(codebook: Tensor) -> Tensor:
    centred = codebook - codebook.mean(0)
    return centred / centred.std().clamp_min(1e-6)
