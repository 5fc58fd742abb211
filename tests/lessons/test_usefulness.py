from types import SimpleNamespace

import pytest
import torch

from lessons.usefulness import joined, labelled, usefulness
from vqlib import profiles
from vqlib.errors import UserError
from vqlib.recipes import LabelledSlices

SETTINGS = profiles.get("smoke", segmenter_batch_size=8)


def discs(n, seed):
    """Bright discs, which are bladders, in grey bodies."""
    random = torch.Generator().manual_seed(seed)
    place = 0.3 + 0.4 * torch.rand(n, 2, 1, 1, generator=random)
    i, j = torch.meshgrid(torch.arange(64) / 64, torch.arange(32) / 32, indexing="ij")
    inside = torch.hypot(i - place[:, 0], j - place[:, 1]) < 0.2
    images = torch.where(inside, 0.9, 0.4)[:, None]
    return LabelledSlices(images, torch.where(inside, 3, 1).byte())


DATA = SimpleNamespace(test=discs(12, 9), has_labels=True, folder="study")


def test_wrong_labels_teach_less_than_true_ones():
    real = discs(16, 0)
    wrong = LabelledSlices(real.images, torch.ones_like(real.labels))
    found = usefulness({"real": real, "wrong": wrong}, DATA, SETTINGS, steps=30)
    assert found["real"]["bladder"] > 0.5
    assert found["wrong"].get("bladder", 0) < 0.1
    again = usefulness({"real": real}, DATA, SETTINGS, steps=30)
    assert again["real"] == found["real"]


def test_generated_slices_are_labelled_and_joined():
    class Bright:
        def segment(self, images):
            return torch.where(images[:, 0] > 0.5, 3, 1).byte()

    made = labelled(discs(4, 1).images, Bright())
    assert torch.equal(made.labels, discs(4, 1).labels)
    both = joined(discs(3, 0), made)
    assert len(both) == 7
    assert both[3]["label"].equal(made.labels[0])


def test_without_labels_nothing_can_be_tested():
    bare = SimpleNamespace(test=None, has_labels=False, folder="study")
    with pytest.raises(UserError, match="study has no labels to test"):
        usefulness({}, bare, SETTINGS)
