"""What is stored: the samples of the shipped generator and the priors of the quick
profile reach what they are meant to."""

import pytest
from commands import ROOT

from vqlib.runs import load_json


def shipped_cards():
    cards = load_json(ROOT / "vqlib" / "shipped" / "card.json")["cards"]
    ours = [card for name, card in cards.items() if name.startswith("shipped")]
    assert len(ours) == 3  # seeds
    return cards["floor: other patients"], ours


@pytest.mark.parametrize(
    ("score", "more"), [("areas", 0.02), ("pieces", 0.5), ("places", 0.02)]
)
def test_the_shipped_generator_draws_the_anatomy_of_other_patients(score, more):
    floor, ours = shipped_cards()
    assert sum(card[score] for card in ours) / 3 <= floor[score] + more


def test_the_shipped_slices_have_the_texture_of_other_patients():
    floor, ours = shipped_cards()
    for card in ours:
        assert card["texture"][0] <= floor["texture"][0]  # mean, low, high
        assert card["precision"] >= floor["precision"]
        assert card["recall"] >= floor["recall"]
        assert card["told apart"] <= 0.65


def test_the_shipped_slices_follow_their_maps_and_are_no_copies():
    floor, ours = shipped_cards()
    for card in ours:
        assert card["agreement"] >= floor["agreement"] - 0.1
        assert card["nearest"] >= 0.95
        assert card["copies"] <= 0.08


def test_learned_priors_pay_less_than_fixed_ones():
    found = load_json(ROOT / "resources" / "results_quick.json")
    prior, flow = found["prior"], found["flow"]
    controls = [v for k, v in prior.items() if k.startswith("control")]
    assert prior["bits_per_slice"] < min(controls) <= prior["uniform_bits"] + 1
    assert flow["bits_per_slice"] < flow["kl_bits"]
