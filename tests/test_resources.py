"""The drawings are what their scripts draw, the README's table what was measured."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
RESOURCES = ROOT / "resources"


@pytest.fixture(autouse=True)
def beside_the_scripts(monkeypatch):
    monkeypatch.syspath_prepend(RESOURCES)


def run_script(name, *arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(RESOURCES / name), run_name="__main__")


def creator(svg):
    return re.search(r"<dc:title>(.*?)</dc:title>", svg).group(1)


def words(svg):
    return re.findall(r"<!-- (.*?) -->", svg)


@pytest.mark.parametrize("name", ["vae", "vqvae"])
def test_script_draws_the_committed_drawing(name, tmp_path, monkeypatch):
    run_script(f"draw_{name}.py", tmp_path / f"{name}.svg", monkeypatch=monkeypatch)
    drawn = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    kept = (RESOURCES / f"{name}.svg").read_text(encoding="utf-8")
    assert words(drawn) == words(kept)
    if creator(drawn) == creator(kept):  # else the same, drawn by another matplotlib
        assert drawn == kept


def test_vqvae_drawing_names_the_five_components():
    named = words((RESOURCES / "vqvae.svg").read_text(encoding="utf-8"))
    for component in (
        "Encoder",
        "embedding space (codebook)",
        "quantization",
        "Decoder",
        "training signal",
        "straight-through estimator",
    ):
        assert component in named


def test_every_drawing_has_its_script():
    for path in [*RESOURCES.glob("*.svg"), *RESOURCES.glob("*.png")]:
        assert path.with_name(f"draw_{path.stem}.py").exists(), path.name


def test_results_figure_has_all_columns(tmp_path):
    import draw_results

    columns = {
        name: torch.rand(2, 1, 32, 16) for name in ("slice", "VAE", "VQ-VAE", "new")
    }
    figure = draw_results.draw(columns)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == list(columns)
    for axis in figure.axes:  # upright, and one window for all
        image = axis.images[0]
        assert image.get_array().shape == (16, 32)
        assert image.origin == "lower"
        assert image.get_clim() == (0, 1)


def test_texts_go_between_their_markers():
    import update_readme

    page = (
        "in <!-- time: begin -->old<!-- time: end --> minutes\n"
        "<!-- results: begin -->\nold\n<!-- results: end -->\nafter\n"
    )
    new = update_readme.with_blocks(page, {"time": "7", "results": "| a |"})
    assert new == page.replace("old", "7", 1).replace("old", "| a |", 1)


def test_every_quoted_number_is_a_stored_one():
    import update_readme

    from vqlib.runs import load_json

    pages = update_readme.pages(load_json(RESOURCES / "results_quick.json"))
    assert len(pages) == 8  # README, results, and six notebooks for their durations
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_a_notebook_tells_its_measured_time():
    import update_readme

    cell = {"source": ["# T\n", "Quick profile on two CPU cores: about **x**; more"]}
    text = json.dumps({"cells": [cell]})
    source = json.loads(update_readme.with_duration(text, 130))["cells"][0]["source"]
    assert source[1] == "Quick profile on two CPU cores: about **2 minutes**; more"


@pytest.mark.parametrize("page", ["README.md", "docs/results.md", "docs/data.md"])
def test_links_lead_somewhere(page):
    path = ROOT / page
    targets = re.findall(
        r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", path.read_text(encoding="utf-8")
    )
    local = [a or b for a, b in targets if "://" not in (a or b)]
    for target in local:
        assert (path.parent / target).exists(), target
    assert local or page == "docs/data.md"


def test_the_stored_rates_are_drawn(tmp_path, monkeypatch):
    from vqlib.runs import save_json

    row = {"data": "phantom", "kind": "vae", "grid": "32x16", "bits": 1024.0}
    row |= {"ssim": {"mean": 0.7}}
    codec = {"data": "phantom", "codec": "WebP", "mean_bytes": 99.0}
    stored = {"rows": [row], "codecs": [codec | {"ssim": {"mean": 0.6}}]}
    save_json(tmp_path / "stored.json", stored)
    arguments = ("--stored", tmp_path / "stored.json", tmp_path / "drawn.png")
    run_script("draw_rate_distortion.py", *arguments, monkeypatch=monkeypatch)
    assert (tmp_path / "drawn.png").stat().st_size > 5000
