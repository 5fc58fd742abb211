import numpy as np
import pytest
import torch
from scipy import ndimage

from vqlib.data import SliceDataset
from vqlib.metrics import (
    body_masks,
    mean_image_reconstruct,
    ms_ssim_scales,
    paired_bootstrap,
    patient_bootstrap,
    score,
    slice_scores,
)


def smooth_images(n, size=(64, 32), seed=0):
    rng = np.random.default_rng(seed)
    images = ndimage.gaussian_filter(rng.random((n, *size)), (0, 2, 2))
    images = (images - images.min()) / np.ptp(images)
    return torch.from_numpy(images[:, None].astype(np.float32))


def noisy(images, sigma=0.1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return images + sigma * torch.randn(images.shape, generator=generator)


def dataset(images, labels=None, patients=None):
    n = len(images)
    patients = torch.zeros(n, dtype=torch.int64) if patients is None else patients
    return SliceDataset(images, labels, torch.zeros(n), patients, torch.zeros(n))


def ssim_map(x, y):
    """SSIM after the paper, with scipy's filters, in float64."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(z):
        for axis in (0, 1):
            z = ndimage.correlate1d(z, window, axis, mode="mirror")
        return z

    x, y = x.astype(np.float64), y.astype(np.float64)
    mx, my = mean(x), mean(y)
    vx, vy = mean(x * x) - mx**2, mean(y * y) - my**2
    cov = mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    contrast = (2 * cov + c2) / (vx + vy + c2)
    return contrast * (2 * mx * my + c1) / (mx**2 + my**2 + c1)


def test_ssim_is_that_of_the_paper_over_the_whole_image():
    target = smooth_images(3)
    reconstruction = noisy(target)
    expected = [
        ssim_map(r, t).mean()
        for r, t in zip(reconstruction[:, 0].numpy(), target[:, 0].numpy(), strict=True)
    ]
    scores = slice_scores(reconstruction, target)
    np.testing.assert_allclose(scores["ssim"], expected, atol=2e-5)
    assert 0.2 < scores["ssim"].max() < 0.9


def test_ssim_inside_the_body_is_the_mean_of_the_map_there():
    target = smooth_images(2)
    reconstruction = noisy(target)
    reconstruction[:, :, 20:40, 8:24] = target[:, :, 20:40, 8:24]
    body = torch.zeros(2, 64, 32, dtype=torch.bool)
    body[0, 22:38, 10:22] = True  # the second slice has no body
    scores = slice_scores(reconstruction, target, body)
    full = ssim_map(reconstruction[0, 0].numpy(), target[0, 0].numpy())
    assert scores["ssim_body"][0] == pytest.approx(full[22:38, 10:22].mean(), abs=2e-5)
    assert scores["ssim_body"][0] > scores["ssim"][0] + 0.1
    assert scores["ssim_body"][1] == scores["ssim"][1]


def test_psnr_and_l1_of_a_known_error():
    target = torch.full((2, 1, 32, 16), 0.5)
    reconstruction = target + torch.tensor([0.1, -0.01])[:, None, None, None]
    scores = slice_scores(reconstruction, target)
    np.testing.assert_allclose(scores["psnr"], [20.0, 40.0], atol=1e-3)
    np.testing.assert_allclose(scores["l1"], [0.1, 0.01], atol=1e-6)


def test_a_blank_slice_has_finite_scores():
    blank = torch.zeros(2, 1, 64, 32)
    reconstruction = blank.clone()
    reconstruction[1] = 0.1
    scores = slice_scores(reconstruction, blank, torch.zeros(2, 64, 32).bool())
    assert all(torch.isfinite(v).all() for v in scores.values())
    assert scores["psnr"][0] == 100
    assert scores["psnr"][1] == pytest.approx(20, abs=1e-3)
    assert scores["ssim"][0] == scores["ms_ssim"][0] == scores["ssim_body"][0] == 1


@pytest.mark.parametrize(
    ("size", "scales"),
    [((256, 128), 4), ((128, 64), 3), ((64, 32), 2), ((32, 16), 1), ((512, 256), 5)],
)
def test_ms_ssim_takes_the_scales_that_fit(size, scales):
    assert ms_ssim_scales(size) == scales
    target = smooth_images(1, size)
    assert slice_scores(target, target)["ms_ssim"].item() == pytest.approx(1, abs=1e-5)


def test_ms_ssim_forgives_fine_noise_but_not_anticorrelation():
    target = smooth_images(2, (128, 64))
    scores = slice_scores(noisy(target), target)
    assert (scores["ms_ssim"] > scores["ssim"] + 0.05).all()
    assert (slice_scores(1 - target, target)["ms_ssim"] == 0).all()


def test_score_has_a_value_for_every_slice_whatever_the_batches():
    images = smooth_images(7)
    data = dataset(images)
    whole = score(lambda x: x * 0.9, data)
    parts = score(lambda x: x * 0.9, data, batch_size=3)
    for name in ("ssim", "psnr", "ms_ssim", "l1", "ssim_body"):
        assert whole[name].shape == (7,)
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-5)
    np.testing.assert_allclose(whole["l1"], 0.1 * images.mean((1, 2, 3)), rtol=1e-4)


def test_body_masks_follow_the_labels():
    labels = torch.zeros(2, 64, 32, dtype=torch.uint8)
    labels[0, 10:20] = 1
    labels[0, 15] = 4
    masks = body_masks(dataset(smooth_images(2), labels))
    assert masks.dtype == torch.bool
    assert torch.equal(masks, labels > 0)


def test_body_masks_without_labels_find_the_body_and_fill_it():
    x, z = np.mgrid[:128, :64]
    truth = ((x - 64) / 50) ** 2 + ((z - 32) / 25) ** 2 < 1
    image = truth * 0.6
    image[60:70, 28:36] = 0.0  # an organ without signal
    image[:4, :4] = 0.9  # an arm
    image += np.random.default_rng(0).rayleigh(0.02, image.shape)
    images = torch.from_numpy(np.stack([image, image * 0])[:, None]).float()
    masks = body_masks(dataset(images)).numpy()
    assert (masks[0] & truth).sum() / (masks[0] | truth).sum() > 0.95
    assert masks[0, 65, 32]
    assert not masks[0, 1, 1]
    assert not masks[1].any()


def test_bootstrap_of_a_known_case():
    """Two patients of equal size, 0 and 1: their resampled mean is 0, ½ or 1."""
    values, patients = np.repeat([0.0, 1.0], 10), np.repeat([4, 7], 10)
    interval = patient_bootstrap(values, patients)
    assert interval == (0.5, 0.0, 1.0)
    many = patient_bootstrap(values, np.arange(20), n=20_000)
    assert many.low == pytest.approx(0.5 - 1.96 * 0.5 / 20**0.5, abs=0.05)
    assert many.high == pytest.approx(0.5 + 1.96 * 0.5 / 20**0.5, abs=0.05)


def test_bootstrap_counts_slices_not_patients():
    values = np.array([1.0] * 9 + [0.0])
    patients = np.array([1] * 9 + [2])
    assert patient_bootstrap(values, patients).mean == 0.9


def test_bootstrap_is_wider_over_patients_than_over_slices():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(6), 50)
    values = rng.normal(0, 0.1, 6)[patients] + rng.normal(0, 0.02, 300)
    by_patient = patient_bootstrap(values, patients)
    by_slice = patient_bootstrap(values, np.arange(300))
    assert by_patient.high - by_patient.low > 4 * (by_slice.high - by_slice.low)


def test_bootstrap_follows_its_seed_and_prints_itself():
    values, patients = np.random.default_rng(0).random(40), np.arange(40) // 4
    first = patient_bootstrap(values, patients)
    assert first == patient_bootstrap(values, patients)
    assert first != patient_bootstrap(values, patients, seed=1)
    assert str(first) == f"{first.mean:.3f} ({first.low:.3f} to {first.high:.3f})"
    alone = patient_bootstrap(values, np.zeros(40))
    assert alone.low == pytest.approx(alone.mean)
    assert alone.high == pytest.approx(alone.mean)


def test_pairing_cancels_what_is_hard_about_a_patient():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(8), 10)
    hard = rng.normal(0.7, 0.1, 8)[patients]
    a, b = hard + 0.02, hard + rng.normal(0, 0.002, 80)
    interval = paired_bootstrap(a, b, patients)
    assert interval.low > 0.015
    assert interval.mean == pytest.approx(0.02, abs=0.002)
    assert patient_bootstrap(a, patients).low < patient_bootstrap(b, patients).high


def test_the_mean_image_control_knows_nothing_of_its_input():
    train, other = smooth_images(5), smooth_images(3, seed=1)
    answer = mean_image_reconstruct(dataset(train))(other)
    assert answer.shape == other.shape
    for image in answer:
        torch.testing.assert_close(image, train.mean(0))
