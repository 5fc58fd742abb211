"""K-means of the first batch: where a codebook starts.

K-means++ chooses the first centres (Arthur & Vassilvitskii 2007): an encoder's vectors
of the background are nearly equal, and random ones would make many equal codes. Lloyd's
algorithm then moves each centre to the mean of the vectors nearest to it, a few times
over. Several processes find the centres of all their vectors together. Taught in
notebook 03, section 3.4.
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from vqlib.models.computing import at_least_float32, full_precision, processes


def spread_centres(vectors: Tensor, size: int, random: torch.Generator) -> Tensor:
    """First centres by k-means++: [N, D] -> [K, D]. Each next one is a random vector,
    likely in proportion to its squared distance from the nearest centre before it, so
    that no two are equal while unequal vectors are left.

    >>> import torch
    >>> vectors = torch.tensor([[0.0], [0.0], [0.0], [0.0], [5.0], [9.0]])
    >>> centres = spread_centres(vectors, 3, torch.Generator().manual_seed(0))
    >>> centres.flatten().sort().values
    tensor([0., 5., 9.])
    """
    # By the inverse of the distribution function, so that no GPU is waited for.
    chance = torch.rand(size, generator=random, device="cpu").to(vectors.device)
    centres = vectors.new_empty(size, vectors.shape[1])
    odds = vectors.new_ones(len(vectors))
    for k in range(size):
        total = odds.cumsum(0)
        row = torch.searchsorted(total, chance[k : k + 1] * total[-1], right=True)
        centres[k] = vectors.index_select(0, row.clamp_max(len(vectors) - 1))[0]
        distances = (vectors - centres[k]).square().sum(1)
        odds = torch.minimum(odds, distances) if k else distances
    return centres


@torch.no_grad()
def kmeans(
    vectors: Tensor, centres: Tensor, steps: int, project: Callable[[Tensor], Tensor]
) -> Tensor:
    """Centres after so many steps of Lloyd's algorithm: [N, D], [K, D] -> [K, D].

    ``project`` is applied to each mean, such as to bring it to length 1. A centre that
    no vector is nearest to stays where it is.
    """
    for _ in range(steps):
        codes = nearest_codes(vectors, centres)
        counts, sums = counts_and_sums(vectors, codes, len(centres))
        counts = counts.unsqueeze(1)
        means = project(sums / counts.clamp_min(1))
        centres = torch.where(counts > 0, means, centres)
    return centres


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest code (Euclidean) for each vector: [N, D], [K, D] -> [N].

    ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖², and ‖z‖² is the same for all codes, so one matrix
    product finds the winner. Never in half precision, where the squares overflow. The
    distances are computed in chunks, on the CPU small enough for its cache, so that no
    N x K matrix is ever held.

    >>> import torch
    >>> codebook = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> nearest_codes(torch.tensor([[0.9, 0.8], [0.1, -0.3]]), codebook)
    tensor([1, 0])
    """
    with full_precision(vectors.device):
        vectors, codebook = at_least_float32(vectors), at_least_float32(codebook)
        norms = codebook.square().sum(1)
        at_once = 2**19 if vectors.device.type == "cpu" else 2**26  # distances
        return torch.cat(
            [
                # min is faster than argmin
                torch.addmm(norms, chunk, codebook.T, alpha=-2).min(1).indices
                for chunk in vectors.split(max(1, at_once // len(codebook)))
            ]
        )


def counts_and_sums(vectors: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """How many vectors chose each code, and their sum, over all processes: [N, D] and
    [N] -> [K], [K, D]."""
    n, dim = vectors.shape
    both = vectors.new_zeros(size * (dim + 1))  # in one piece: sent in one message
    counts, sums = both[:size], both[size:].view(size, dim)
    counts.index_add_(0, codes, vectors.new_ones(n))
    sums.index_add_(0, codes, vectors)
    if processes() > 1:
        dist.all_reduce(both)
    return counts, sums
