"""What ``vqlib doctor`` says of a machine that is well, and of others."""

import importlib.metadata as installed
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from lessons import doctor
from vqlib.cli import main


@pytest.fixture
def labextensions(tmp_path, monkeypatch):
    """Where JupyterLab finds what shows widgets."""
    for name in doctor.SHOW:
        about = {"name": name, "version": "1", "jupyterlab": {"_build": {"load": "x"}}}
        path = tmp_path / "jupyter" / "labextensions" / name / "package.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(about))
    monkeypatch.setattr("jupyter_core.paths.ENV_JUPYTER_PATH", [])
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return tmp_path / "jupyter" / "labextensions"


@pytest.fixture
def ask(tmp_path, labextensions, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    monkeypatch.delenv("VQLIB_CACHE", raising=False)

    def ask():
        result = CliRunner().invoke(main, ["doctor"])
        assert isinstance(result.exception, SystemExit | None), result.exception
        lines = [line.split(None, 2) for line in result.output.splitlines()]
        return result.exit_code, {name: (state, said) for state, name, said in lines}

    return ask


def test_a_machine_that_is_well(ask):
    status, found = ask()
    assert status == 0, found
    names = [
        "python",
        "packages",
        "device",
        "data",
        "runs",
        "cache",
        "kernel",
        "widgets",
    ]
    assert list(found) == names
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
    status, found = ask()
    assert status == 1
    state, said = found["packages"]
    assert state == "FIX"
    for part in ("anywidget is missing", "papermill 2.0.1 is older", "pip install -e"):
        assert part in said


def test_other_folders_and_no_torch(ask, monkeypatch, tmp_path):
    (tmp_path / "data").write_text("a file")
    monkeypatch.setenv("VQLIB_CACHE", "off")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: FREE)
    status, found = ask()
    assert status == 1
    assert "cache" not in found
    assert found["data"][0] == found["device"][0] == "FIX"
    assert "VQLIB_HOME" in found["data"][1]
    assert found["runs"][0] == "note"


class FREE:
    free = 1e9


def test_a_kernel_whose_python_is_gone(ask, monkeypatch):
    gone = KernelSpec(argv=["/gone/bin/python"])
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda *_: gone)
    status, found = ask()
    assert status == 1
    assert "ipykernel install" in found["kernel"][1]


def test_the_remedy_for_a_kernel_makes_it(ask, monkeypatch, tmp_path):
    def none(*_):
        raise NoSuchKernel("python3")

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", none)
    _, found = ask()
    command = shlex.split(found["kernel"][1].split(": ", 1)[1])
    assert command[-1] == "--sys-prefix"
    subprocess.run([*command[:-1], "--prefix", tmp_path], check=True)  # not into ours
    made = KernelSpec.from_resource_dir(f"{tmp_path}/share/jupyter/kernels/python3")
    assert Path(made.argv[0]).samefile(sys.executable)


def test_widgets_that_jupyterlab_does_not_find_or_show(ask, labextensions, monkeypatch):
    assert ask()[1]["widgets"][0] == "ok"
    config = labextensions.parent / "labconfig" / "page_config.json"
    config.parent.mkdir()
    config.write_text('{"disabledExtensions": {"anywidget": true}}')
    monkeypatch.delenv("JUPYTER_NO_CONFIG")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(labextensions.parent))
    status, found = ask()
    state, said = found["widgets"]
    assert (status, state) == (1, "FIX")
    assert said.endswith("-m jupyter labextension enable anywidget")
    (labextensions / "anywidget/package.json").unlink()
    state, said = ask()[1]["widgets"]
    assert state == "FIX"
    assert said.endswith("--no-deps anywidget")  # the package is there, not its files
