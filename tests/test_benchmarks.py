"""What is stored: the samples of the shipped generator and the priors of the quick
profile reach what they are meant to; and what the scripts store."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from commands import ROOT
from scipy.stats import sem

from vqlib.data import SliceData, SliceDataset
from vqlib.runs import load_json, save_json


@pytest.fixture
def script(monkeypatch):
    """A script of ``benchmarks/`` as a module, by its name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_the_shipped_samples_are_as_good_as_slices_of_other_patients():
    cards = load_json(ROOT / "vqlib" / "shipped" / "card.json")["cards"]
    floor = cards["floor: other patients"]
    ours = [card for name, card in cards.items() if name.startswith("shipped")]
    assert len(ours) == 3  # seeds

    def mean(score):
        return sum(card[score] for card in ours) / 3

    assert mean("areas") <= floor["areas"] + 0.02
    assert mean("places") <= floor["places"] + 0.02
    assert mean("pieces") <= floor["pieces"] + 0.15
    assert mean("precision") >= floor["precision"]
    for card in ours:
        assert card["texture"][0] <= floor["texture"][0]  # mean, low, high
        assert card["recall"] >= floor["recall"]
        assert card["told apart"] <= 0.6
        assert card["agreement"] >= floor["agreement"] - 0.1
        assert round(card["nearest"], 2) >= 0.95
        assert card["copies"] <= floor["copies"] + 0.02


def test_learned_priors_pay_less_than_fixed_ones():
    found = load_json(ROOT / "resources" / "results_quick.json")
    prior, flow = found["prior"], found["flow"]
    controls = [v for k, v in prior.items() if k.startswith("control")]
    assert prior["bits_per_slice"] < min(controls) <= prior["uniform_bits"] + 1
    assert flow["bits_per_slice"] < flow["kl_bits"]


def test_drawn_pairs_teach_a_segmenter():
    found = load_json(ROOT / "vqlib" / "shipped" / "card.json")["usefulness"]
    slices, drawn = found["64 training slices"], found["64 drawn pairs"]
    assert sum(drawn) >= 0.9 * sum(slices)  # of 3 seeds
    both = found["64 training slices + 512 drawn pairs"]
    assert sum(both) / 3 >= sum(slices) / 3 + 0.03


def test_right_answers_of_the_blind_test_are_counted():
    stored = load_json(ROOT / "benchmarks" / "results" / "blind_test.json")
    for test in stored["tests"].values():
        pairs = [list(zip(x, test["drawn"], strict=True)) for x in test["answers"]]
        assert [sum(a == b for a, b in x) for x in pairs] == test["right"]
        assert len(test["drawn"]) == stored["pairs"] == 20
    # each test has sides of its own: one that follows another is not blind
    assert len({test["drawn"] for test in stored["tests"].values()}) == 2


@pytest.mark.parametrize(
    ("answers", "says"), [("AB", "20 letters"), ("C" * 20, "each A or B")]
)
def test_mistyped_answers_of_the_blind_test_are_refused(
    tmp_path, script, answers, says
):
    save_json(tmp_path / "key.json", {"drawn": "AB" * 10, "decoded": False, "seed": 0})
    command = [str(tmp_path), "--answers", "AB" * 10, "--answers", answers]
    refused = CliRunner().invoke(script("blind_test").main, command)
    assert refused.exit_code
    assert says in refused.output
    counted = CliRunner().invoke(script("blind_test").main, command[:3])
    tests = json.loads(counted.output.splitlines()[-1])["tests"]
    assert tests["held-out slices"]["right"] == [20]


def test_one_set_measured_anew_leaves_the_other_as_stored(
    tmp_path, script, monkeypatch
):
    generation, common = script("generation"), script("common")
    scores = dict.fromkeys(generation.SCORES, 0.0) | {"share": 1.0, "set": "floor"}
    old = [scores | {"data": name, "at": "old"} for name in ("phantom", "real")]
    save_json(tmp_path / "generation.json", {"rows": old})
    new = scores | {"data": "phantom", "at": "new"}
    for module in (generation, common):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(generation, "open_data", lambda *_: None)
    monkeypatch.setattr(generation, "measure", lambda *_: [new])
    done = CliRunner().invoke(generation.main, ["--only", "phantom", "--store"])
    assert done.exit_code == 0
    rows = load_json(tmp_path / "generation.json")["rows"]
    assert {row["data"]: row["at"] for row in rows} == {"phantom": "new", "real": "old"}


def test_the_error_over_patients_is_that_of_a_mean(script, monkeypatch):
    generation, patients = script("generation"), torch.arange(12) % 4
    empty = torch.zeros(12)
    test = SliceDataset(torch.rand(12, 1, 8, 8), None, empty, patients, empty)
    data = SliceData("made", Path(), test, test, test, None, "")

    def make_judge(data, segmenter):  # its score: the mean of the test slices
        mean = data.test.images.mean().item()
        return lambda *_: {"mean": mean, "absent": None}

    monkeypatch.setattr(generation, "make_judge", make_judge)
    found = generation.make_judges(data, None)(None)
    means = [test.images[patients == k].mean().item() for k in range(4)]
    assert found["mean"] == pytest.approx(np.mean(means))
    assert found["patients"] == {"mean": pytest.approx(sem(means), abs=1e-6)}
