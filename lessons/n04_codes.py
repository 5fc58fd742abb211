"""What the discrete codes mean, measured for notebook 04.

A code is a name without a definition. What it stands for has to be measured: the mutual
information between code and label says how many bits one tells about the other (Shannon
1948, doi 10.1002/j.1538-7305.1948.tb01338.x), a permutation test how much of it chance
would give (Phipson and Smyth 2010, doi 10.2202/1544-6115.1585), and a table of codes by
labels which code draws which organ. All of it works on codes `[N, h, w]` and labels on
the same grid `[N, h, w]`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import entropy
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

Shuffle = Callable[[torch.Generator], Tensor]


def code_counts(codes: Tensor, codebook_size: int) -> Tensor:
    """How often each code occurs: codes of any shape -> int64 `[K]`."""
    return torch.bincount(codes.flatten(), minlength=codebook_size)


def position_entropy(codes: Tensor, codebook_size: int) -> Tensor:
    """How unpredictable the code is at each place of the grid: `[N, h, w]` -> bits
    `[h, w]` float64, over the N slices. At most log2 N, so only sets of one size
    compare."""
    columns = codes.flatten(1).T  # [h w, N]
    counts = torch.stack([code_counts(column, codebook_size) for column in columns])
    return torch.from_numpy(entropy(counts.numpy(), base=2, axis=1)).view(
        codes.shape[1:]
    )


def patch_means(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean grey value of the patch of each code: `[N, 1, H, W]` -> `[N, h, w]`."""
    return F.adaptive_avg_pool2d(images, grid)[:, 0]


def patch_labels(labels: Tensor, grid: tuple[int, int]) -> Tensor:
    """The label of most pixels in the patch of each code, of a tie the higher one:
    `[N, H, W]` -> int64 `[N, h, w]`."""
    values = range(int(labels.max()), -1, -1)  # of equal votes, argmax takes the first
    votes = [patch_means((labels == v).float()[:, None], grid) for v in values]
    return len(votes) - 1 - torch.stack(votes).argmax(0)


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
) -> PermutationTest:
    """Mutual information of codes and labels against that of shuffled labels.

    Args:
        codes: `[N, h, w]`.
        labels: `[N, h, w]`.
        shuffle: returns the labels in another order, which it takes from the generator;
            what it leaves in place is what the test counts as chance.
        codebook_size: K.
        n: shuffles; the smallest p is 1 / (n + 1).
        seed: of the generator.
    """
    names = int(labels.max()) + 1
    random = torch.Generator().manual_seed(seed)

    def bits(these: Tensor) -> float:
        return mutual_information(contingency(codes, these, codebook_size, names))

    null = np.array([bits(shuffle(random)) for _ in range(n)])
    return PermutationTest(bits(labels), null)


def shuffle_patches(labels: Tensor) -> Shuffle:
    """Every patch gets the label of any patch. Neighbouring patches are alike, so this
    null is far too easy to beat: it shows the bias of the estimate, no more."""

    def shuffle(random: torch.Generator) -> Tensor:
        order = torch.randperm(labels.numel(), generator=random)
        return labels.flatten()[order].view(labels.shape)

    return shuffle


def shift_within_slices(labels: Tensor) -> Shuffle:
    """The label map of each slice is shifted by a random distance, round the edges:
    what a slice contains and what lies beside what stays, where it lies is lost."""
    n, height, width = labels.shape
    i, j = torch.arange(height)[:, None], torch.arange(width)

    def shuffle(random: torch.Generator) -> Tensor:
        down = torch.randint(height, (n, 1, 1), generator=random)
        along = torch.randint(width, (n, 1, 1), generator=random)
        source = (i + down) % height * width + (j + along) % width  # [N, h, w]
        return labels.flatten(1).gather(1, source.flatten(1)).view(labels.shape)

    return shuffle


def shuffle_patients(
    labels: Tensor, patients: Tensor, weeks: Tensor, positions: Tensor
) -> Shuffle:
    """Each patient gets the label maps of another one at the same depth.

    Patients are what was sampled, so patients are what may change places. A slice
    takes the label map of the slice at the nearest relative position in a scan of the
    other patient: both are whole anatomies, and what remains of the information is what
    the usual anatomy of a place explains.

    Args:
        labels: `[N, h, w]`.
        patients: `[N]`.
        weeks: `[N]`.
        positions: `[N]`, relative position of a slice in its volume.
    """
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


class CodeMeanings(NamedTuple):
    """What each code stands for, by majority."""

    label: Tensor  # [K] int64, the label it meets most; −1 where it never occurs
    count: Tensor  # [K] float64, occurrences


def code_meanings(table: Tensor) -> CodeMeanings:
    """The majority label of each code from a contingency table `[K, L]`."""
    count = table.sum(1)
    label = torch.where(count > 0, table.argmax(1), -1)
    return CodeMeanings(label, count)


def covering_codes(table: Tensor, label: int, share: float = 0.5) -> Tensor:
    """The purest codes that together draw a share of one label: int64 `[n]`.

    Codes in falling order of p(label | code) until they hold ``share`` of the label's
    patches; none for a label that does not occur.
    """
    column, count = table[:, label], table.sum(1).clamp(min=1)
    order = (column / count).argsort(descending=True, stable=True)
    if column.sum() == 0:
        return order[:0]
    covered = column[order].cumsum(0) / column.sum()
    return order[: int((covered < share - 1e-9).sum()) + 1]


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


def example_patches(images: Tensor, codes: Tensor, code: int, limit: int = 8) -> Tensor:
    """Real patches that got a code, evenly from all that did, each with its margin.

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
    for i, j in torch.nonzero(where.any(0)).tolist():
        seen = codes[where[:, i, j], i, j]
        result[i, j] = code_counts(seen, codebook_size).argmax()
    return result


def read_out(x: Tensor, y: Tensor, test_x: Tensor, test_y: Tensor) -> float:
    """R² on test of a ridge regression that was fitted on train: how well features
    `[N, F]` tell a quantity `[N]`. 1 is perfect, 0 as good as always saying the mean.
    The penalty is chosen within train, by leaving out one slice at a time."""
    reader = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    return float(reader.fit(x.numpy(), y.numpy()).score(test_x.numpy(), test_y.numpy()))
