"""What the benchmarks do with what earlier runs have stored."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


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
