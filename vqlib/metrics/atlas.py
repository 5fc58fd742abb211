"""An atlas of the codebook: what each code draws, whom it keeps company with, and
whether it does the same in other people.

All of it works on codes `[N, h, w]`, images `[N, 1, H, W]` and kinds (labels) on the
same grid `[N, h, w]`. Taught in notebook 04.
"""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from vqlib.metrics.codes import (
    code_counts,
    contingency,
    jensen_shannon,
    mutual_information,
)


def mean_patches(
    images: Tensor, codes: Tensor, codebook_size: int, margin: int = 1
) -> Tensor:
    """What is usually seen where a code stands, with its surroundings.

    Args:
        images: `[N, 1, H, W]`, of patches p x p.
        codes: `[N, h, w]` of the same slices.
        codebook_size: K.
        margin: so many patches around the code's own; edges are repeated outwards.

    Returns:
        `[K, (2 margin + 1) p, (2 margin + 1) p]`, 0 for a code that never occurs.
    """
    n, height, width = codes.shape
    p, side = images.shape[-1] // width, 2 * margin + 1
    padded = F.pad(images, (margin * p,) * 4, mode="replicate")[:, 0]
    flat = codes.reshape(-1)
    count = code_counts(flat, codebook_size).clamp(min=1)
    result = torch.zeros(codebook_size, side, p, side, p)
    for i, j in itertools.product(range(side), repeat=2):
        part = padded[:, i * p :, j * p :][:, : height * p, : width * p]
        tiles = part.reshape(n, height, p, width, p).transpose(2, 3)
        sums = torch.zeros(codebook_size, p, p).index_add_(
            0, flat, tiles.reshape(-1, p, p)
        )
        result[:, i, :, j] = sums / count[:, None, None]
    return result.view(codebook_size, side * p, side * p)


def company(codes: Tensor, codebook_size: int, reach: int = 3, seed: int = 0) -> Tensor:
    """Bits that a code tells about the code at some distance, beyond what the two
    places tell by themselves.

    From the mutual information of the pairs that of pairs from two different slices is
    taken away, at the same places: it holds what the usual anatomy explains, and the
    bias of the estimate as well.

    Returns:
        `[2 reach + 1, 2 reach + 1]` by offset, NaN in the middle. The map is symmetric.
    """
    random = torch.Generator().manual_seed(seed)
    others = codes[torch.randperm(len(codes), generator=random)]
    height, width = codes.shape[1:]
    result = torch.full((2 * reach + 1, 2 * reach + 1), torch.nan)
    for i, j in itertools.product(range(reach + 1), range(-reach, reach + 1)):
        if i == 0 and j <= 0:
            continue  # the middle, or the mirror image of one that was done
        left = slice(max(0, -j), width - max(0, j))
        right = slice(max(0, j), width - max(0, -j))
        here = codes[:, : height - i, left]
        bits = [
            mutual_information(
                contingency(here, there[:, i:, right], codebook_size, codebook_size)
            )
            for there in (codes, others)
        ]
        result[reach + i, reach + j] = result[reach - i, reach - j] = bits[0] - bits[1]
    return result


def neighbour_lift(codes: Tensor, codebook_size: int) -> Tensor:
    """Which codes keep company: ``log2 p(a, b) / (p(a) p(b))`` of code b right above
    code a, towards the head (pointwise mutual information: Church & Hanks 1990,
    aclanthology.org/J90-1003).

    `[N, h, w]` -> `[K, K]` by (a, b); NaN for pairs that never occur."""
    below, above = codes[:, :, :-1], codes[:, :, 1:]
    pairs = contingency(below, above, codebook_size, codebook_size)
    shares = pairs / pairs.sum()
    alone = shares.sum(1, keepdim=True) * shares.sum(0, keepdim=True)
    return torch.where(pairs > 0, (shares / alone).log2(), torch.nan)


def example_patches(images: Tensor, codes: Tensor, code: int, limit: int = 8) -> Tensor:
    """Real patches that got a code, evenly from all that did, each with one patch
    around it.

    images `[N, 1, H, W]` and codes `[N, h, w]` -> `[n, 3 p, 3 p]`, n from 0 to
    ``limit``; places at the edge of the grid are left out.
    """
    p = images.shape[-1] // codes.shape[-1]
    places = torch.nonzero(codes[:, 1:-1, 1:-1] == code)
    rows = torch.linspace(0, len(places) - 1, min(limit, len(places))).long()
    cuts = [
        images[n, :, i * p : (i + 3) * p, j * p : (j + 3) * p]
        for n, i, j in places[rows].tolist()
    ]
    return torch.cat([images.new_zeros(0, 3 * p, 3 * p), *cuts])


