"""What the benchmarks do with what earlier runs have stored, and what is stored: that
the samples and the prior of the quick profile reach what they are meant to."""

from pathlib import Path

import pytest

from vqlib.runs import load_json

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


def stored(name):
    return load_json(BENCHMARKS / "results" / f"{name}.json")


def shipped_cards():
    cards = load_json(ROOT / "vqlib" / "shipped" / "card.json")["cards"]
    ours = [card for name, card in cards.items() if name.startswith("shipped")]
    assert len(ours) == 3  # seeds
    return cards["floor: other patients"], ours


@pytest.mark.parametrize(
    ("score", "more"), [("areas", 0.1), ("pieces", 0.5), ("places", 0.03)]
)
def test_the_shipped_generator_draws_the_anatomy_of_other_patients(score, more):
    floor, ours = shipped_cards()
    assert max(card[score] for card in ours) <= floor[score] + more


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


@pytest.mark.parametrize("data", ["phantom", "real_slices"])
@pytest.mark.parametrize("bits", [1024, 2560, 4608])
def test_three_seeds_tell_vae_and_vqvae_apart_at_each_rate(data, bits):
    lines = [
        line
        for line in stored("rate_distortion")["settled"]
        if (line["data"], line["bits"]) == (data, bits)
    ]
    assert {"ssim", "psnr", "edges"} <= {line["score"] for line in lines}
    assert all(len(line["by_seed"]) == 3 for line in lines)


@pytest.mark.parametrize("data", ["phantom", "real_slices"])
def test_no_codebook_collapses_and_its_codes_are_used_evenly(data):
    rows = [
        row
        for row in stored("rate_distortion")["rows"]
        if (row["data"], row["codebook_size"]) == (data, 512)
    ]
    assert {row["seed"] for row in rows} == {0, 1, 2}
    assert min(row["codes_used"] for row in rows) >= 0.95 * 512
    assert min(row["perplexity"] for row in rows) >= 0.6 * 512


def test_at_equal_cost_our_vqvae_is_ahead_of_every_rival():
    verdicts = stored("quality_at_equal_cost")["verdict"]
    places = {(line["data"], line["grid"], line["score"]) for line in verdicts}
    assert len(places) == len(verdicts) == 8  # two data sets, two grids, two scores
    assert all(len(line["by_seed"]) == 3 for line in verdicts)
    assert all(line["ours"] > line["rival"] for line in verdicts)


def test_models_stand_beside_codecs_at_two_sizes():
    gaps = stored("codecs")["gaps"]
    found = {(gap["data"], gap["size"], gap["kind"]) for gap in gaps}
    for data in ("phantom", "real_slices"):
        for size in ("128x64", "256x128"):
            for kind in ("vae", "vqvae"):
                assert (data, size, kind) in found
    assert {gap["codec"] for gap in gaps} >= {"AVIF", "WebP"}
