"""Made-up patients whose organs differ in brightness, so that a segmenter learns them
in seconds, with texture enough for blur and noise to do harm."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from vqlib import losses
from vqlib.data import SliceDataset
from vqlib.metrics import Slices, make_judge, take
from vqlib.models import Segmenter

SIZE = (64, 32)
SLICES = 12
# label, centre and radii in the slice, grey value, middle and reach in the volume
ORGANS = (
    (1, (0.5, 0.5), (0.46, 0.46), 0.45, 0.5, 0.7),
    (2, (0.22, 0.4), (0.09, 0.2), 0.2, 0.55, 0.4),
    (2, (0.78, 0.4), (0.09, 0.2), 0.2, 0.55, 0.4),
    (3, (0.5, 0.66), (0.14, 0.17), 0.8, 0.4, 0.3),
    (4, (0.5, 0.3), (0.1, 0.15), 1.0, 0.8, 0.28),
    (5, (0.5, 0.36), (0.11, 0.14), 0.65, 0.42, 0.22),
)


def scan(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one patient, [S, 64, 32]."""
    rng = np.random.default_rng(seed)
    xy = np.mgrid[: SIZE[0], : SIZE[1]] / np.array(SIZE)[:, None, None]
    own = [(rng.normal(0, 0.015, 3), rng.normal(1, 0.07, 2)) for _ in ORGANS]
    images = np.zeros((SLICES, *SIZE))
    labels = np.zeros((SLICES, *SIZE), np.uint8)
    for s, place in enumerate(np.linspace(0, 1, SLICES)):
        for organ, (moved, sized) in zip(ORGANS, own, strict=True):
            label, centre, radii, grey, middle, reach = organ
            inside = 1 - ((place - middle) / reach) ** 2
            far = (xy.T - centre - moved[:2]) / (radii * sized)
            here = inside > (far**2).sum(2).T
            images[s][here], labels[s][here] = grey + moved[2], label
        texture = gaussian_filter(rng.normal(size=SIZE), 0.7)
        images[s] += 0.06 * texture * (labels[s] > 0) + 0.01 * rng.random(SIZE)
    return images.clip(0, 1), labels


def patients(seeds) -> SliceDataset:
    scans = [scan(seed) for seed in seeds]
    images, labels = (np.concatenate(part) for part in zip(*scans, strict=True))
    return SliceDataset(
        torch.from_numpy(images[:, None]).float(),
        torch.from_numpy(labels),
        torch.linspace(0, 1, SLICES).repeat(len(seeds)),
        torch.tensor(seeds).repeat_interleave(SLICES),
        torch.zeros(len(images), dtype=torch.int64),
    )


@cache
def tiny() -> SimpleNamespace:
    """20 patients: 8 to train on, 6 to test on, 6 to compare."""
    return SimpleNamespace(
        train=patients(range(1, 9)),
        test=patients(range(11, 17)),
        validate=patients(range(21, 27)),
        has_labels=True,
    )


def base(n: int = 48) -> Slices:
    """Slices of those to compare."""
    return take(tiny().validate, n)


@cache
def segmenter() -> Segmenter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, train = Segmenter(), tiny().train
        objective, steps = losses.SegmentationObjective(model), 90
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps)
        for _ in range(steps):
            rows = torch.randint(len(train), (8,))
            batch = {"image": train.images[rows], "labels": train.labels[rows]}
            optimizer.zero_grad()
            objective(batch)["loss"].backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@cache
def judge():
    return make_judge(tiny(), segmenter())
