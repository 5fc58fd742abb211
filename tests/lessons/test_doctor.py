import importlib.metadata as installed
import json
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import program, vqlib
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from lessons import doctor


@pytest.fixture
def labextensions(home, monkeypatch):
    """Where JupyterLab finds what shows widgets."""
    for name in doctor.SHOW:
        about = {"name": name, "version": "1", "jupyterlab": {"_build": {"load": "x"}}}
        path = home / "jupyter" / "labextensions" / name / "package.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(about))
    monkeypatch.setattr("jupyter_core.paths.ENV_JUPYTER_PATH", [])
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")
    monkeypatch.setenv("JUPYTER_PATH", str(home / "jupyter"))
    return home / "jupyter" / "labextensions"


@pytest.fixture
def ask(home, labextensions, monkeypatch):
    (home / "notebooks").mkdir()
    monkeypatch.delenv("VQLIB_CACHE", raising=False)

    def ask(code=0):
        said = vqlib("doctor", code=code).output.splitlines()
        lines = [line.split(None, 2) for line in said]
        return {name: (state, text) for state, name, text in lines}

    return ask


def test_a_machine_that_is_well(ask):
    found = ask()
    names = "python packages device data runs cache kernel widgets"
    assert list(found) == names.split()
    assert "torch" in found["packages"][1]
    assert {state for state, _ in found.values()} <= {"ok", "note"}


def test_what_is_missing_or_old_is_named_with_its_remedy(ask, monkeypatch):
    versions = {"papermill": "2.0.1", "anywidget": None}
    real = installed.version

    def version(name):
        if (found := versions.get(name, "")) is None:
            raise installed.PackageNotFoundError
        return found or real(name)

    monkeypatch.setattr(installed, "version", version)
    state, said = ask(code=1)["packages"]
    assert state == "FIX"
    for part in ("anywidget is missing", "papermill 2.0.1 is older", "pip install -e"):
        assert part in said


def test_other_folders_and_no_torch(ask, monkeypatch, home):
    (home / "data").write_text("a file")
    monkeypatch.setenv("VQLIB_CACHE", "off")
    monkeypatch.setitem(sys.modules, "torch", None)
    disk = SimpleNamespace(free=1e9)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: disk)
    found = ask(code=1)
    assert "cache" not in found
    assert found["data"][0] == found["device"][0] == "FIX"
    assert "VQLIB_HOME" in found["data"][1]
    assert found["runs"][0] == "note"


def test_the_remedy_for_a_kernel_makes_it(ask, monkeypatch, home):
    def none(*_):
        raise NoSuchKernel("python3")

    gone = KernelSpec(argv=["/gone/bin/python"])
    for lacking in (lambda *_: gone, none):
        monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lacking)
        said = ask(code=1)["kernel"][1]
        command = shlex.split(said.split(": ", 1)[1])
        assert command[-1] == "--sys-prefix"
    program(*command[:-1], "--prefix", home)  # not into ours
    made = KernelSpec.from_resource_dir(f"{home}/share/jupyter/kernels/python3")
    assert Path(made.argv[0]).samefile(sys.executable)


def test_widgets_that_jupyterlab_does_not_find_or_show(ask, labextensions, monkeypatch):
    assert ask()["widgets"][0] == "ok"
    config = labextensions.parent / "labconfig" / "page_config.json"
    config.parent.mkdir()
    config.write_text('{"disabledExtensions": {"anywidget": true}}')
    monkeypatch.delenv("JUPYTER_NO_CONFIG")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(labextensions.parent))
    state, said = ask(code=1)["widgets"]
    assert state == "FIX"
    assert said.endswith("-m jupyter labextension enable anywidget")
    (labextensions / "anywidget/package.json").unlink()
    state, said = ask(code=1)["widgets"]
    assert state == "FIX"
    assert said.endswith("--no-deps anywidget")  # the package is there, not its files
