import pickle

import pytest
import torch
from slice_files import refusal

from vqlib import runs


def test_the_root_is_found_from_the_notebooks_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("VQLIB_HOME", raising=False)
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    (notebooks / "01_data_exploration.ipynb").touch()
    for folder in (tmp_path, notebooks):
        monkeypatch.chdir(folder)
        assert runs.project_root() == tmp_path


def test_broken_files_are_refused_and_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path = tmp_path / "best.safetensors"
    runs.save_checkpoint(path, {"a": torch.zeros(64)}, {})
    for broken in (path.read_bytes()[:-9], pickle.dumps(Bomb())):
        path.write_bytes(broken)
        refusal(runs.load_checkpoint, path, match="not a readable checkpoint")
    nowhere = tmp_path / "gone" / path.name
    refusal(runs.save_checkpoint, nowhere, {}, {}, match="cannot be written")
    refusal(runs.load_json, tmp_path / "a.json", match=r"a\.json is missing")
