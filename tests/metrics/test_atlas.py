import pytest
import torch

from vqlib.metrics import atlas


def random_codes(n=40, grid=(6, 5), k=4, seed=0):
    return torch.randint(k, (n, *grid), generator=torch.Generator().manual_seed(seed))


def test_mean_patches_are_what_stands_around_a_code():
    codes = torch.zeros(1, 4, 3, dtype=torch.int64)
    codes[0, 2, 1] = 1
    image = torch.arange(4 * 3.0).view(1, 1, 4, 3)
    image = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    mean = atlas.mean_patches(image, codes, 3)
    assert mean.shape == (3, 6, 6)
    assert torch.equal(mean[1], image[0, 0, 2:8, 0:6])  # rows 1 … 3, columns 0 … 2
    assert mean[2].sum() == 0  # never occurs
    own = atlas.mean_patches(image, codes, 3, margin=0)
    assert own[1].unique().tolist() == [7.0]
    rest = (torch.arange(12.0).sum() - 7) / 11
    assert own[0].mean() == pytest.approx(float(rest))
    # at the edge the outermost pixels are repeated
    assert atlas.mean_patches(image, 1 - codes, 3)[0, :, 0].tolist() == [
        3,
        3,
        6,
        6,
        9,
        9,
    ]


def test_company_finds_what_neighbours_tell_and_where():
    codes = random_codes(n=400)
    codes[:, :, 1:] = codes[:, :, :1]  # a row is one code: 2 bits along it
    bits = atlas.company(codes, 4, reach=2)
    assert bits.shape == (5, 5)
    assert bits[2, 2].isnan()
    assert bits[2, 3] == pytest.approx(2, abs=0.02)
    assert bits[2, 0] == pytest.approx(2, abs=0.02)
    assert abs(bits[3, 2]) < 0.02
    assert abs(bits[4, 0]) < 0.02


def test_company_leaves_out_what_the_places_tell():
    codes = torch.arange(30).view(1, 6, 5).repeat(50, 1, 1) % 4
    bits = atlas.company(codes, 4, reach=1)
    assert bits[bits == bits].abs().max() < 1e-9


def test_neighbour_lift_is_how_much_more_often_than_by_chance():
    codes = torch.zeros(1, 4, 2, dtype=torch.int64)
    codes[0, :, 0] = torch.tensor([0, 0, 1, 2])  # below
    codes[0, :, 1] = torch.tensor([0, 0, 1, 0])  # right above
    lift = atlas.neighbour_lift(codes, 4)
    assert lift.shape == (4, 4)
    assert lift[1, 1].item() == pytest.approx(2.0)  # 1/4 over 1/4 x 1/4
    assert lift[2, 0].item() == pytest.approx(torch.tensor(4 / 3).log2().item())
    assert lift[0, 1].isnan()
    assert lift[3].isnan().all()
    independent = atlas.neighbour_lift(random_codes(n=4000), 4)
    assert independent.abs().max() < 0.1


def test_example_patches_are_real_ones_with_what_is_around():
    codes = torch.zeros(2, 4, 5, dtype=torch.int64)
    codes[1, 2, 3] = codes[0, 1, 1] = codes[0, 0, 2] = 7  # the last one at an edge
    images = torch.arange(2 * 8 * 10.0).view(2, 1, 8, 10)
    found = atlas.example_patches(images, codes, 7)
    assert found.shape == (2, 6, 6)
    assert torch.equal(found[0], images[0, 0, 0:6, 0:6])
    assert torch.equal(found[1], images[1, 0, 2:8, 4:10])
    assert len(atlas.example_patches(images, codes, 7, limit=1)) == 1
    assert atlas.example_patches(images, codes, 3).shape == (0, 6, 6)
    assert len(atlas.example_patches(images, codes, 0, limit=5)) == 5


def test_usual_codes_count_only_what_the_mask_allows():
    codes = torch.tensor([[[1, 2]], [[1, 3]], [[0, 3]]])
    where = torch.tensor([[[True, False]], [[True, False]], [[True, False]]])
    assert atlas.usual_codes(codes, where, 4).tolist() == [[1, -1]]
    where[2, 0, 1] = True
    assert atlas.usual_codes(codes, where, 4).tolist() == [[1, 3]]


def test_consistency_tells_a_man_from_another():
    """Patient 1 draws the kind with codes 0 and 1, patient 2 with 2 and 3."""
    n = 40
    patients = torch.tensor([1, 2]).repeat_interleave(n)
    weeks = torch.arange(2 * n) // (n // 2) % 2
    codes = random_codes(2 * n, k=2) + 2 * (patients == 2)[:, None, None]
    kinds = torch.zeros_like(codes)
    kinds[:, :3] = 1
    codes[kinds == 0] = 4
    found = atlas.consistency(codes, kinds, 1, patients, weeks, 5, others=(0,))
    means = {name: sum(v) / len(v) for name, v in found.items()}
    assert list(found) == [
        "the same scan",
        "the same man, another week",
        "another man",
        "another kind",
    ]
    assert means["the same scan"] < 0.01
    assert means["the same man, another week"] < 0.01
    assert means["another man"] == pytest.approx(1)
    assert means["another kind"] == pytest.approx(1)
    assert len(found["another man"]) == 8
    assert atlas.consistency(codes, kinds, 3, patients, weeks, 5) == {}


def test_nearest_slices_by_histogram_are_of_other_groups():
    codes = torch.zeros(4, 2, 2, dtype=torch.int64)
    codes[1, 0, 0] = codes[3, 1, 1] = 1  # the place does not matter
    features = atlas.code_histograms(codes, 3)
    assert features.square().sum(1).tolist() == pytest.approx([1] * 4)
    groups = torch.tensor([0, 0, 1, 1])
    assert atlas.nearest_elsewhere(features, groups)[:, 0].tolist() == [2, 3, 0, 1]
    assert atlas.nearest_elsewhere(features, groups, k=2)[0].tolist() == [2, 3]
    with pytest.raises(ValueError, match="only one group"):
        atlas.nearest_elsewhere(features, torch.zeros(4))


def test_read_out_tells_what_is_there_and_not_what_is_not():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(200, 5, generator=random)
    y, noise = 3 * x[:, 1] - x[:, 4] + 7, torch.randn(200, generator=random)
    known = atlas.read_out(x[:150], y[:150], x[150:], y[150:])
    assert known == pytest.approx(1, abs=0.01)
    assert atlas.read_out(x[:150], noise[:150], x[150:], noise[150:]) < 0.2
