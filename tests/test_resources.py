import re
import runpy
import sys

import pytest
from commands import NOTEBOOKS, ROOT, text

RESOURCES = ROOT / "resources"


@pytest.fixture(autouse=True)
def beside_the_scripts(monkeypatch):
    monkeypatch.syspath_prepend(RESOURCES)


def creator(svg):
    return re.search(r"<dc:title>(.*?)</dc:title>", svg).group(1)


def words(svg):
    return re.findall(r"<!-- (.*?) -->", svg)


@pytest.mark.parametrize("name", ["vae", "vqvae"])
def test_script_draws_the_committed_drawing(name, tmp_path, monkeypatch):
    script = RESOURCES / f"draw_{name}.py"
    monkeypatch.setattr(sys, "argv", [script.name, str(tmp_path / f"{name}.svg")])
    runpy.run_path(str(script), run_name="__main__")
    drawn, kept = text(tmp_path / f"{name}.svg"), text(f"resources/{name}.svg")
    assert words(drawn) == words(kept)
    if creator(drawn) == creator(kept):  # else the same, drawn by another matplotlib
        assert drawn == kept


def test_vqvae_drawing_names_the_five_components():
    named = {"Encoder", "embedding space (codebook)", "quantization", "Decoder"}
    named |= {"training signal", "straight-through estimator"}
    assert named <= {*words(text("resources/vqvae.svg"))}


def test_every_drawing_has_its_script():
    for path in [*RESOURCES.glob("*.svg"), *RESOURCES.glob("*.png")]:
        assert path.with_name(f"draw_{path.stem}.py").exists(), path.name


def test_every_quoted_number_is_a_stored_one():
    import update_readme

    from vqlib.runs import load_json

    pages = update_readme.pages(load_json(RESOURCES / "results_quick.json"))
    assert len(pages) == 8  # README, results, and six notebooks for their durations
    for path, wanted in pages.items():
        assert text(path) == wanted, path.name


def test_readme_is_short_and_says_how_long_each_notebook_takes():
    page = text("README.md")
    assert len(page.splitlines()) <= 120
    for path in NOTEBOOKS:
        assert re.search(rf"\(notebooks/{path.name}\) \| [1-9]\d* \|", page), path.name


@pytest.mark.parametrize("page", ["README.md", "docs/results.md", "docs/data.md"])
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", text(page))
    local = [a or b for a, b in targets if "://" not in (a or b)]
    for target in local:
        assert ((ROOT / page).parent / target).exists(), target
    assert local or page == "docs/data.md"
