"""Editing a slice by its codes: cut and paste, take away, move towards another one.

Codes are a sentence in which words can be exchanged; the decoder then draws the new
one. Taught in notebook 04, sections 4.9 and 4.10.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vqlib.priors import CodePrior

Box = tuple[slice, slice]  # rows and columns of the code grid


def transplant(recipient: Tensor, donor: Tensor, box: Box) -> Tensor:
    """The recipients' codes with the donors' in a block: [..., h, w] each."""
    edited = recipient.clone()
    edited[..., *box] = donor[..., *box]
    return edited


def erase(codes: Tensor, organ: Tensor, usual: Tensor) -> tuple[Tensor, Tensor]:
    """Take an organ away: the usual codes at its places, and one step around them.

    Args:
        codes: [h, w].
        organ: [h, w] bool, the places that hold the organ.
        usual: [h, w], the code that each place has where the organ is not
            (`vqlib.metrics.atlas.usual_codes`); -1 where that is not known, which
            leaves the place as it was.

    Returns:
        codes [h, w], and the places that it was free to paint, [h, w] bool.
    """
    grown = F.max_pool2d(organ[None].float(), 3, 1, 1)[0] > 0
    return torch.where(grown & (usual >= 0), usual, codes), grown


@torch.no_grad()
def morph(
    prior: CodePrior,
    codebook: Tensor,
    first: Tensor,
    last: Tensor,
    positions: tuple[Tensor, Tensor],
    t: float,
    weight: float = 20.0,
    rounds: int = 60,
) -> Tensor:
    """Codes between two slices that the prior finds likely.

    At each place the code c that is best by log p(c | codes before, position) −
    weight · gap(c), where the gap is its vector's squared distance to the straight
    line between the two slices' vectors, relative to the mean of all gaps. All places
    are guessed at once, and again given the last guess: a fixed point is what choosing
    one place after the other would give, and n rounds settle at least n places.

    Args:
        prior: in eval mode.
        codebook: [K, D], in which the straight line is drawn.
        first, last: [B, h, w] codes at t = 0 and t = 1.
        positions: their relative positions, [B] each.
        t: from 0 to 1.
        weight: of the line against the prior; large ones give the nearest codes.
        rounds: at most.

    Returns:
        codes [B, h, w].
    """
    line = torch.lerp(codebook[first], codebook[last], t)  # [B, h, w, D]
    gap = torch.cdist(line.flatten(1, 2), codebook[None]).square()
    gap = (gap / gap.mean()).view(*first.shape, -1)
    position, guess = torch.lerp(*positions, t), gap.argmin(-1)
    for _ in range(rounds):
        log_p = prior(guess, position).log_softmax(-1)
        new = (log_p - weight * gap).argmax(-1)
        if torch.equal(new, guess):
            break
        guess = new
    return guess
