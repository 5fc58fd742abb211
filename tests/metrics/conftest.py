"""Phantom men, small and few, and a segmenter that has learned on some of them."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import avg_pool2d

from vqlib import losses
from vqlib.data import SliceDataset
from vqlib.data.phantom.volume import make_volume
from vqlib.metrics.scorecard import make_reference
from vqlib.models.segmenter import Segmenter


def men(seeds, slices=10) -> SliceDataset:
    """One scan of each man, [N, 1, 64, 32]."""
    images, labels = [], []
    for seed in seeds:
        image, label = make_volume(seed, slices=slices)
        image = torch.from_numpy(image / image[image > 0].max()).clamp(0, 1)
        images.append(avg_pool2d((1.4 * image)[:, None], 4).clamp(0, 1))
        labels.append(torch.from_numpy(label[:, ::4, ::4].copy()))
    n = len(seeds)
    return SliceDataset(
        torch.cat(images),
        torch.cat(labels),
        torch.linspace(0, 1, slices).repeat(n),
        torch.tensor(seeds).repeat_interleave(slices),
        torch.zeros(n * slices, dtype=torch.int64),
    )


@pytest.fixture(scope="session")
def tiny():
    """12 phantom men: 5 to train on, 4 to test on, 3 to compare."""
    return SimpleNamespace(
        train=men(range(1, 6)),
        test=men(range(11, 15)),
        validate=men(range(21, 24)),
        has_labels=True,
    )


@pytest.fixture(scope="session")
def segmenter(tiny):
    torch.manual_seed(0)
    model = Segmenter()
    objective = losses.SegmentationObjective(model)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(150):
        rows = torch.randint(len(tiny.train), (8,))
        batch = {"image": tiny.train.images[rows], "label": tiny.train.labels[rows]}
        loss = objective(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="session")
def reference(tiny, segmenter):
    return make_reference(tiny, segmenter)
