import pickle

import pytest
import torch

from vqlib import runs
from vqlib.errors import UserError


def test_the_root_is_found_from_the_notebooks_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("VQLIB_HOME", raising=False)
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    (notebooks / "01_data_exploration.ipynb").touch()
    for folder in (tmp_path, notebooks):
        monkeypatch.chdir(folder)
        assert runs.project_root() == tmp_path


def test_checkpoints_come_back_as_they_were(tmp_path):
    path = tmp_path / "best.safetensors"
    tensors = {"a": torch.randn(3, 2), "b": torch.tensor(5)}
    runs.save_checkpoint(path, tensors, {"epoch": 7})
    back, meta = runs.load_checkpoint(path)
    assert meta == {"epoch": 7}
    assert all(torch.equal(tensors[key], back[key]) for key in tensors)
    assert [p.name for p in tmp_path.iterdir()] == ["best.safetensors"]


def test_broken_checkpoints_are_refused_and_nothing_is_unpickled(tmp_path):
    path = tmp_path / "best.safetensors"
    runs.save_checkpoint(path, {"a": torch.zeros(64)}, {})
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="not a readable checkpoint"):
        runs.load_checkpoint(path)

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="not a readable checkpoint"):
        runs.load_checkpoint(path)


def test_broken_json_is_refused_by_name(tmp_path):
    path = tmp_path / "metrics.json"
    with pytest.raises(UserError, match=r"metrics\.json is missing"):
        runs.load_json(path)
    for text, words in {
        "{": "is not valid JSON",
        "[1]": "is not valid JSON",
    }.items():
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=rf"metrics\.json {words}"):
            runs.load_json(path)
