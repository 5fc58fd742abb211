"""Every remedy that a message or a page names: it is given, and helps."""

import re
import shlex
import shutil
import tomllib

import click
import nbformat
import pytest
from click.testing import CliRunner
from commands import NOTEBOOKS, ROOT, refused, text, vqlib
from slice_files import BLADDER, write_study

from pelvis.phantom import VERSION
from vqlib import profiles, recipes
from vqlib.cli import main
from vqlib.cli.train import _typed as typed
from vqlib.errors import UserError
from vqlib.runs import save_json
from vqlib.settings import FLAT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
NAMED = (click.exceptions.NoArgsIsHelpError, click.MissingParameter)  # without values
SPAN = re.compile(r"`([^`\n]+)`")


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = tmp_path / "my home"
    home.mkdir()
    monkeypatch.setenv("VQLIB_HOME", str(home))
    monkeypatch.chdir(home)
    return home


def follow(*words: str) -> list[str]:
    """Do what each message says until a command works; the models that it took."""
    trained = []
    while (result := CliRunner().invoke(main, words)).exit_code:
        said = result.stderr.splitlines()[-1]
        remedy = shlex.split(re.search("`vqlib (.*?)`", said)[1])
        assert remedy[0] == "train", said
        assert remedy[1] not in trained, said
        trained.append(remedy[1])
        vqlib(*remedy)
    return trained


def test_what_a_training_lacks_is_trained_as_it_says(home):
    write_study(home / "a study", (6, 2, 2), BLADDER)
    words = ["train", "flow", "--profile", "smoke", "--data-dir", "a study"]
    words += ["--run", "my run", "--seed", "3"]
    for group in ("generator", "flow"):
        words += ["-p", f"{group}_batch_size", "2", "-p", f"{group}_steps", "2"]
    assert follow(*words) == ["sharp_vae"]


def test_what_a_generator_lacks_is_trained_as_it_says(home):
    """On slices in the phantom's place, which are written sooner than it is drawn."""
    place = write_study(home / "data" / "phantom-smoke", (16, 2, 2), BLADDER)
    made = {"version": VERSION, "seed": 0, "weeks": 1, "slices": 8}
    made["patients"] = {"train": 2, "validate": 1, "test": 2}
    save_json(place / "phantom.json", made)
    words = ["--profile", "smoke", "--run", "my run", "--seed", "3"]
    words += ["-p", "generator_steps", "2", "-p", "generator_width", "16"]
    vqlib("train", "sharp_vqvae", *words)
    draw = ["sample", "--run", "my run", "--n", "1", "--out"]
    assert follow(*draw, "a") == ["prior", "maps", "maps_prior"]
    assert follow(*draw, "b", "--family", "vae") == ["sharp_vae", "flow"]
    run = home / "runs" / "my run"
    for kind, source in {"prior": "sharp_vqvae", "maps_prior": "maps"}.items():
        shutil.rmtree(run / source)
        vqlib("train", source, *words, "--seed", "4", "-p", "maps_width", "24")
        said = refused(*draw, "c")
        shutil.rmtree(run / kind)  # "delete it"
        assert said.startswith(f"error: {run / kind} was trained over another {source}")
        vqlib(*shlex.split(re.search("`vqlib (.*?)`", said)[1]))
    vqlib(*draw, "c")


@pytest.mark.parametrize("run", ["full", "my run", "r"])
def test_a_run_without_results(home, run):
    said = vqlib("results", "--run", run, code=1).stderr
    values = parsed(shlex.split(said.split("make them with: vqlib ")[1]))
    assert values["run" if run != "full" else "profile"] == run


def parsed(words: list[str]) -> dict:
    """What a command line sets; fails where it would be refused."""
    command, name, context = main, "vqlib", None
    while isinstance(command, click.Group):
        context = command.make_context(name, words, parent=context)
        name, command, words = command.resolve_command(
            context, context._protected_args + context.args
        )
    values = command.make_context(name, words, parent=context).params
    changes = values.get("settings") or values.get("parameters") or ()
    changes = {key: typed(key, text) for key, text in changes if key in FLAT}
    profiles.get(values.get("profile", "quick"), **changes)
    if "model" in values:
        recipes.find(values["model"])
    return values


def commands(page: str):
    """The command lines in a text, those in several lines as one."""
    page = page.replace("\\\n", " ")
    for found in re.finditer(r"(?:^|`|do |-m |: )vqlib ([a-z][^`\n;#]*)", page, re.M):
        if not re.search(r"[…$]", found[1]):
            yield found[1]


def texts():
    for page in PAGES:
        yield page.name, text(page)
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        yield path.name, "\n".join(cell.source for cell in cells)


def test_every_command_on_a_page_is_one():
    found = [(name, line) for name, page in texts() for line in commands(page)]
    assert len(found) > 30
    wrong = []
    for name, line in found:
        try:
            parsed(shlex.split(line))
        except (click.exceptions.Exit, click.UsageError, UserError) as fault:
            if " -" in line or not isinstance(fault, NAMED):
                wrong.append(f"{name}: vqlib {line}: {fault}")
    assert not wrong, "\n".join(wrong)


def test_what_troubleshooting_names_is_there():
    """Settings, targets of make, extras, sections of notebooks."""
    page = text("docs/troubleshooting.md")
    spans = SPAN.findall(page)
    for words in [shlex.split(span) for span in spans if span.startswith("-p ")]:
        parsed(["train", "vqvae", *words])
    for target in re.findall(r"`make (\w+)", page):
        assert f"\n{target}:" in text("Makefile")
    project = tomllib.loads(text("pyproject.toml"))["project"]
    for extra in re.findall(r"\[(\w+)\]\"", page):
        assert extra in project["optional-dependencies"]
    for name, sections in re.findall(r"notebooks/(\w+)\.ipynb\), ([\d., and]+)", page):
        source = text(f"notebooks/{name}.ipynb")
        for section in re.findall(r"\d\.\d+", sections):
            assert f"## {section} " in source, (name, section)
