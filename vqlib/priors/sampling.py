"""Drawing codes from a prior, one after the other: one loop for every network.

The network keeps what it has computed (`start`, `step`); here is only what happens
between its logits and the next code. A code is drawn by the Gumbel-max trick: the
largest of log p + g, with independent Gumbel noise g, is a draw from p. So all chance
lies in the noise, and slices that share some of it resemble each other while each by
itself stays an exact draw from the prior. Taught in notebook 05, section 5.6.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vqlib.errors import UserError

Array = Tensor | np.ndarray

# a shape [..., B, K], a generator and where -> Gumbel noise
Noise = Callable[[tuple[int, ...], torch.Generator, torch.device], Tensor]


class Sampled(Protocol):
    """What the loop asks of a prior."""

    codebook_size: int
    grid: tuple[int, int]

    def check(self, codes, position, organs=None, top=None) -> None:
        """Raise `UserError` for bad input."""

    def conditions(self, position, organs, hidden, top) -> Tensor:
        """The condition: [B, 1, 1, dim] or [B, h, w, dim]."""

    def start(self, told: Tensor):
        """What is to be remembered from step to step, before the first code, given the
        conditions. Its ``lay`` turns a tensor into the kind of array that ``step``
        takes and gives: a tensor, or one of NumPy in the same memory."""

    def step(self, state, codes: Array, i: int) -> Array:
        """Logits [B, K] of code i. Of ``codes`` [B, N + 1] those before i are known;
        the others, and the column beyond the grid, hold K: no code."""


def gumbel(shape: tuple[int, ...], random: torch.Generator, device=None) -> Tensor:
    """Independent Gumbel noise."""
    uniform = torch.rand(shape, generator=random, device=device)  # < 1
    return uniform.log_().neg_().log_().neg_()


@torch.no_grad()
def sample(
    prior: Sampled,
    position: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    *,
    top_p: float | None = None,
    organs: Tensor | None = None,
    guidance: float = 1.0,
    top: Tensor | None = None,
    codes: Tensor | None = None,
    keep: Tensor | None = None,
    noise: Noise = gumbel,
    on_row: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Draw grids of codes, one for each slice position.

    Args:
        prior: in eval mode.
        position: [B] in [0, 1].
        temperature: logits are divided by it; 0 takes the likeliest code.
        top_k: draw among the k likeliest codes only.
        seed: of the draws.
        top_p: draw among the fewest codes whose probabilities sum to p or more
            (nucleus sampling, Holtzman et al. 2020, arXiv 1904.09751).
        organs: [B, organs], 1 present, 0 absent, -1 unknown.
        guidance: w of classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598):
            logits = free + w (told − free), where the network is not told (free) or
            told the condition; 1 is none, more exaggerates the condition. Doubles the
            cost.
        top: [B, h/2, w/2], the top codes, for a prior over bottom codes.
        codes, keep: for inpainting. Where ``keep`` [B, h, w] or [h, w] is true the code
            of ``codes`` [B, h, w] stays, and the others are drawn. As the order is
            raster order, a drawn code heeds the kept ones before it, not those after.
        noise: where the chance comes from.
        on_row: called after each row of codes with the grids so far, [B, h, w] int64;
            -1 where nothing is drawn yet.

    Returns:
        codes [B, h, w] int64.

    Raises:
        UserError: for whatever is out of range or does not fit.
    """
    prior.check(codes, position, organs, top)
    _check_settings(temperature, top_k, top_p, guidance)
    (height, width), batch = prior.grid, len(position)
    length, device = height * width, position.device
    kept = _check_keep(codes, keep, (batch, height, width))
    random = torch.Generator(device).manual_seed(seed)
    guided, hidden = guidance != 1, None
    if guided:  # the same slices a second time, with the condition hidden
        position = position.repeat(2)
        organs = None if organs is None else organs.repeat(2, 1)
        top = None if top is None else top.repeat(2, 1, 1)
        hidden = torch.arange(2 * batch, device=device) >= batch
    state = prior.start(prior.conditions(position, organs, hidden, top))
    drawn = torch.full((len(position), length + 1), prior.codebook_size, device=device)
    known = state.lay(drawn)  # the same memory
    if kept is not None:
        kept, given = state.lay(kept), state.lay(codes.flatten(1))
    for i in range(length):
        column = i % width
        if temperature and column == 0:  # a row at once, which is faster
            chance = noise((width, batch, prior.codebook_size), random, device)
            chance = state.lay(chance)
        logits = prior.step(state, known, i)
        if guided:
            told, free = logits[:batch], logits[batch:]
            logits = free + guidance * (told - free)
        noisy = chance[column] if temperature else None
        known[:batch, i] = draw(logits, noisy, temperature, top_k, top_p)
        if kept is not None:
            stays, new = kept[:, i], known[:batch, i]
            new[:] = stays * given[:, i] + ~stays * new
        if guided:
            known[batch:, i] = known[:batch, i]
        if on_row is not None and column == width - 1:
            yet = torch.arange(length, device=device) <= i
            so_far = drawn[:batch, :length].where(yet, -1)
            on_row(so_far.view(batch, height, width))
    return drawn[:batch, :length].reshape(batch, height, width)


