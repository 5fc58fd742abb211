import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from vqlib.metrics import slice_scores
from vqlib.metrics.conventions import (
    OURS,
    flat_window,
    gaussian_window,
    mean_of_batch_means,
    ssim_by_conventions,
    ssim_map,
)


@pytest.fixture
def pair():
    """A smooth slice that does not fill [0, 1], with noise that overshoots it."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 1, 8, 4, generator=generator) * 0.6
    target = torch.nn.functional.interpolate(coarse, (64, 32), mode="bilinear")
    noise = 0.1 * torch.randn(target.shape, generator=generator)
    return target + noise, target


@pytest.fixture
def body():
    mask = torch.zeros(64, 32, dtype=torch.bool)
    mask[10:50, 4:28] = True
    return mask


@pytest.fixture
def readings(pair, body):
    return ssim_by_conventions(*pair, body)


def test_windows_sum_to_one():
    assert gaussian_window().shape == (11, 11)
    assert gaussian_window().sum() == pytest.approx(1)
    assert gaussian_window()[5, 6] / gaussian_window()[5, 5] == pytest.approx(
        2.718281828 ** (-1 / 4.5)
    )
    assert flat_window(7).sum() == pytest.approx(1)


def test_the_first_reading_is_the_projects_own_score(readings, pair, body):
    scores = slice_scores(*pair, body[None])
    assert next(iter(readings)) == OURS
    assert readings[OURS].value == pytest.approx(scores["ssim"].item(), abs=1e-5)
    inside = readings["inside the body only"].value
    assert inside == pytest.approx(scores["ssim_body"].item(), abs=1e-5)


def test_the_formula_takes_the_range_as_a_library_does(readings, pair):
    for name, data_range in (
        ("L = 2 on [0, 1]", 2.0),
        ("L = 255 on [0, 1]", 255.0),
        ("L of the target", float(pair[1].max() - pair[1].min())),
        ("L of whichever spans more", None),
    ):
        expected = structural_similarity_index_measure(
            *pair, sigma=1.5, kernel_size=11, data_range=data_range
        )
        assert readings[name].value == pytest.approx(expected.item(), abs=1e-4), name


def test_a_flat_window_is_the_one_of_a_uniform_kernel(readings, pair):
    expected = structural_similarity_index_measure(
        *pair, gaussian_kernel=False, kernel_size=7, data_range=1.0
    )
    value = readings["flat window of 7"].value
    assert value == pytest.approx(expected.item(), abs=0.005)  # other borders


def test_larger_ranges_find_everything_more_alike(readings):
    rising = [OURS, "L = 2 on [0, 1]", "L = 255 on [0, 1]"]
    values = [readings[name].value for name in rising]
    assert values == sorted(values)
    assert values[-1] > 0.99


def test_scaling_values_and_range_together_changes_little(readings):
    """Bytes are rounded, nothing else."""
    assert readings["L = 255 on bytes"].value == pytest.approx(
        readings[OURS].value, abs=0.005
    )


def test_a_shift_changes_the_score_though_contrast_stays(readings):
    assert abs(readings["L = 2 on [−1, 1]"].value - readings[OURS].value) > 0.005


def test_noise_averages_away_at_half_the_size(readings):
    half = readings["at half the size"].value
    assert half > readings[OURS].value + 0.05


def test_there_are_more_than_ten_and_hardly_two_agree(readings):
    assert len(readings) > 10
    assert len({round(reading.value, 5) for reading in readings.values()}) > 12
    assert all(reading.remark for reading in readings.values())


def test_every_convention_finds_a_perfect_copy_perfect(pair, body):
    _, target = pair
    for name, reading in ssim_by_conventions(target, target, body).items():
        assert reading.value == pytest.approx(1, abs=1e-4), name


def test_a_slice_without_a_body_counts_as_a_whole(pair, body):
    readings = ssim_by_conventions(*pair, torch.zeros_like(body))
    assert readings["inside the body only"].value == readings[OURS].value


def test_borders_are_dropped_by_half_a_window(pair, readings):
    middle = ssim_map(*pair)[..., 5:59, 5:27].mean().item()
    assert readings["borders dropped"].value == pytest.approx(middle, abs=1e-6)


def test_a_mean_of_batch_means_overweighs_the_last_batch():
    values = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    assert mean_of_batch_means(values, 4) == pytest.approx(0.5)
    assert mean_of_batch_means(values, 5) == pytest.approx(0.8)
