import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from vqlib.metrics import codes as m


def random_codes(n=12, size=4, top=5, seed=0):
    return torch.randint(
        top, (n, size, size), generator=torch.Generator().manual_seed(seed)
    )


def test_counts_and_codes_outside_the_codebook():
    assert m.code_counts(torch.tensor([[0, 2], [2, 2]]), 4).tolist() == [1, 0, 3, 0]
    with pytest.raises(ValueError, match="0 … 1"):
        m.code_counts(torch.tensor([2]), 2)


def test_entropy_of_known_distributions():
    counts = torch.tensor([[4, 4, 4, 4], [7, 0, 0, 0], [2, 1, 1, 0], [0, 0, 0, 0]])
    assert m.entropy(counts).tolist() == pytest.approx([2, 0, 1.5, 0])


def test_position_entropy_tells_a_fixed_place_from_a_free_one():
    codes = torch.zeros(8, 2, 3, dtype=torch.int64)
    codes[:, 1, 2] = torch.arange(8) % 4
    bits = m.position_entropy(codes, 6)
    assert bits.shape == (2, 3)
    assert bits[1, 2] == pytest.approx(2)
    assert bits.sum() == pytest.approx(2)


def test_jensen_shannon_is_between_0_and_1():
    a, b = torch.tensor([3, 1, 0, 0]), torch.tensor([0, 0, 5, 5])
    assert m.jensen_shannon(a, 10 * a) == pytest.approx(0, abs=1e-12)
    assert m.jensen_shannon(a, b) == pytest.approx(1)
    p, q = torch.tensor([1, 0]), torch.tensor([1, 1])
    assert m.jensen_shannon(p, q) == pytest.approx(0.311278, abs=1e-6)


def test_patch_labels_take_the_majority_and_of_a_tie_the_higher():
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    labels[0, :2, :2] = torch.tensor([[3, 3], [3, 1]])
    labels[0, :2, 2:] = torch.tensor([[5, 5], [1, 1]])
    labels[0, 2:, 2:] = torch.tensor([[4, 0], [0, 0]])
    assert m.patch_labels(labels, (2, 2)).tolist() == [[[3, 5], [0, 0]]]
    with pytest.raises(ValueError, match="does not divide"):
        m.patch_labels(labels, (3, 2))


def test_patch_means():
    image = torch.arange(8.0).view(1, 1, 2, 4)
    assert m.patch_means(image, (1, 2)).tolist() == [[[2.5, 4.5]]]


def test_mutual_information_agrees_with_scikit_learn():
    codes, noise = random_codes(), random_codes(seed=1)
    labels = torch.where(noise > 2, noise, codes)
    table = m.contingency(codes, labels, 7, 5)
    assert table[6].sum() == 0
    expected = mutual_info_score(codes.flatten(), labels.flatten()) / math.log(2)
    assert m.mutual_information(table) == pytest.approx(expected)
    identity = m.contingency(codes, codes, 5, 5)
    counts = m.code_counts(codes, 5)
    assert m.mutual_information(identity) == pytest.approx(float(m.entropy(counts)))
    assert m.mutual_information(torch.ones(3, 4)) == pytest.approx(0, abs=1e-12)


def test_p_value_counts_the_observed_one():
    assert m.PermutationTest(0.5, np.full(99, 0.1)).p == pytest.approx(0.01)
    assert m.PermutationTest(0.1, np.full(99, 0.1)).p == 1


def test_shuffles_keep_what_they_promise():
    labels = random_codes(seed=3)
    patches = m.shuffle_patches(labels)(torch.Generator().manual_seed(0))
    within = m.shift_within_slices(labels)(torch.Generator().manual_seed(0))
    assert not torch.equal(patches, labels)
    assert not torch.equal(within, labels)
    assert torch.equal(patches.flatten().sort().values, labels.flatten().sort().values)
    assert torch.equal(
        within.flatten(1).sort(1).values, labels.flatten(1).sort(1).values
    )
    shifts = [(a, b) for a in range(4) for b in range(4)]
    for old, new in zip(labels, within, strict=True):
        assert any(torch.equal(old.roll(by, (0, 1)), new) for by in shifts)


def test_patients_exchange_whole_slices_at_the_same_depth():
    # two men; the first has 2 scans of 3 slices, the second 1 of 5. A label tells whose
    # slice it is (tens) and where it lies (ones).
    patients = torch.tensor([1] * 6 + [2] * 5)
    weeks = torch.tensor([0] * 3 + [4] * 3 + [0] * 5)
    positions = torch.tensor([0, 0.5, 1, 0, 0.5, 1, 0, 0.25, 0.5, 0.75, 1])
    labels = (10 * patients + (4 * positions).long())[:, None, None].expand(-1, 2, 2)
    shuffle = m.shuffle_patients(labels, patients, weeks, positions)
    exchanged = 0
    for seed in range(8):
        new = shuffle(torch.Generator().manual_seed(seed))[:, 0, 0]
        assert torch.equal(new[:6] % 10, labels[:6, 0, 0] % 10)
        owners = new // 10
        assert len(owners[:6].unique()) == len(owners[6:].unique()) == 1
        assert owners[0] != owners[-1]
        exchanged += int(owners[0] == 2)
    assert 0 < exchanged < 8


def test_permutation_test_finds_what_is_there_and_nothing_else():
    n, patients = 40, torch.arange(40) // 4
    weeks, positions = torch.zeros(40), (torch.arange(40) % 4) / 3
    labels = random_codes(n, 4, 3, seed=5)
    shuffle = m.shuffle_patients(labels, patients, weeks, positions)
    same = m.permutation_test(labels, labels, shuffle, 3, n=39)
    assert same.p == pytest.approx(1 / 40)
    assert len(same.null) == 39
    unrelated = [
        m.permutation_test(random_codes(n, 4, 3, seed), labels, shuffle, 3, n=19).p
        for seed in range(10, 40)
    ]
    assert 0.3 < np.mean(unrelated) < 0.7  # uniform, where the null is right
    again = m.permutation_test(labels, labels, shuffle, 3, n=39)
    assert np.array_equal(again.null, same.null)


def test_meanings_and_purity():
    table = torch.tensor([[6.0, 2.0], [0.0, 4.0], [0.0, 0.0]])
    meanings = m.code_meanings(table)
    assert meanings.label.tolist() == [0, 1, -1]
    assert meanings.purity.tolist() == [0.75, 1, 0]
    assert meanings.count.tolist() == [8, 4, 0]
    assert m.purity(table) == pytest.approx(10 / 12)


def test_covering_codes_are_the_purest_that_suffice():
    table = torch.tensor([[9.0, 1.0], [0.0, 4.0], [5.0, 5.0], [0.0, 0.0]])
    assert m.covering_codes(table, 1, 0.4).tolist() == [1]
    assert m.covering_codes(table, 1, 0.5).tolist() == [1, 2]
    assert m.covering_codes(table, 1, 1.0).tolist() == [1, 2, 0]
    empty = torch.tensor([[3.0, 0.0]])
    assert m.covering_codes(empty, 1).tolist() == []


def test_dice():
    a, b = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1])
    values = m.dice(a, b, 3)
    assert values[:2].tolist() == pytest.approx([2 / 3, 0.8])
    assert math.isnan(values[2])