def sample_levels(
    top_prior: Sampled, bottom_prior: Sampled, position: Tensor, seed: int = 0, **how
) -> tuple[Tensor, Tensor]:
    """Draw both levels of a VQ-VAE-2: the top codes, and the bottom codes given them.

    Args:
        top_prior, bottom_prior: in eval mode.
        position: [B] in [0, 1].
        seed: of the top draws; the bottom ones have the next.
        how: temperature, top_k, top_p, organs and guidance of `sample`, for both.

    Returns:
        codes [B, h/2, w/2] and [B, h, w], as `VQVAE2.decode` takes them.

    Raises:
        UserError: as `sample`.
    """
    top = sample(top_prior, position, seed=seed, **how)
    bottom = sample(bottom_prior, position, seed=seed + 1, top=top, **how)
    return top, bottom


def sample_volume(
    prior: Sampled, positions: Tensor, stretch: float = 0.1, **how
) -> Tensor:
    """Draw a stack of slices that go together: neighbours share their chance.

    The noise of the slices at positions s and t is correlated by exp(−|s − t| /
    stretch). Each slice is an exact draw from the prior; near ones meet with nearly the
    same chance and so come out alike. What is *not* there is a model of volumes:
    nothing sees to it that an organ's surface goes on smoothly from slice to slice.

    Args:
        prior: in eval mode.
        positions: [B] in [0, 1], in any order.
        stretch: how far along the volume slices keep their likeness, above 0.
        how: as of `sample`.

    Returns:
        codes [B, h, w] int64.

    Raises:
        UserError: as `sample`, and for a stretch of 0 or less.
    """
    if not stretch > 0:
        raise UserError(f"stretch must be above 0, not {stretch}")
    distance = (positions.unsqueeze(0) - positions.unsqueeze(1)).abs().double()
    together = (-distance / stretch).exp()  # an Ornstein-Uhlenbeck process along s
    together.diagonal().add_(1e-6)  # two slices at one position
    mix = torch.linalg.cholesky(together).to(positions.dtype)  # [B, B]

    def noise(shape, random, device):
        normal = torch.randn(shape, generator=random, device=device)
        return -(-torch.special.log_ndtr(mix @ normal)).log()  # normal -> Gumbel

    return sample(prior, positions, noise=noise, **how)


def draw(
    logits: Array,
    noise: Array | None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Array:
    """One code from each row of logits: [B, K] -> [B]; ``noise`` is Gumbel [B, K]."""
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None and top_k < logits.shape[-1]:
        logits, noise = torch.as_tensor(logits), torch.as_tensor(noise)
        worst = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < worst, -torch.inf)
    if top_p is not None and top_p < 1:
        logits, noise = torch.as_tensor(logits), torch.as_tensor(noise)
        likeliest, order = logits.sort(descending=True)
        share = (likeliest / temperature).softmax(-1)
        beyond = share.cumsum(-1) - share >= top_p  # enough before this one
        logits = logits.masked_fill(beyond.gather(-1, order.argsort()), -torch.inf)
    return (logits + temperature * noise).argmax(-1)  # as of logits / T + noise


def _check_settings(temperature, top_k, top_p, guidance) -> None:
    if not temperature >= 0:
        raise UserError(f"temperature must be 0 or more, not {temperature}")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k must be 1 or more, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p must be above 0 and at most 1, not {top_p}")
    if not guidance >= 0:
        raise UserError(f"guidance must be 0 or more, not {guidance}")


def _check_keep(codes, keep, shape: tuple[int, int, int]) -> Tensor | None:
    """The mask as [B, N], or None; raises `UserError`."""
    if keep is None and codes is None:
        return None
    if keep is None or codes is None:
        raise UserError("codes and keep belong together: which codes, and where")
    if keep.dtype != torch.bool or tuple(keep.shape) not in (shape, shape[1:]):
        raise UserError(
            f"keep must be a mask (bool) of shape {shape} or {shape[1:]}, not "
            f"{keep.dtype} of {tuple(keep.shape)}"
        )
    if not keep.any():
        raise UserError("keep is empty: no code stays; leave it out to draw all anew")
    return keep.expand(shape).flatten(1)
