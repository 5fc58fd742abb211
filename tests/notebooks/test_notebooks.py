import shutil

import nbformat
import papermill
import pytest
from commands import NOTEBOOKS, text

from lessons import tutorial
from pelvis.phantom import write_phantom
from vqlib import profiles

FIRST = ["profile: str", "data_dir: str", "run: str", "seed: int", "device: str"]
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@every_notebook
def test_the_first_parameters_are_the_same_and_all_have_a_help(path):
    declared = tutorial.declared(path)
    names = [f"{name}: {kind}" for name, kind in declared.items()]
    assert names[: len(FIRST)] == FIRST
    seen = papermill.inspect_notebook(path)
    assert all(parameter["help"] for parameter in seen.values())
    # one that is also a profile's setting means the same: None keeps the profile's
    for name in declared.keys() & profiles.get("quick").as_dict().keys():
        assert seen[name]["default"] == "None", name


@pytest.mark.parametrize("path", NOTEBOOKS[1:3], ids=lambda path: path.stem)
def test_what_a_notebook_trains_draws_its_curves_live(path):
    cells = nbformat.read(path, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    trains = [source for source in sources if "lab.train(" in source]
    assert trains
    for source in trains:
        assert "live_curves(" in source
        assert "on_epoch=" in source


@every_notebook
def test_committed_from_a_clean_run(path):
    cells = nbformat.read(path, as_version=4).cells
    counts = [c.execution_count for c in cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert len(counts) <= 35  # as many as a reader follows
    outputs = [output for c in cells for output in c.get("outputs", [])]
    assert "error" not in {output.output_type for output in outputs}
    assert "papermill_" not in text(path)
    assert '"widgets"' not in text(path)


@pytest.mark.notebooks
@pytest.mark.slow
def test_notebook_01_on_one_scan_of_each_of_three_people_without_labels(home):
    """What anyone can get: a train split of one is looked at with the others."""
    few = {"patients": (1, 1, 1), "weeks": 1, "slices": 8}
    study = write_phantom(home / "study", **few, jobs=1, progress=False)
    for labels in study.glob("keras_slices_seg_*"):
        shutil.rmtree(labels)
    values = {"profile": "smoke", "data_dir": str(study), "run": "few"}
    tutorial.execute(NOTEBOOKS[0], home / "done.ipynb", values)
    cells = nbformat.read(home / "done.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    said = "".join(output.get("text", "") for output in outputs)
    assert "the slices of all splits stand for those of train" in said
    assert "another patient" in said  # somebody to compare with
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 9
