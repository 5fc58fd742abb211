"""Crops of hip, bladder and prostate."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lessons import crops
from vqlib.data import LABEL_NAMES


@pytest.fixture
def labelled():
    """Three slices: all organs in the second alone, in known places."""
    labels = torch.ones(3, 128, 64, dtype=torch.uint8)
    labels[:2, 28:33, 30:35] = LABEL_NAMES.index("bone")
    labels[1, 60:70, 40:44] = LABEL_NAMES.index("bladder")
    labels[1, 62:66, 20:24] = LABEL_NAMES.index("prostate")
    images = torch.rand(3, 1, 128, 64, generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([0.1, 0.5, 0.9])
    return SimpleNamespace(images=images, labels=labels, positions=positions)


def test_the_telling_slice_has_all_three(labelled):
    assert crops.telling_slice(labelled) == 1
    labelled.labels = None
    assert crops.telling_slice(labelled) == 1  # the middle one


def test_boxes_lie_around_the_organs_and_inside_the_slice(labelled):
    boxes = crops.crop_boxes(labelled, 1)
    assert list(boxes) == ["hip", "bladder", "prostate"]
    for name, middle in {"hip": (30, 32), "bladder": (64.5, 41.5)}.items():
        for side, at in zip(boxes[name], middle, strict=True):
            assert abs((side.start + side.stop) / 2 - at) <= 1.5
    labelled.labels = None
    for box in crops.crop_boxes(labelled, 1).values():
        sides = [side.stop - side.start for side in box]
        assert sides == [25, 27]
        assert min(side.start for side in box) >= 0
        assert box[0].stop <= 128
        assert box[1].stop <= 64


def test_differences_share_one_scale_and_stand_upright(labelled):
    boxes = crops.crop_boxes(labelled, 1)
    truth = labelled.images[1, 0]
    figure = crops.draw_crops({"slice": truth, "a": 0.5 * truth, "b": truth}, boxes)
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 3 * 5
    difference = panels[3].images[0]
    assert difference.origin == "lower"
    assert np.allclose(difference.get_array(), -0.5 * truth[boxes["hip"]].T)
    assert difference.get_clim() == panels[4].images[0].get_clim()
    assert panels[3].get_title() == "a\n− slice"
