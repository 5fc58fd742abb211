import doctest
import pkgutil
from importlib import import_module

import pytest

import vqlib

MODULES = [m.name for m in pkgutil.walk_packages(vqlib.__path__, "vqlib.")]


@pytest.mark.parametrize("name", [n for n in MODULES if not n.endswith("__main__")])
def test_examples_in_docstrings_hold(name, tmp_path, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    assert doctest.testmod(import_module(name)).failed == 0
