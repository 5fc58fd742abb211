"""What the discrete codes mean, measured for notebook 04.

A code is a name without a definition. What it stands for has to be measured: the mutual
information between code and label says how many bits one tells about the other (Shannon
1948, doi 10.1002/j.1538-7305.1948.tb01338.x), a permutation test how much of it chance
would give (Phipson and Smyth 2010, doi 10.2202/1544-6115.1585). All of it works on
codes `[N, h, w]` and labels on the same grid `[N, h, w]`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

Shuffle = Callable[[torch.Generator], Tensor]


def code_counts(codes: Tensor, codebook_size: int) -> Tensor:
    """How often each code occurs: codes of any shape -> int64 `[K]`."""
    return torch.bincount(codes.flatten(), minlength=codebook_size)


def patch_means(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean grey value of the patch of each code: `[N, 1, H, W]` -> `[N, h, w]`."""
    return F.adaptive_avg_pool2d(images, grid)[:, 0]


def patch_labels(labels: Tensor, grid: tuple[int, int]) -> Tensor:
    """The label of most pixels in the patch of each code, of a tie the higher one:
    `[N, H, W]` -> int64 `[N, h, w]`."""
    values = range(int(labels.max()), -1, -1)  # of equal votes, argmax takes the first
    votes = [patch_means((labels == v).float()[:, None], grid) for v in values]
    return len(votes) - 1 - torch.stack(votes).argmax(0)


def cosines(size: int) -> Tensor:
    """The functions of the two-dimensional cosine transform on a square patch, from
    coarse to fine: orthonormal, float32 `[size², size, size]` (Ahmed et al. 1974, doi
    10.1109/T-C.1974.223784)."""
    middles = (torch.arange(size) + 0.5) / size
    waves = torch.cos(math.pi * torch.arange(size)[:, None] * middles)  # [u, pixel]
    waves = waves / waves.norm(dim=1, keepdim=True)
    pairs = [(u, v) for u in range(size) for v in range(size)]
    pairs.sort(key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, -pair[0]))
    return torch.stack([waves[u][:, None] * waves[v] for u, v in pairs])


def contingency(codes: Tensor, labels: Tensor, codebook_size: int, n: int) -> Tensor:
    """How often each code meets each of ``n`` labels: float64 `[K, n]`."""
    pairs = codes.flatten() * n + labels.flatten()
    return code_counts(pairs, codebook_size * n).view(codebook_size, n).double()


def mutual_information(table: Tensor) -> float:
    """I(code; label) in bits from a contingency table `[K, L]`: the plug-in estimate,
    above 0 even for unrelated codes, so read it beside a permutation test."""
    nats = mutual_info_score(None, None, contingency=table.numpy())
    return float(nats) / math.log(2)


class PermutationTest(NamedTuple):
    """A value beside what chance gives."""

    observed: float
    null: np.ndarray  # [n], the same value after each shuffle

    @property
    def p(self) -> float:
        """How often chance does as well: (1 + #{null ≥ observed}) / (1 + n)."""
        at_least = np.sum(self.null >= self.observed - 1e-12)
        return float((1 + at_least) / (1 + len(self.null)))


def permutation_test(
    codes: Tensor,
    labels: Tensor,
    shuffle: Shuffle,
    codebook_size: int,
    n: int = 99,
    seed: int = 0,
    inside: bool = False,
) -> PermutationTest:
    """Mutual information of codes and labels `[N, h, w]` against that after ``n``
    shuffles; what a ``shuffle`` leaves in place is what the test counts as chance.
    ``inside``: count only positions where the label is above 0 before and after the
    shuffle; observed is then the mean over these sets of positions."""
    names = int(labels.max()) + 1
    random = torch.Generator().manual_seed(seed)

    def bits(these: Tensor, where: Tensor) -> float:
        pairs = contingency(codes[where], these[where], codebook_size, names)
        return mutual_information(pairs)

    observed, null = [], []
    everywhere = torch.ones_like(labels, dtype=torch.bool)
    for _ in range(n):
        new = shuffle(random)
        where = (labels > 0) & (new > 0) if inside else everywhere
        null.append(bits(new, where))
        if inside or not observed:
            observed.append(bits(labels, where))
    return PermutationTest(float(np.mean(observed)), np.array(null))


def shuffle_patches(labels: Tensor) -> Shuffle:
    """Every patch gets the label of any patch. Neighbouring patches are alike, so this
    null is far too easy to beat: it shows the bias of the estimate, no more."""

    def shuffle(random: torch.Generator) -> Tensor:
        order = torch.randperm(labels.numel(), generator=random)
        return labels.flatten()[order].view(labels.shape)

    return shuffle


def shuffle_patients(
    labels: Tensor, patients: Tensor, weeks: Tensor, positions: Tensor
) -> Shuffle:
    """Each patient gets the label maps of another one at the same depth.

    Patients are what was sampled, so patients are what may change places. A slice takes
    the label map `[h, w]` at the nearest relative position in a scan of the other
    patient; what remains of the information is what the usual anatomy of a place
    explains."""
    rows = {
        patient: [
            torch.nonzero((patients == patient) & (weeks == week))[:, 0]
            for week in weeks[patients == patient].unique()
        ]
        for patient in patients.unique().tolist()
    }

    def shuffle(random: torch.Generator) -> Tensor:
        source, names = torch.empty(len(labels), dtype=torch.int64), list(rows)
        order = torch.randperm(len(names), generator=random).tolist()
        for patient, other in zip(names, order, strict=True):
            scans = rows[names[other]]
            scan = scans[int(torch.randint(len(scans), (1,), generator=random))]
            for own in rows[patient]:
                gap = (positions[own][:, None] - positions[scan][None]).abs()
                source[own] = scan[gap.argmin(1)]
        return labels[source]

    return shuffle


def mean_patches(images: Tensor, codes: Tensor, codebook_size: int) -> Tensor:
    """What is usually seen where a code stands, with a margin of one patch (edges are
    repeated outwards).

    images `[N, 1, H, W]`, of patches p x p, and codes `[N, h, w]` -> `[K, 3 p, 3 p]`,
    0 for a code that never occurs.
    """
    p = images.shape[-1] // codes.shape[-1]
    total = torch.zeros(codebook_size, 9 * p * p)
    for some, own in zip(images.split(64), codes.split(64), strict=True):
        padded = F.pad(some, (p,) * 4, mode="replicate")
        around = F.unfold(padded, 3 * p, stride=p)  # [n, 9 p p, h w]
        total.index_add_(0, own.flatten(), around.mT.flatten(0, 1))
    count = code_counts(codes, codebook_size).clamp(min=1)
    return (total / count[:, None]).view(codebook_size, 3 * p, 3 * p)


def read_out(x: Tensor, y: Tensor, test_x: Tensor, test_y: Tensor) -> float:
    """R² on test of a ridge regression that was fitted on train: how well features
    `[N, F]` tell a quantity `[N]`. 1 is perfect, 0 as good as always saying the mean.
    The penalty is chosen within train, by leaving out one slice at a time."""
    reader = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    return float(reader.fit(x.numpy(), y.numpy()).score(test_x.numpy(), test_y.numpy()))
