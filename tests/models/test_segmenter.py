import pytest
import torch

from vqlib.errors import UserError
from vqlib.models.segmenter import Segmenter


def test_shapes_and_size():
    torch.manual_seed(0)
    model, x = Segmenter().eval(), torch.rand(3, 1, 32, 16)
    assert model(x).shape == (3, 6, 32, 16)
    assert model.segment(x, batch_size=2).shape == (3, 32, 16)
    assert model.segment(x).dtype == torch.uint8
    assert model.features(x).shape == (3, 256)
    assert 50_000 < sum(p.numel() for p in model.parameters()) < 200_000


def test_a_slice_gets_the_same_answer_in_any_batch():
    torch.manual_seed(0)
    model, x = Segmenter().eval(), torch.rand(3, 1, 32, 16)
    torch.testing.assert_close(model(x)[:1], model(x[:1]))


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"30x16.*multiples of 8"):
        Segmenter()(torch.rand(1, 1, 30, 16))
