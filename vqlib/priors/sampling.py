"""Drawing codes from a prior, one after the other.

The network keeps what it has computed (`TransformerPrior.start`, ``step``); here is
what happens between its logits and the next code: guidance, temperature, top-k and
top-p, and the draw. A code is drawn by the Gumbel-max trick: the largest of log p + g,
with independent Gumbel noise g, is a draw from p. Taught in notebook 05, section 5.6.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vqlib.errors import UserError

if TYPE_CHECKING:
    from vqlib.priors.transformer import TransformerPrior


@torch.no_grad()
def sample(
    prior: "TransformerPrior",
    position: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    *,
    top_p: float | None = None,
    context: Tensor | None = None,
    guidance: float = 1.0,
    codes: Tensor | None = None,
    keep: Tensor | None = None,
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
        context: [B, C, h, w], where the prior was trained with one.
        guidance: w of classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598,
            eq. 6 with w one larger): logits = free + w (conditional − free), with free
            the logits without condition. 1 is none, more exaggerates the condition.
            Doubles the cost.
        codes, keep: for inpainting. Where ``keep`` [B, h, w] or [h, w] is true the code
            of ``codes`` [B, h, w] stays, and the others are drawn. As the order is
            raster order, a drawn code depends on the kept ones before it, not on those
            after.

    Returns:
        codes [B, h, w] int64.

    Raises:
        UserError: for whatever is out of range or does not fit.
    """
    prior.check(codes, position, context)
    _check_settings(temperature, top_k, top_p, guidance)
    (height, width), batch = prior.grid, len(position)
    length, device = height * width, position.device
    kept = _check_keep(codes, keep, (batch, height, width))
    random = torch.Generator(device).manual_seed(seed)
    guided, unconditional = guidance != 1, None
    if guided:  # the same slices a second time, without the condition
        position = position.repeat(2)
        context = None if context is None else context.repeat(2, 1, 1, 1)
        unconditional = torch.arange(2 * batch, device=device) >= batch
    cache = prior.start(position, context, unconditional)
    # One column more than there are places: what lies outside the grid is "no code".
    drawn = torch.full((len(position), length + 1), prior.codebook_size, device=device)
    for i in range(length):
        column = i % width
        if temperature and column == 0:  # the noise of a row at once, which is faster
            noise = gumbel((width, batch, prior.codebook_size), random, device)
        logits = prior.step(cache, drawn, i)
        if guided:
            conditional, free = logits.chunk(2)
            logits = free + guidance * (conditional - free)
        new = draw(
            logits, noise[column] if temperature else None, temperature, top_k, top_p
        )
        if kept is not None:
            new = torch.where(kept[:, i], codes.flatten(1)[:, i], new)
        drawn[:, i] = new.repeat(2) if guided else new
    return drawn[:batch, :length].reshape(batch, height, width)


def draw(
    logits: Tensor,
    noise: Tensor | None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """One code from each row of logits: [B, K] -> [B]; ``noise`` is Gumbel [B, K]."""
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None and top_k < logits.shape[-1]:
        worst = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < worst, -torch.inf)
    if top_p is not None and top_p < 1:
        likeliest, order = logits.sort(descending=True)
        p = (likeliest / temperature).softmax(-1)
        beyond = p.cumsum(-1) - p >= top_p  # enough before this one
        logits = logits.masked_fill(beyond.gather(-1, order.argsort()), -torch.inf)
    return (logits + temperature * noise).argmax(-1)  # as of logits / T + noise


def gumbel(shape: tuple[int, ...], random: torch.Generator, device=None) -> Tensor:
    """Independent Gumbel noise, −log(−log u) of uniform u."""
    uniform = torch.rand(shape, generator=random, device=device)  # < 1
    return uniform.log_().neg_().log_().neg_()


def _check_settings(temperature, top_k, top_p, guidance) -> None:
    for name, value, fits, wanted in (
        ("temperature", temperature, 0 <= temperature < math.inf, "0 or more"),
        ("top_k", top_k, top_k is None or top_k >= 1, "1 or more"),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1, "above 0 and at most 1"),
        ("guidance", guidance, 0 <= guidance < math.inf, "0 or more"),
    ):
        if not fits:
            raise UserError(f"{name} must be {wanted}, not {value}")


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
    return keep.expand(shape).flatten(1)
