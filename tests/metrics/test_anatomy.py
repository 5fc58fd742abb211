import numpy as np
import pytest
import torch

from vqlib.metrics.anatomy import (
    anatomy,
    areas,
    borders,
    dice,
    pieces,
    presence,
)


def a_map():
    """A body with a bladder above a prostate."""
    label = torch.zeros(1, 16, 8, dtype=torch.uint8)
    label[:, 1:15] = 1
    label[:, 6:10, 4:6] = 3
    label[:, 6:10, 2:4] = 5
    return label


def test_areas_and_borders_are_counted():
    label = a_map()
    np.testing.assert_allclose(areas(label)[0] * 128, [16, 96, 0, 8, 0, 8])
    found = borders(torch.cat([label, label]))
    np.testing.assert_array_equal(found, found.T)
    # 16 with the background, 4 between the organs, 8 each with the body
    assert found[3, 5] == 4
    assert found[1, 3] == 8
    assert found.sum() == 2 * 36
    assert borders(torch.zeros(2, 8, 8, dtype=torch.uint8)).sum() == 0


def test_pieces_are_counted_slice_by_slice():
    label = a_map()
    np.testing.assert_array_equal(pieces(label), [1, 0, 1, 0, 1])
    label[:, 12, 4] = 3
    both = torch.cat([a_map(), label])
    np.testing.assert_array_equal(pieces(both), [1, 0, 1.5, 0, 1])


def test_presence_by_part_of_the_volume():
    empty = torch.ones(1, 16, 8, dtype=torch.uint8)
    both = torch.cat([a_map(), empty, a_map()])
    there = presence(areas(both), torch.tensor([0.0, 0.05, 1.0]))
    assert there[0].tolist() == [0, 0.5, 0, 0.5]
    assert there[-1].tolist() == [0, 1, 0, 1]
    assert np.isnan(there[2]).all()


def test_a_set_is_not_far_from_itself_and_each_question_sees_its_fault():
    real, where = torch.cat([a_map()] * 3), torch.tensor([0.1, 0.5, 0.9])
    same = anatomy(real, real, where, where)
    assert same == {"areas": 0, "neighbours": 0, "pieces": 0, "places": 0}
    assert anatomy(real, real)["places"] is None
    small = real.clone()
    small[:, 6:8][small[:, 6:8] == 3] = 1
    assert anatomy(small, real)["areas"] == pytest.approx(np.mean([4 / 96, 0.5, 0]))
    parted = real.clone()
    parted[:, :, 3][parted[:, :, 3] == 5] = 1
    assert anatomy(parted, real)["neighbours"] > 0.1
    finer = real.repeat(1, 2, 2)[:, ::2, ::2].repeat(1, 2, 2)  # four small ones, alike
    assert anatomy(finer[:, :16, :8], real)["neighbours"] > 0.5
    broken = real.clone()
    broken[:, 13, 1] = 5
    assert anatomy(broken, real)["pieces"] == 1
    gone = real.clone()
    gone[gone == 3] = 1
    # one organ of four is missing everywhere
    assert anatomy(gone, real, where, where)["places"] == pytest.approx(0.25)


def test_dice():
    truth, guess = a_map(), a_map()
    assert dice(guess, truth) == {"body": 1, "bladder": 1, "prostate": 1, "mean": 1}
    guess[guess == 3] = 1
    found = dice(guess, truth)
    assert found["bladder"] == 0
    assert found["body"] == pytest.approx(2 * 96 / (96 + 104))
    assert found["mean"] == pytest.approx((1 + found["body"]) / 3)
    assert dice(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)) == {"mean": 0}
