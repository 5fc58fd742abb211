"""Notebook 01 on what anyone can get: one scan of each of three people, no labels."""

import shutil
from pathlib import Path

import nbformat
import pytest

from lessons import tutorial
from pelvis.phantom import write_phantom

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_data_exploration.ipynb"


def test_a_train_split_of_one_is_looked_at_with_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    study = write_phantom(
        tmp_path / "study", (1, 1, 1), 1, slices=8, jobs=1, progress=False
    )
    for labels in study.glob("keras_slices_seg_*"):
        shutil.rmtree(labels)
    values = {"profile": "smoke", "data_dir": str(study), "run": "few"}
    done = tmp_path / "done.ipynb"
    tutorial.execute(NOTEBOOK, done, values)
    cells = nbformat.read(done, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert "the slices of all splits stand for those of train" in text
    assert "another patient" in text  # somebody to compare with
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 9
