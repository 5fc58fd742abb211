"""What the discrete codes mean: how they are used, where, and what they draw.

A code is a name without a definition. What it stands for has to be measured: the
mutual information between code and label says how many bits one tells about the other
(Shannon 1948, doi 10.1002/j.1538-7305.1948.tb01338.x), a permutation test what of it
chance would give (Phipson and Smyth 2010, doi 10.2202/1544-6115.1585), and a table of
codes by labels which code draws which organ. All of it works on codes `[N, h, w]` and
labels on the same grid `[N, h, w]`. Taught in notebook 04.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


def code_counts(codes: Tensor, codebook_size: int) -> Tensor:
    """How often each code occurs: codes of any shape -> int64 [K].

    Raises ValueError for codes outside 0 … K − 1.
    """
    codes = codes.reshape(-1)
    if len(codes) and (codes.min() < 0 or codes.max() >= codebook_size):
        raise ValueError(f"codes must lie in 0 … {codebook_size - 1}")
    return torch.bincount(codes, minlength=codebook_size)


def entropy(counts: Tensor) -> Tensor:
    """Bits of the distributions that counts `[..., K]` stand for: float64 `[...]`.

    The plug-in estimate: too low by about (codes seen − 1) / (2 ln 2 · observations).
    Nothing observed has entropy 0.
    """
    counts = counts.double()
    p = counts / counts.sum(-1, keepdim=True).clamp(min=1)
    return -torch.special.xlogy(p, p).sum(-1) / np.log(2) + 0.0  # no −0


def position_entropy(codes: Tensor, codebook_size: int) -> Tensor:
    """How unpredictable the code is at each place of the grid: `[N, h, w]` -> bits
    `[h, w]` float64, over the N slices. At most log2 N, so only sets of one size
    compare."""
    n, height, width = codes.shape
    counts = torch.stack(
        [code_counts(column, codebook_size) for column in codes.reshape(n, -1).T]
    )
    return entropy(counts).view(height, width)


def jensen_shannon(a: Tensor, b: Tensor) -> float:
    """Divergence of two distributions given as counts `[K]`, in bits: 0 for the same,
    1 for two that share nothing (Lin 1991, doi 10.1109/18.61115, eq. 4.1)."""
    p, q = (counts.double() / counts.sum() for counts in (a, b))
    mixed = entropy((p + q) / 2)
    return max(0.0, float(mixed - (entropy(p) + entropy(q)) / 2))


def patch_means(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean grey value of the patch of each code: `[N, 1, H, W]` -> `[N, h, w]`."""
    return avg_pool2d(images, _patch(images, grid))[:, 0]


def patch_labels(labels: Tensor, grid: tuple[int, int]) -> Tensor:
    """The label of most pixels in the patch of each code: `[N, H, W]` -> int64
    `[N, h, w]`; of a tie the higher one, as `vqlib.data.fit_to` has it.

    Raises ValueError for a grid that does not divide the slices.
    """
    size = _patch(labels, grid)
    winner = torch.zeros(len(labels), *grid, dtype=torch.int64)
    votes = torch.zeros(winner.shape)
    for value in range(int(labels.max()) + 1 if labels.numel() else 0):
        share = avg_pool2d((labels == value).float()[:, None], size)[:, 0]
        winner = torch.where(share >= votes, value, winner)
        votes = torch.maximum(share, votes)
    return winner


def _patch(images: Tensor, grid: tuple[int, int]) -> tuple[int, int]:
    height, width = images.shape[-2:]
    if height % grid[0] or width % grid[1]:
        raise ValueError(f"a grid of {grid} does not divide slices of {height}x{width}")
    return height // grid[0], width // grid[1]


def contingency(codes: Tensor, labels: Tensor, codebook_size: int, n: int) -> Tensor:
    """How often each code meets each of ``n`` labels: float64 `[K, n]`."""
    pairs = codes.reshape(-1) * n + labels.reshape(-1)
    return code_counts(pairs, codebook_size * n).view(codebook_size, n).double()


def mutual_information(table: Tensor) -> float:
    """I(code; label) in bits from a contingency table `[K, L]`.

    Σ p(c, l) log2 [p(c, l) / (p(c) p(l))] = H(c) + H(l) − H(c, l). The plug-in
    estimate: above 0 even for unrelated codes, so read it beside a permutation test.
    """
    joint = entropy(table.flatten())
    return max(0.0, float(entropy(table.sum(1)) + entropy(table.sum(0)) - joint))


class PermutationTest(NamedTuple):
    """A value beside what chance gives."""

    observed: float
    null: np.ndarray  # [n], the same value after each shuffle

    @property
    def p(self) -> float:
        """How often chance does as well: (1 + #{null ≥ observed}) / (1 + n)."""
        at_least = np.sum(self.null >= self.observed - 1e-12)
        return float((1 + at_least) / (1 + len(self.null)))


Shuffle = Callable[[torch.Generator], Tensor]


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
    """Each man gets the label maps of another man at the same depth.

    Patients are what was sampled, so patients are what may change places. A slice
    takes the label map of the slice at the nearest relative position in a scan of the
    other man: both are whole anatomies, and what remains of the information is what
    the usual anatomy of a place explains.

    Args:
        labels: `[N, h, w]`.
        patients: `[N]`.
        weeks: `[N]`.
        positions: `[N]`, relative position of a slice in its volume.
    """
    rows: dict[int, dict[int, Tensor]] = {}
    for patient in patients.unique().tolist():
        own = patients == patient
        rows[patient] = {
            week: torch.nonzero(own & (weeks == week))[:, 0]
            for week in weeks[own].unique().tolist()
        }
    names = list(rows)

    def shuffle(random: torch.Generator) -> Tensor:
        source = torch.empty(len(labels), dtype=torch.int64)
        order = torch.randperm(len(names), generator=random).tolist()
        for patient, other in zip(names, order, strict=True):
            scans = list(rows[names[other]].values())
            scan = scans[int(torch.randint(len(scans), (1,), generator=random))]
            for own in rows[patient].values():
                gap = (positions[own][:, None] - positions[scan][None]).abs()
                source[own] = scan[gap.argmin(1)]
        return labels[source]

    return shuffle


class CodeMeanings(NamedTuple):
    """What each code stands for, by majority."""

    label: Tensor  # [K] int64, the label it meets most; −1 where it never occurs
    purity: Tensor  # [K] float64, share of its occurrences with that label
    count: Tensor  # [K] float64, occurrences


def code_meanings(table: Tensor) -> CodeMeanings:
    """The majority label of each code from a contingency table `[K, L]`."""
    count = table.sum(1)
    label = torch.where(count > 0, table.argmax(1), -1)
    return CodeMeanings(label, table.amax(1) / count.clamp(min=1), count)


def purity(table: Tensor) -> float:
    """Share of all patches whose label is the majority label of their code. Compare it
    with the share of the most frequent label, which needs no codes."""
    return float(table.amax(1).sum() / table.sum())


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


def dice(predicted: Tensor, labels: Tensor, n: int) -> Tensor:
    """Overlap of two label maps, for each of ``n`` labels: float64 `[n]`, 1 where they
    agree, NaN for a label that occurs in neither (Dice 1945, doi 10.2307/1932409)."""
    table = contingency(predicted, labels, n, n)
    return 2 * table.diagonal() / (table.sum(0) + table.sum(1))
