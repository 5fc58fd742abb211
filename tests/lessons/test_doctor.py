"""What ``vqlib doctor`` says of a machine that is well, and of others."""

import importlib.metadata as installed
import sys

import pytest
from click.testing import CliRunner

from lessons import doctor
from vqlib.cli import main


@pytest.fixture
def ask(tmp_path, monkeypatch):
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
    versions = {"papermill": "2.0.1", "jupyterlab_widgets": None, "anywidget": None}
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
    assert found["widgets"][0] == "FIX"


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
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    gone = KernelSpec(argv=["/gone/bin/python"])
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda *_: gone)
    status, found = ask()
    assert status == 1
    assert "ipykernel install" in found["kernel"][1]
