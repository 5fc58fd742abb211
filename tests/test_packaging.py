"""What is declared is what is used, and every way to install says the same."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import pytest
from commands import ROOT, text

import vqlib

PROJECT = tomllib.loads(text("pyproject.toml"))["project"]

OWN = ("vqlib", "lessons", "pelvis")
# started as programs, loaded as plug-ins or imported by name: name -> where it is used
PROGRAMS = {
    "build": "tests/test_wheel.py",
    "idc-index": "pelvis/fetch.py",
    "jupyterlab": "lessons/cli.py",
    "myst-nb": "docs/conf.py",
    "nbval": "Makefile",
    "onnxruntime": "tests/test_demo.py",
    "onnxscript": "docs/demo/export.py",
    "ruff": ".ci/run",
    "setuptools": "pyproject.toml",
    "sphinx": "docs/conf.py",
    "sphinx-book-theme": "docs/conf.py",
    "sphinx-click": "docs/conf.py",
    "sphinx-mathjax-offline": "docs/conf.py",
    "sphinx-revealjs": "docs/slides.py",
}


def name_of(requirement):
    return re.match(r"[\w-]+", requirement).group().lower()


def declared(*extras):
    chosen = list(PROJECT["dependencies"])
    for extra in extras:
        chosen += PROJECT["optional-dependencies"][extra]
    return {name_of(requirement) for requirement in chosen} - {"vqlib"}


def code_of(path):
    if path.suffix == ".py":
        return text(path)
    cells = [c for c in json.loads(text(path))["cells"] if c["cell_type"] == "code"]
    lines = [line for c in cells for line in ["\n", *c["source"]]]
    return "".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


@cache
def modules(path):
    """What one file imports: ``a.b`` for ``import a.b`` and for ``from a import b``."""
    found = set()
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def tops(path):
    return {name.split(".")[0] for name in modules(path)}


def imports(*folders):
    """Distributions that the code in some folders imports."""
    found = set()
    for folder in folders:
        files = [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.ipynb")]
        for path in files:
            if ".ipynb_checkpoints" not in path.parts:
                found |= tops(path)
    own = {*OWN, "conftest"}
    for folder in ("tests", "benchmarks", "resources", "docs"):
        own |= {folder, *(path.stem for path in (ROOT / folder).rglob("*.py"))}
    found -= {*sys.stdlib_module_names, *own}
    of = {"markdown_it": ["markdown-it-py"]}  # where the site's extra is missing
    of |= packages_distributions()
    return {of.get(name, [name])[0].lower().replace("_", "-") for name in found}


NEEDS = [  # folders, the extras that their imports may be of
    (("vqlib", "pelvis"), ()),  # trainings do without Jupyter
    (("notebooks", "lessons"), ("lab",)),
    (("resources",), ("lab",)),
    (("docs",), ("lab", "site")),
    (("tests",), ("lab", "test", "fetch")),
    (("benchmarks",), ("lab", "test")),
]


@pytest.mark.parametrize(("folders", "extras"), NEEDS)
def test_every_import_is_declared(folders, extras):
    assert imports(*folders) <= declared(*extras)


def test_everything_declared_is_used():
    used = imports(*OWN, "notebooks", "tests", "resources", "benchmarks", "docs")
    for name, place in PROGRAMS.items():
        if name in text(place) or name.replace("-", "_") in text(place):
            used.add(name)
    assert declared("lab", "test", "fetch", "site") <= used


def test_every_place_says_the_same_version():
    assert PROJECT["version"] == vqlib.__version__
    assert f"\nversion: {vqlib.__version__}\n" in text("CITATION.cff")
    assert re.search(r"^## (.*)$", text("CHANGELOG.md"), re.M)[1] == vqlib.__version__


TOP = "cli experiment results"
ROOMS = {  # folders and files, what of vqlib or of others they must not import
    "vqlib": "lessons pelvis",
    "pelvis": "lessons torch",
    "vqlib/models": f"{TOP} data losses metrics training runs profiles recipes",
    "vqlib/priors": f"{TOP} data losses metrics training runs profiles recipes",
    "vqlib/data": f"{TOP} models priors losses metrics training recipes",
    "vqlib/losses": f"{TOP} data metrics training runs profiles recipes",
    "vqlib/settings.py": f"{TOP} data models losses metrics training",
    "vqlib/profiles.py": f"{TOP} data models losses metrics training",
    "vqlib/runs.py": f"{TOP} data models losses metrics training",
    "vqlib/metrics": f"{TOP} recipes",
    "vqlib/training": f"{TOP} recipes",
}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_down_only(room):
    """notebooks -> lessons -> vqlib <- pelvis; pelvis does without torch."""
    path = ROOT / room
    for file in [path] if path.is_file() else path.rglob("*.py"):
        found = {name.removeprefix("vqlib.").split(".")[0] for name in modules(file)}
        assert not found & {*ROOMS[room].split()}, file.relative_to(ROOT)


def test_names_for_import_are_few_and_there():
    assert len(vqlib.__all__) < 30
    for name in vqlib.__all__:
        assert getattr(vqlib, name)


def test_conda_environment_installs_what_pyproject_declares():
    lines = text("environment.yml").splitlines()
    wanted = ["name: vqlib", "channels:", "  - conda-forge", "  - nodefaults"]
    wanted += ["dependencies:", f"  - python{PROJECT['requires-python']}", "  - pip"]
    wanted += ["  - pip:", "      - -e .[lab,test]"]
    assert [line for line in lines if not line.startswith("#")] == wanted
    assert {"lab", "test"} <= PROJECT["optional-dependencies"].keys()


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_refuses_an_old_python(tmp_path):
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for python in (old, tmp_path / "missing"):
        words = ["make", "tutorial", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"]
        result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert result.returncode != 0
        errors = [e for e in result.stderr.splitlines() if not e.startswith("make")]
        assert len(errors) == 1
        assert errors[0].startswith("error: ")
        assert "3.11" in errors[0]
        assert not (tmp_path / "venv").exists()
