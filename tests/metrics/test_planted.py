import numpy as np
import pytest
import torch

from vqlib.metrics.planted import KINDS, auc, on_codes, plant


def slices(n=3):
    random = torch.Generator().manual_seed(0)
    images = 0.4 + 0.1 * torch.rand(n, 1, 64, 32, generator=random)
    body = torch.zeros(n, 64, 32, dtype=torch.bool)
    body[:, 6:-6, 4:-4] = True
    return images * body[:, None], body


@pytest.mark.parametrize("kind", KINDS)
def test_changes_the_mask_alone_inside_the_body(kind):
    images, body = slices()
    found = plant(images, body, kind, seed=1)
    changed = found.images[:, 0] != images[:, 0]
    assert changed.flatten(1).any(1).all()
    assert not (changed & ~found.masks).any()
    assert not (found.masks & ~body).any()
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert found.images.dtype == images.dtype
    again = plant(images, body, kind, seed=1)
    assert torch.equal(found.images, again.images)
    assert not torch.equal(found.masks, plant(images, body, kind, seed=2).masks)


def test_an_implant_is_dark_with_a_bright_rim():
    images, body = slices()
    inside = plant(images, body, "implant").images[:, 0][
        plant(images, body, "implant").masks
    ]
    assert set(inside.unique().tolist()) == {0.0, 1.0}


def test_a_body_too_thin_for_it_gets_it_all_the_same():
    images, body = slices(1)
    body[:] = False
    body[:, 30:32, 10:20] = True
    assert plant(images, body, "lesion").masks.any()


def test_unknown_kind():
    with pytest.raises(ValueError, match="tumour"):
        plant(*slices(), "tumour")


def test_area_under_the_curve_of_a_score_that_knows_and_one_that_does_not():
    images, body = slices()
    masks = plant(images, body, "implant").masks
    knows = on_codes(masks, (32, 16))
    assert auc(knows, masks, body) == 1
    assert auc(-knows, masks, body) == 0
    assert auc(torch.zeros(3, 32, 16), masks, body) == 0.5
    # what lies outside the body is not asked
    outside = on_codes(body, (32, 16)) == 0
    assert auc(knows + 5 * outside, masks, body) == 1
    assert np.isnan(auc(knows, torch.zeros_like(masks), body))