def usual_codes(codes: Tensor, where: Tensor, codebook_size: int) -> Tensor:
    """The most frequent code at each place, over the slices where a mask is True: codes
    and mask `[N, h, w]` -> `[h, w]`, −1 where the mask never is."""
    result = torch.full(codes.shape[1:], -1)
    for i, j in itertools.product(*map(range, codes.shape[1:])):
        seen = codes[where[:, i, j], i, j]
        if len(seen):
            result[i, j] = code_counts(seen, codebook_size).argmax()
    return result


def consistency(
    codes: Tensor,
    kinds: Tensor,
    kind: int,
    patients: Tensor,
    weeks: Tensor,
    codebook_size: int,
    others: tuple[int, ...] = (),
    least: int = 20,
) -> dict[str, list[float]]:
    """How alike the codes are that draw one kind, from scan to scan.

    Each scan gives two histograms of the codes at places of that kind, of its odd and
    of its even slices, so that all comparisons are between samples of one size: odd
    against even slices of the same scan, of the same man in another week, of another
    man, and against another kind in the same scan.

    Args:
        codes, kinds: `[N, h, w]`.
        kind: the one that is looked at.
        patients, weeks: `[N]`.
        codebook_size: K.
        others: kinds to compare with.
        least: occurrences that a histogram needs to be counted.

    Returns:
        name of the comparison → Jensen–Shannon divergences in bits; only those that the
        data allow.
    """
    scans = torch.stack([patients, weeks], 1).unique(dim=0).tolist()
    half = torch.arange(len(codes)) % 2

    def histogram(scan, parity: int, which: int):
        rows = (patients == scan[0]) & (weeks == scan[1]) & (half == parity)
        counts = code_counts(codes[rows][kinds[rows] == which], codebook_size)
        return counts if counts.sum() >= least else None

    odd = [histogram(scan, 1, kind) for scan in scans]
    even = [histogram(scan, 0, kind) for scan in scans]
    found: dict[str, list[float]] = {}

    def compare(name: str, a, b) -> None:
        if a is not None and b is not None:
            found.setdefault(name, []).append(jensen_shannon(a, b))

    for a, b in itertools.product(range(len(scans)), repeat=2):
        if a == b:
            compare("the same scan", odd[a], even[b])
            for other in others:
                compare("another kind", odd[a], histogram(scans[a], 0, other))
        elif scans[a][0] == scans[b][0]:
            compare("the same man, another week", odd[a], even[b])
        else:
            compare("another man", odd[a], even[b])
    order = ("the same scan", "the same man, another week", "another man")
    return {n: found[n] for n in (*order, "another kind") if n in found}


def code_histograms(codes: Tensor, codebook_size: int) -> Tensor:
    """Square roots of the shares of the K codes in each slice: `[N, h, w]` -> `[N, K]`.

    Their Euclidean distance is Hellinger's, up to a factor: rare codes count."""
    shares = torch.stack([code_counts(c, codebook_size) for c in codes]).float()
    return (shares / shares.sum(1, keepdim=True)).sqrt()


def nearest_elsewhere(features: Tensor, groups: Tensor, k: int = 1) -> Tensor:
    """The k nearest slices of another group (scan, or patient): features `[N, F]` and
    groups `[N]` -> rows `[N, k]`. Raises ValueError where there is one group only."""
    if len(groups.unique()) < 2:
        raise ValueError("there is only one group, so nothing is elsewhere")
    rows = []
    for some, own in zip(features.split(256), groups.split(256), strict=True):
        distance = torch.cdist(some, features)
        distance[own[:, None] == groups[None]] = torch.inf
        rows.append(distance.topk(k, largest=False).indices)
    return torch.cat(rows)


def read_out(x: Tensor, y: Tensor, test_x: Tensor, test_y: Tensor) -> float:
    """R² on test of a ridge regression that was fitted on train: how well features
    `[N, F]` tell a quantity `[N]`. 1 is perfect, 0 as good as always saying the mean.
    The penalty is chosen within train, by leaving out one slice at a time."""
    reader = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    reader.fit(x.numpy(), y.numpy())
    return float(r2_score(test_y.numpy(), reader.predict(test_x.numpy())))
