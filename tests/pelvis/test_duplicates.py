"""Copies are found however they were changed; patients who lie alike are no copies."""

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from slice_files import write_slice

from pelvis.duplicates import LIKE, WORTH_A_LOOK, find_copies, likeness, sketch
from vqlib.data import SliceIndex, read_slice


def man(seed: int, slice_: int = 0) -> np.ndarray:
    """A slice in scanner's units: the same bright body for all, tissue of his own,
    that changes a little from slice to slice."""
    x, z = np.meshgrid(np.linspace(-1, 1, 256), np.linspace(-1, 1, 128), indexing="ij")
    body = (x**2 / 0.8 + z**2 / 1.5 < 1).astype(float)

    def tissue(of):
        noise = np.random.default_rng(of).normal(size=(2, 256, 128))
        return 8 * gaussian_filter(noise[0], 4) + 3 * gaussian_filter(noise[1], 1.5)

    at = 0.3 * slice_
    mixed = np.cos(at) * tissue([seed]) + np.sin(at) * tissue([seed, 1])
    pixels = body * np.clip(150 + 100 * mixed, 20, None)
    return np.rint(gaussian_filter(pixels, 0.7) * (1 + 0.3 * x)).astype(np.int16)


def noisy(pixels, share):
    sd = share * np.percentile(pixels, 99.5)
    noise = np.random.default_rng(9).normal(0, sd, pixels.shape)
    return np.abs(pixels + noise).astype(np.float32)


CHANGES = {
    "the same": lambda p: p,
    "rescaled": lambda p: np.rint(p * 0.37).astype(np.int16),
    "8 bits": lambda p: np.clip(p / np.percentile(p, 99.5) * 255, 0, 255).astype("u1"),
    "gamma": lambda p: p.astype(np.float32) ** 0.8,
    "noise of 5 %": lambda p: noisy(p, 0.05),
    "shifted": lambda p: np.roll(p, (1, -1), (0, 1)),
    "all at once": lambda p: 0.5 * noisy(np.roll(p, (1, 1), (0, 1)), 0.05),
    "blurred": lambda p: gaussian_filter(p.astype(np.float32), 0.7),
    "wider": lambda p: np.pad(p, ((0, 0), (8, 8))),
    "coil's shading": lambda p: p * np.linspace(0.7, 1.3, 256)[:, None],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_alike(change):
    for seed in range(3):
        original, copy = man(seed), CHANGES[change](man(seed))
        assert sketch(original) @ sketch(copy) > WORTH_A_LOOK
        assert likeness(original, copy) > LIKE


def framed(pixels):
    """A small field of view, which leaves the same black frame on every man."""
    cut = np.zeros_like(pixels)
    cut[64:192, 16:112] = pixels[64:192, 16:112]
    return cut


@pytest.mark.parametrize("view", [lambda p: p, framed], ids=["whole", "framed"])
def test_men_who_lie_alike_are_not_one(view):
    men = [view(man(seed)) for seed in range(6)]
    assert max(likeness(a, b) for a, b in combinations(men, 2)) < LIKE - 0.15


def test_what_has_no_detail_is_like_nothing():
    blank = np.zeros((256, 128))
    for pixels in (blank, blank + 1e6, blank[:4, :3]):
        assert not sketch(pixels).any()
    blank[100:110, 60:70] = man(0)[100:110, 60:70]
    assert likeness(blank, blank + (blank > 0)) == 0.0  # too little to tell
    assert likeness(blank, blank) == 1.0


def test_copies_in_later_splits_are_found_and_only_they(tmp_path):
    for case, split in ((4, "train"), (5, "train"), (36, "validate"), (40, "test")):
        for number in range(3):
            write_slice(tmp_path, split, case, 0, number, man(case, number))
    rescaled, changed = CHANGES["rescaled"], CHANGES["all at once"]
    write_slice(tmp_path, "validate", 37, 0, 0, changed(man(5, 0)))
    write_slice(tmp_path, "test", 41, 0, 1, rescaled(man(5, 1)))
    write_slice(tmp_path, "test", 42, 0, 0, CHANGES["shifted"](man(36, 0)))
    write_slice(tmp_path, "train", 6, 0, 0, man(5, 2))  # twice in one split is no leak
    records = SliceIndex.from_folder(tmp_path).records
    sketches = [sketch(read_slice(record.path)) for record in records]
    with ThreadPoolExecutor(2) as pool:
        found = list(find_copies(records, sketches, pool))
    stem = "case_{:03d}_week_0_slice_{}.nii.gz".format
    assert {(copy.path.name, original.path.name) for copy, original, _ in found} == {
        (stem(37, 0), stem(5, 0)),
        (stem(41, 1), stem(5, 1)),
        (stem(42, 0), stem(36, 0)),
    }
