import numpy as np
import pytest
import torch

from lessons import n04_codes as m
from lessons import n04_figures as draw
from lessons.style import SLICE_MM


def random_codes(n=12, size=4, top=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(top, (n, size, size), generator=generator)


def test_patches_take_the_majority_label_of_a_tie_the_higher_and_the_mean_grey():
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    labels[0, :2, :2] = torch.tensor([[3, 3], [3, 1]])
    labels[0, :2, 2:] = torch.tensor([[5, 5], [1, 1]])
    labels[0, 2:, 2:] = torch.tensor([[4, 0], [0, 0]])
    assert m.patch_labels(labels, (2, 2)).tolist() == [[[3, 5], [0, 0]]]
    image = torch.arange(8.0).view(1, 1, 2, 4)
    assert m.patch_means(image, (1, 2)).tolist() == [[[2.5, 4.5]]]


def test_mutual_information_of_itself_is_the_entropy_of_unrelated_codes_nothing():
    codes = torch.tensor([[[0, 0], [1, 2]]])
    table = m.contingency(codes, codes, 4, 3)
    assert table[3].sum() == 0
    assert m.mutual_information(table) == pytest.approx(1.5)
    assert m.mutual_information(torch.ones(3, 4)) == pytest.approx(0, abs=1e-12)


def test_shuffled_patches_stay_the_same():
    labels, random = random_codes(seed=3), torch.Generator().manual_seed(0)
    patches = m.shuffle_patches(labels)(random)
    assert not torch.equal(patches, labels)
    assert torch.equal(patches.flatten().sort().values, labels.flatten().sort().values)


def test_patients_exchange_whole_slices_at_the_same_depth():
    # two patients; the first has 2 scans of 3 slices, the second 1 of 5. A label tells
    # whose slice it is (tens) and where it lies (ones).
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
    others = (random_codes(n, 4, 3, seed) for seed in range(10, 40))
    p = [m.permutation_test(codes, labels, shuffle, 3, n=19).p for codes in others]
    assert 0.3 < np.mean(p) < 0.7  # uniform, where the null is right
    again = m.permutation_test(labels, labels, shuffle, 3, n=39)
    assert np.array_equal(again.null, same.null)


def test_inside_the_body_only_positions_of_both_bodies_count():
    labels = torch.tensor([[[0, 1], [1, 2]], [[0, 2], [2, 1]]])
    codes = torch.tensor([[[5, 0], [0, 1]], [[5, 1], [1, 0]]])
    swap = lambda random: labels.flip(0)  # noqa: E731
    test = m.permutation_test(codes, labels, swap, 6, n=3, inside=True)
    assert test.observed == pytest.approx(1)  # without the air, which is 1 bit and more
    assert test.null == pytest.approx(1)  # exchanged labels name the codes as well


def test_cosines_are_orthonormal_and_begin_with_constant_and_gradients():
    waves = m.cosines(4)
    flat = waves.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(16))
    assert waves[0].std() < 1e-6
    assert waves[1].std(1).max() < 1e-6  # along the first axis alone
    assert waves[2].std(0).max() < 1e-6


def test_mean_patches_are_what_stands_around_a_code():
    codes = torch.zeros(1, 4, 3, dtype=torch.int64)
    codes[0, 2, 1] = 1
    image = torch.arange(4 * 3.0).view(1, 1, 4, 3)
    image = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    mean = m.mean_patches(image, codes, 3)
    assert mean.shape == (3, 6, 6)
    assert torch.equal(mean[1], image[0, 0, 2:8, 0:6])  # rows 1 … 3, columns 0 … 2
    assert mean[2].sum() == 0  # never occurs
    rest = (torch.arange(12.0).sum() - 7) / 11
    assert mean[0, 2:4, 2:4].mean() == pytest.approx(float(rest))


def test_read_out_tells_what_is_there_and_not_what_is_not():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(200, 5, generator=random)
    y, noise = 3 * x[:, 1] - x[:, 4] + 7, torch.randn(200, generator=random)
    known = m.read_out(x[:150], y[:150], x[150:], y[150:])
    assert known == pytest.approx(1, abs=0.01)
    assert m.read_out(x[:150], noise[:150], x[150:], noise[150:]) < 0.2


GRID = (8, 4)
SLICES = torch.rand(2, 1, 32, 16, generator=torch.Generator().manual_seed(0))


def test_code_maps_are_upright():
    values = torch.arange(32.0).view(1, *GRID)
    shown = draw.code_maps(SLICES, values, SLICES, "component").axes[1].images[0]
    assert np.array_equal(shown.get_array(), values[0].T)
    assert shown.origin == "lower"


def test_editing_frames_the_block_in_all_panels():
    image, box = SLICES[:1], (slice(2, 4), slice(1, 3))
    panels = {"a": image, "b": image, "change": image - 0.5}
    axes = draw.editing(panels, box, GRID).axes[:3]
    (width, height) = SLICE_MM
    for axis in axes:
        corners = axis.patches[0].get_bbox().get_points()
        expected = [[width / 4, height / 4], [width / 2, 3 * height / 4]]
        np.testing.assert_allclose(corners, expected)
    low, high = axes[2].images[0].get_clim()
    assert low == -high
