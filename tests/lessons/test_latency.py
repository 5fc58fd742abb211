"""The benchmark of the widgets, run; and what a reader's hand asks of them."""

import json
import subprocess
import sys

import pytest

from vqlib.runs import load_json, project_root

LIMIT = 100.0  # ms from a press to the new picture, for one slice on two cores
SLOW = 3.5  # on a slower machine: as long as so many slices drawn with matplotlib


def medians() -> dict[str, float]:
    command = [sys.executable, "benchmarks/widgets.py", "--short"]
    told = subprocess.run(
        command, cwd=project_root(), capture_output=True, text=True, check=True
    )
    table = json.loads(told.stdout.splitlines()[-1])["table"]
    return {name: row["median_ms"] for name, row in table.items()}


def test_the_stored_result_keeps_to_the_limit_without_allowance():
    path = project_root() / "benchmarks" / "results" / "widgets.json"
    table = load_json(path)["table"]
    assert {"code painter", "sampler"} <= set(table)
    slow = {name: row["median_ms"] for name, row in table.items()}
    assert max(slow.values()) < LIMIT, slow


@pytest.mark.slow
def test_every_widget_of_the_quick_profile_answers_within_a_tenth_of_a_second():
    best = {}
    for _ in range(4):  # another program may have wanted the cores
        for name, ms in medians().items():
            best[name] = min(ms, best.get(name, ms))
        limit = max(LIMIT, SLOW * best["one slice with matplotlib"])
        answers = {k: v for k, v in best.items() if "matplotlib" not in k}
        if max(answers.values()) < limit:
            break
    assert set(answers) == {
        "slice browser",
        "code painter",
        "codebook explorer",
        "latent board",
        "sampler",
    }
    assert max(answers.values()) < limit, best
