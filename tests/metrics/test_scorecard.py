import pytest
import torch

from vqlib.errors import UserError
from vqlib.metrics.corruptions import Slices, take
from vqlib.metrics.scorecard import SCORES, make_reference, score_card
from vqlib.metrics.trials import MUST_SEE, badness, order, trial


@pytest.fixture(scope="module")
def base(tiny):
    return take(tiny.validate, 48)


@pytest.fixture(scope="module")
def floor(base, reference):
    return score_card(base, reference)


@pytest.mark.parametrize("corruption", MUST_SEE)
def test_every_score_orders_what_it_must_see(corruption, base, reference, floor):
    """In 48 small slices chance may exchange two neighbouring steps of four, no more,
    and the worst step is worse than none."""
    cards = trial(corruption, base, reference, floor)
    gamma = order(cards)
    for name in MUST_SEE[corruption]:
        values = [card[name] for card in cards.values()]
        assert gamma[name] >= 0.6, (name, values)
        bad = [badness(name, value, floor[name]) for value in values]
        assert bad[-1] > bad[0], (name, values)


def test_scores_that_look_elsewhere_do_not_move(base, reference, floor):
    cards = trial("wrong positions", base, reference, floor)
    assert {k for k, rho in order(cards).items() if rho} == {"places"}
    assert [card["likeness"] for card in cards.values()] == [floor["likeness"]] * 4


def test_badness_knows_which_way_is_better():
    assert badness("copies", 0.05, 0.3) == 0
    assert badness("nearest", 0.4, 1.0) == pytest.approx(0.6)
    assert badness("likeness", -0.2, 0.0) == pytest.approx(0.2)
    assert badness("recall", 0.5, 0.7) == pytest.approx(0.2)
    assert badness("recall", 0.9, 0.7) == 0
    assert badness("texture", -0.3, 0.0) == 0
    assert badness("shape", 4.0, 0.5) == 4


def test_a_score_that_does_not_move_orders_nothing():
    card = dict.fromkeys(SCORES, 0.5) | {"places": None}
    found = order({0.0: card, 0.5: card, 1.0: card})
    assert found["texture"] == 0
    assert found["places"] is None
    steps = [card | {"recall": v, "copies": 1 - v} for v in (0.9, 0.4, 0.5, 0.0, 0.0)]
    found = order(dict(enumerate(steps)))
    # one of nine pairs the wrong way round, one even
    assert found["recall"] == pytest.approx((8 - 1) / 9)
    assert found["copies"] == pytest.approx((8 - 1) / 9)


def test_without_a_segmenter_there_is_texture_and_no_anatomy(tiny, base):
    card = score_card(base, make_reference(tiny, None))
    missing = {name for name, value in card.items() if value is None}
    assert missing == {"shape", "areas", "neighbours", "pieces", "places"}


def test_samples_without_positions_are_scored(base, reference):
    card = score_card(Slices(base.images, None), reference)
    assert [name for name in card if card[name] is None] == ["places"]
    assert list(card) == list(SCORES)


def test_the_same_seed_gives_the_same_card(base, reference, floor):
    assert score_card(base, reference) == floor


def test_sets_that_cannot_be_scored_are_refused(base, reference):
    with pytest.raises(UserError, match=r"5 slices are too few.*give 28"):
        score_card(Slices(base.images[:5], None), reference)
    wide = torch.zeros(30, 1, 128, 64)
    with pytest.raises(UserError, match=r"\(1, 128, 64\) cannot be scored"):
        score_card(base._replace(images=wide), reference)


def test_true_labels_are_never_looked_at(tiny, segmenter, base, floor):
    """The segmenter labels both sets, so its faults are in both."""
    bare = tiny.test.labels
    tiny.test.labels = None
    try:
        again = make_reference(tiny, segmenter)
    finally:
        tiny.test.labels = bare
    assert score_card(base, again) == floor
