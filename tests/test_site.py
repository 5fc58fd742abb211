import json
import re
import runpy

import click
import pytest
from commands import NOTEBOOKS, ROOT, text

from vqlib.cli import main
from vqlib.settings import FLAT


def test_every_page_is_in_a_table_of_contents():
    pages = [p for p in ROOT.glob("docs/**/*.md") if "_" not in p.parent.name]
    listed = {ROOT / "docs/index.md"}
    for page in pages:
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", text(page), re.DOTALL):
            for entry in tree.split():
                listed |= {*page.parent.glob(f"{entry}.md")}
    assert {*pages} == listed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_of_a_notebook_has_an_alternative_text(path):
    """In the cell's metadata, which `vqlib notebooks refresh` keeps:
    ``{"mystnb": {"image": {"alt": "…"}}}``."""
    for cell in json.loads(text(path))["cells"]:
        kinds = {kind for o in cell.get("outputs", []) for kind in o.get("data", {})}
        if kinds & {"image/png", "image/svg+xml"}:
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 20, f"{path.name}, cell {cell['id']}: no text"


def test_the_reference_has_every_setting_and_what_it_means():
    table = runpy.run_path(str(ROOT / "docs/settings_table.py"))["settings_table"]()
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", table, re.MULTILINE)
    assert {name for name, _ in rows} == FLAT.keys()
    assert all(means.strip() for _, means in rows)


def test_the_reference_has_every_command():
    commands = main.list_commands(click.Context(main))
    page = text("docs/reference/cli.md")
    assert {*re.findall(r":prog: vqlib (\w+)", page)} == {*commands}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_deck_has_a_title_figures_and_findings(path):
    pytest.importorskip("markdown_it")
    deck = runpy.run_path(str(ROOT / "docs/slides.py"))["deck"]
    title, slides = deck(json.loads(text(path)))
    assert title.startswith(f"{int(path.stem[:2])} ·")
    assert "You will learn" in slides[0]
    assert "What this run found" in slides[-1]
    assert 8 < len(slides) < 25
    assert sum("alt=" in slide for slide in slides) > 5


def test_what_runs_elsewhere_calls_targets_that_there_are():
    """Workflows and the development container; the tests run on three systems."""
    tests = text(".github/workflows/tests.yml")
    site = text(".github/workflows/site.yml")
    container = text(".devcontainer/devcontainer.json")
    assert "make" in json.loads(container)["postCreateCommand"]
    called = re.findall(r"\bmake ([^\n#\"]+)", tests + site + container)
    assert len(called) > 4
    for target in " ".join(called).split():
        name = target.replace(".venv", r"\$\(VENV\)")
        made = re.search(rf"^({name}:|\w+ = {name}$)", text("Makefile"), re.M)
        assert made or "=" in target
    for part in ("ubuntu", "macos", "windows", '"3.11"', '"3.x"'):
        assert part in tests
