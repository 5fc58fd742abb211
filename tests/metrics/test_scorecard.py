from types import SimpleNamespace

import pytest
import torch
from made_patients import base, judge, patients, segmenter, tiny
from slice_files import refusal

from lessons.sharpness import blurred
from vqlib.metrics import SCORES, Slices, anatomy, dice, make_judge, take
from vqlib.metrics.scorecard import organ_areas


def a_map():
    """A body with a bladder above a prostate."""
    label = torch.zeros(1, 16, 8, dtype=torch.uint8)
    label[:, 1:15] = 1
    label[:, 6:10, 4:6] = 3
    label[:, 6:10, 2:4] = 5
    return label


def test_a_set_is_not_far_from_itself_and_each_question_sees_its_fault():
    assert (organ_areas(a_map())[0] * 128).tolist() == [16, 96, 0, 8, 0, 8]
    real, where = torch.cat([a_map()] * 3), torch.tensor([0.1, 0.5, 0.9])
    same = anatomy(real, real, where, where)
    assert same == {"areas": 0, "pieces": 0, "places": 0}
    assert anatomy(real, real)["places"] is None
    small = real.clone()
    small[:, 6:8][small[:, 6:8] == 3] = 1
    expected = (4 / 96 + 0.5 + 0) / 3  # body, bladder, prostate
    assert anatomy(small, real)["areas"] == pytest.approx(expected)
    broken = real.clone()
    broken[:2, 13, 1] = 5  # in two slices of three
    assert anatomy(broken, real)["pieces"] == pytest.approx(2 / 3)
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


def test_the_floor_is_near_what_held_out_slices_have():
    card = judge()(base())
    assert list(card) == [*SCORES, "prostate"]
    assert card["texture"].low < 0 < card["texture"].high
    assert min(card["precision"], card["recall"]) > 0.7
    assert card["areas"] < 0.3
    assert card["agreement"] > 0.8
    assert card["told apart"] < 0.75
    assert card["prior apart"] is None  # no decoder was named
    assert card["nearest"] == pytest.approx(1, abs=0.2)
    assert judge()(base()) == card  # the seed decides


def test_the_prior_is_judged_beside_what_its_decoder_draws():
    """All that a decoder does to a set it does to the decoded test slices too."""

    def decoder(images):
        return blurred(images, 1.0)

    ours = base()._replace(images=decoder(base().images))
    card = judge()(ours, decoded=decoder(tiny().test.images))
    assert card["told apart"] > 0.9
    assert card["prior apart"] < 0.75


def missing(card):
    return {name for name, value in card.items() if value is None}


def test_a_score_without_meaning_has_no_value():
    organs = {"shape", "areas", "pieces", "places", "agreement"}
    assert missing(make_judge(tiny(), None)(base())) == organs | {"prior apart"}
    card = judge()(Slices(base().images, None))
    assert missing(card) == {"places", "agreement", "prior apart"}


def test_sets_of_a_single_patient_are_scored_too():
    few = SimpleNamespace(train=patients([1]), test=patients([11]))
    card = make_judge(few, None)(take(patients([21]), 10))
    assert card["precision"] is not None
    assert card["nearest"] is None  # no other patients to compare with
    assert card["patches"] is None


def test_sets_that_cannot_be_scored_are_refused():
    few = Slices(base().images[:5], None)
    refusal(judge(), few, match=r"5 slices are too few.*give 8")
    larger = base()._replace(images=torch.zeros(30, 1, 128, 64))
    refusal(judge(), larger, match=r"\(1, 128, 64\) cannot be scored")


def test_true_labels_are_never_looked_at():
    """The segmenter labels both sets, so its faults are in both."""
    test = tiny().test
    known, test.labels = test.labels, None
    try:
        assert make_judge(tiny(), segmenter())(base()) == judge()(base())
    finally:
        test.labels = known
