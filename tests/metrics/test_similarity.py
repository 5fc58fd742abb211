import numpy as np
import pytest
import torch
from scipy import ndimage
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from vqlib import losses
from vqlib.data import SliceDataset
from vqlib.metrics import (
    body_masks,
    ms_ssim,
    paired_bootstrap,
    patient_bootstrap,
    slice_scores,
    ssim,
)


def smooth_images(n, size=(64, 32), seed=0):
    rng = np.random.default_rng(seed)
    images = ndimage.gaussian_filter(rng.random((n, *size)), (0, 2, 2))
    images = (images - images.min()) / np.ptp(images)
    return torch.from_numpy(images[:, None].astype(np.float32))


def noisy(images, sigma=0.1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return images + sigma * torch.randn(images.shape, generator=generator)


def test_ssim_and_psnr_are_those_of_torchmetrics():
    target = smooth_images(7, (128, 64))
    reconstruction = noisy(target) * torch.linspace(0.3, 1, 7)[:, None, None, None]
    how = {"data_range": 1.0, "reduction": "none", "return_full_image": True}
    expected, whole = structural_similarity_index_measure(reconstruction, target, **how)
    assert 0.1 < expected.min() < expected.max() < 0.9
    scores = slice_scores(reconstruction, target)
    for found in (ssim(reconstruction, target, batch_size=3), scores["ssim"]):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    inside = whole[:, :, 5:-5, 5:-5].mean()  # where the loss's window fits
    loss = losses.ssim(reconstruction, target)
    torch.testing.assert_close(loss, inside, atol=1e-4, rtol=0)
    psnr = peak_signal_noise_ratio(
        reconstruction, target, data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    torch.testing.assert_close(scores["psnr"], psnr)


def test_ssim_inside_the_body_is_the_mean_of_the_map_there():
    target = smooth_images(2)
    reconstruction = noisy(target)
    body = torch.zeros(2, 64, 32, dtype=torch.bool)
    body[0, 16:48, 8:24] = True  # the second slice has no body
    how = {"data_range": 1.0, "return_full_image": True}
    _, full = structural_similarity_index_measure(reconstruction, target, **how)
    scores, inside = slice_scores(reconstruction, target, body), full[0, 0, body[0]]
    torch.testing.assert_close(scores["ssim_body"][0], inside.mean(), atol=1e-5, rtol=0)
    assert scores["ssim_body"][1] == scores["ssim"][1]


@pytest.mark.parametrize(
    ("size", "scales"), [((128, 64), 3), ((32, 16), 1), ((512, 256), 5)]
)
def test_ms_ssim_takes_the_scales_that_fit(size, scales):
    target = smooth_images(1, size)
    betas = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:scales])
    betas = tuple((betas / betas.sum()).tolist())
    images = noisy(target), target
    expected = multiscale_structural_similarity_index_measure(
        *images, data_range=1.0, betas=betas
    )
    torch.testing.assert_close(ms_ssim(*images)[0], expected)


def test_body_masks_without_labels_find_the_body_and_fill_it():
    x, z = np.mgrid[:128, :64]
    truth = ((x - 64) / 50) ** 2 + ((z - 32) / 25) ** 2 < 1
    image = truth * 0.6
    image[60:70, 28:36] = 0.0  # an organ without signal
    image[:4, :4] = 0.9  # an arm
    image += np.random.default_rng(0).rayleigh(0.02, image.shape)
    images = torch.from_numpy(np.stack([image, image * 0])[:, None]).float()
    masks = body_masks(SliceDataset(images, None, *torch.zeros(3, 2))).numpy()
    assert (masks[0] & truth).sum() / (masks[0] | truth).sum() > 0.95
    assert masks[0, 65, 32]
    assert not masks[0, 1, 1]
    assert not masks[1].any()


def test_bootstrap_of_a_known_case():
    """Two patients of equal size, 0 and 1: their resampled mean is 0, ½ or 1."""
    values, patients = np.repeat([0.0, 1.0], 10), np.repeat([4, 7], 10)
    assert patient_bootstrap(values, patients) == (0.5, 0.0, 1.0)
    many = patient_bootstrap(values, np.arange(20), n=20_000)
    assert many.low == pytest.approx(0.5 - 1.96 * 0.5 / 20**0.5, abs=0.05)
    assert many.high == pytest.approx(0.5 + 1.96 * 0.5 / 20**0.5, abs=0.05)
    uneven = patient_bootstrap(np.array([1.0] * 9 + [0.0]), [1] * 9 + [2])
    assert uneven.mean == 0.9  # slices count, not patients


def test_pairing_cancels_what_is_hard_about_a_patient():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(8), 10)
    hard = rng.normal(0.7, 0.1, 8)[patients]
    a, b = hard + 0.02, hard + rng.normal(0, 0.002, 80)
    interval = paired_bootstrap(a, b, patients)
    assert interval.low > 0.015
    assert interval.mean == pytest.approx(0.02, abs=0.002)
    assert patient_bootstrap(a, patients).low < patient_bootstrap(b, patients).high
