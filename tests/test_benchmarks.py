"""What the benchmarks do with what earlier runs have stored, and what is stored: that
the samples and the prior of the quick profile reach what they are meant to."""

import json
import sys
from pathlib import Path

import pytest

from vqlib.runs import load_json

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
OURS = "VQ-VAE + prior"


@pytest.fixture
def rate_distortion(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import rate_distortion

    monkeypatch.setattr(rate_distortion, "RESULTS", tmp_path)
    return rate_distortion


def lines(data, bits, *values):
    return [{"data": data, "bits": bits, "ssim": value} for value in values]


def found(data, bits, *values):
    return {"settled": lines(data, bits, 0.5), "rows": lines(data, bits, *values)}


def test_one_rate_anew_replaces_its_lines_and_leaves_all_others(
    rate_distortion, tmp_path, monkeypatch
):
    old = found("phantom", 1024, 0.1, 0.2)
    for more in (found("phantom", 2560, 0.3), found("real_slices", 1024, 0.4)):
        old = {key: old[key] + more[key] for key in old}
    stored = old | {"command": "python benchmarks/rate_distortion.py --store"}
    (tmp_path / "rate_distortion.json").write_text(json.dumps(stored))
    monkeypatch.setattr(sys, "argv", ["rate_distortion.py", "--bits", "1024"])
    both = rate_distortion.with_stored(found("phantom", 1024, 0.7, 0.8, 0.9))
    assert both["rows"] == [
        *lines("phantom", 2560, 0.3),
        *lines("real_slices", 1024, 0.4),
        *lines("phantom", 1024, 0.7, 0.8, 0.9),
    ]
    assert len(both["settled"]) == 3
    assert both["command"] == (
        "python benchmarks/rate_distortion.py --store; "
        "python benchmarks/rate_distortion.py --bits 1024"
    )


def test_the_first_rate_is_stored_alone(rate_distortion, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rate_distortion.py", "--only", "phantom"])
    both = rate_distortion.with_stored(found("phantom", 1024, 0.7))
    assert both["rows"] == lines("phantom", 1024, 0.7)
    assert both["command"] == "python benchmarks/rate_distortion.py --only phantom"


def stored(name):
    return load_json(BENCHMARKS / "results" / f"{name}.json")


@pytest.mark.parametrize(
    "score", ["texture", "shape", "areas", "neighbours", "pieces", "places"]
)
def test_our_samples_are_nearer_to_real_than_every_other_model_and_control(score):
    cards = stored("score_card")["cards"]
    found = {
        name: card[score]
        for name, card in cards.items()
        if not name.startswith("real") and card[score] is not None
    }
    assert len(found) > 1
    assert min(found, key=found.get) == OURS


def test_our_samples_have_the_highest_recall_and_are_no_copies():
    cards = stored("score_card")["cards"]
    recall = {n: c["recall"] for n, c in cards.items() if not n.startswith("real")}
    assert max(recall, key=recall.get) == OURS
    assert cards[OURS]["nearest"] >= 1  # as far from training as other men


def test_sampling_is_twenty_times_as_fast_as_without_cache_and_as_the_rival():
    rows = stored("sampling")["rows"]
    assert {row["prior"] for row in rows} == {"transformer", "pixelcnn"}
    assert all(row["batch"] == 16 for row in rows)
    ratios = [ratio for row in rows for ratio in row["times_cached"].values()]
    assert len(ratios) == 3
    assert min(ratios) >= 20


def test_the_prior_pays_thirty_percent_less_than_order_0():
    found = load_json(ROOT / "resources" / "results_quick.json")["prior_pixelcnn"]
    assert found["split"] == "test"
    order0 = min(found["order0_bits"], found["control_order0_bits_per_slice"])
    assert found["bits_per_slice"] <= 0.7 * order0
