"""The drawings are what their scripts draw, the README's table what was measured."""

import re
import runpy
import sys
from pathlib import Path

import pytest

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


def test_every_quoted_number_is_a_stored_one():
    import update_readme

    from vqlib.runs import load_json

    pages = update_readme.pages(load_json(RESOURCES / "results_quick.json"))
    assert len(pages) == 8  # README, results, and six notebooks for their durations
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_readme_is_short_and_says_how_long_each_notebook_takes():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 120
    for path in ROOT.glob("notebooks/*.ipynb"):
        assert re.search(rf"\(notebooks/{path.name}\) \| [1-9]\d* \|", page), path.name


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
