"""The committed notebooks take the same first parameters, and papermill sees them."""

from pathlib import Path

import nbformat
import papermill
import pytest

from lessons import tutorial
from vqlib import profiles

NOTEBOOKS = sorted(Path(__file__).parents[2].glob("notebooks/[0-9]*.ipynb"))
FIRST = {
    "profile": "str",
    "data_dir": "str",
    "run": "str",
    "seed": "int",
    "device": "str",
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters(path):
    declared = tutorial.declared(path)
    assert list(declared.items())[: len(FIRST)] == list(FIRST.items())
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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_from_a_clean_run(path):
    notebook = nbformat.read(path, as_version=4)
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    text = path.read_text(encoding="utf-8")
    assert "papermill_" not in text
    assert '"widgets"' not in text
    assert "error" not in [
        output.output_type for c in notebook.cells for output in c.get("outputs", [])
    ]
