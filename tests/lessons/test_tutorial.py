"""The runner, on tiny notebooks made up here."""

import base64
import io
import json
import sys

import nbformat
import numpy as np
import pytest
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)
from PIL import Image

from lessons import refresh, tutorial
from vqlib.errors import UserError

pytestmark = pytest.mark.notebooks

PARAMETERS = """\
profile: str = "quick"  # quick or full
data_dir: str = None  # folder of slices
run: str = "quick"  # name of the run folder
seed: int = 0  # random seed
device: str = "auto"  # auto, cpu or cuda
"""
TELL = """\
import json, os, sys
print(json.dumps({
    "python": sys.executable, "cwd": os.getcwd(), "data_dir": data_dir, "run": run,
    "seed": seed, "headless": os.environ.get("VQLIB_HEADLESS"),
    "home": os.environ.get("VQLIB_HOME"), "backend": os.environ.get("MPLBACKEND"),
}))
"""


def write(folder, name, *cells, more=""):
    folder.mkdir(exist_ok=True)
    parameters = new_code_cell(PARAMETERS + more, metadata={"tags": ["parameters"]})
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# A title"),
            parameters,
            *(new_code_cell(source) for source in cells),
        ],
        metadata=refresh.KERNEL,
    )
    nbformat.write(notebook, folder / f"{name}.ipynb")


def outputs(path):
    notebook = nbformat.read(path, as_version=4)
    return [o for cell in notebook.cells for o in cell.get("outputs", [])]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    # a foreign kernel under the usual name, first in the search path
    foreign = tmp_path / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text(
        json.dumps(
            {"argv": ["/no/such/python"], "display_name": "x", "language": "python"}
        )
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return tmp_path


def test_runs_all_with_this_python_in_their_folder(home, capfd, monkeypatch):
    folder = home / "notebooks"
    write(folder, "01_first", TELL)
    write(
        folder,
        "02_second",
        "print('codes', codebook_size * 2)",
        more="""\
codebook_size: int = None  # K
""",
    )
    (home / "slices").mkdir()
    monkeypatch.chdir(home)
    done = tutorial.run_tutorial(
        "trial", {"data_dir": "slices", "codebook_size": "21", "seed": 7}
    )
    told = json.loads(outputs(home / "runs/trial/notebooks/01_first.ipynb")[0].text)
    assert told == {
        "python": sys.executable,
        "cwd": str(folder),
        "data_dir": str(home / "slices"),
        "run": "trial",
        "seed": 7,
        "headless": "1",
        "home": str(home),
        "backend": "module://matplotlib_inline.backend_inline",
    }
    second = home / "runs/trial/notebooks/02_second.ipynb"
    assert outputs(second)[0].text == "codes 42\n"
    assert [d.name for d in done] == ["01_first", "02_second"]
    kept = json.loads((home / "runs/trial/notebook_seconds.json").read_text())
    assert kept == {d.name: round(d.seconds) for d in done}
    shown = capfd.readouterr()
    assert "01_first" in shown.out  # with its time
    assert "02_second: cell" in shown.err  # the bar


def test_failure_keeps_output_and_stops(home):
    folder = home / "notebooks"
    write(
        folder,
        "01_first",
        "print('so far')",
        "value = 1\nraise KeyError('no such key')",
    )
    write(folder, "02_second", "1")
    with pytest.raises(tutorial.NotebookError) as caught:
        tutorial.run_tutorial("trial", {})
    message = str(caught.value)
    assert "01_first.ipynb failed in cell [" in message
    assert "begins: value = 1" in message
    assert "KeyError: 'no such key'" in message
    assert "\x1b" not in message
    kept = outputs(home / "runs/trial/notebooks/01_first.ipynb")
    assert kept[0].text == "so far\n"
    assert kept[-1].ename == "KeyError"
    assert not (home / "runs/trial/notebooks/02_second.ipynb").exists()


def test_user_error_is_told_in_one_line(home):
    source = "class UserError(ValueError): ...\nraise UserError('slice x is broken')"
    write(home / "notebooks", "01_first", source)
    with pytest.raises(tutorial.NotebookError) as caught:
        tutorial.run_tutorial("trial", {})
    _, reason, where = str(caught.value).splitlines()
    assert reason == "  slice x is broken"
    assert str(home / "runs/trial/notebooks/01_first.ipynb") in where


def test_time_limit_of_a_cell(home):
    write(home / "notebooks", "01_first", "2", "import time\ntime.sleep(600)")
    with pytest.raises(tutorial.NotebookError) as caught:
        tutorial.run_tutorial("trial", {}, timeout=2)
    assert "begins: import time" in str(caught.value)
    assert "went past its time limit of 2 seconds" in str(caught.value)
    kept = outputs(home / "runs/trial/notebooks/01_first.ipynb")
    assert kept[-1].output_type == "error"


def test_dead_kernel(home):
    write(home / "notebooks", "01_first", "import os\nos._exit(9)")
    with pytest.raises(tutorial.NotebookError, match=r"begins: import os"):
        tutorial.run_tutorial("trial", {})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"codebok_size": "9"}, "unknown parameter 'codebok_size'; did you mean "),
        ({"codebook_size": "many"}, "codebook_size must be int, not 'many'"),
        ({"profile": "quik"}, "unknown profile 'quik'; did you mean 'quick'"),
        ({"data_dir": "nowhere"}, "nowhere is not a folder"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(home, parameters, message):
    write(home / "notebooks", "01_first", "1", more="codebook_size: int = None  # K\n")
    with pytest.raises(UserError) as caught:
        tutorial.run_tutorial("trial", parameters)
    assert message in str(caught.value)
    assert not (home / "runs").exists()


def test_only_some_notebooks(tmp_path):
    for name in ("01_first", "02_second", "03_third", "draft"):
        write(tmp_path, name)
    names = [p.stem for p in tutorial.find_notebooks(tmp_path, ["3", "01_first"])]
    assert names == ["01_first", "03_third"]
    with pytest.raises(UserError, match="did you mean '02_second'"):
        tutorial.find_notebooks(tmp_path, ["02_secnd"])
    with pytest.raises(UserError, match="no notebooks in"):
        tutorial.find_notebooks(tmp_path / "elsewhere")


def test_declared_reads_what_papermill_misses(tmp_path):
    more = "grid: str = None  # such as 32x16; None = the profile's\nloose = 1\n"
    write(tmp_path, "01_first", more=more)
    found = tutorial.declared(tmp_path / "01_first.ipynb")
    first = {"profile": "str", "data_dir": "str", "run": "str", "seed": "int"}
    assert found == {**first, "device": "str", "grid": "str", "loose": ""}


@pytest.mark.parametrize(
    ("text", "type_name", "value"),
    [
        ("12", "int", 12),
        ("1e-3", "float", 1e-3),
        ("true", "bool", True),
        ("12", "str", "12"),
        ("None", "int", None),
    ],
)
def test_convert(text, type_name, value):
    assert tutorial.convert("name", text, type_name) == value


def test_refresh_writes_clean_notebooks_in_place(home):
    source = (
        "import sys\nprint('kept')\nprint(f'{50}%|###  | 1/2 [00:01]', file=sys.stderr)"
    )
    write(home / "notebooks", "01_first", source, "run")
    path = home / "notebooks" / "01_first.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[3].metadata = {
        "tags": ["solution"],
        "jupyter": {"source_hidden": True},
        "execution": {"iopub.status.busy": "2001-01-01"},
    }
    nbformat.write(notebook, path)
    refresh.refresh_notebooks()
    text = (home / "notebooks/01_first.ipynb").read_text(encoding="utf-8")
    assert "papermill" not in text
    assert "50%" not in text
    assert sys.version.split()[0] not in text
    notebook = nbformat.read(home / "notebooks/01_first.ipynb", as_version=4)
    assert notebook.cells[1].metadata.tags == ["parameters"]
    assert notebook.cells[3].metadata == {
        "tags": ["solution"],
        "jupyter": {"source_hidden": True},
    }
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2, 3]
    assert notebook.cells[2].outputs[0].text == "kept\n"
    assert notebook.cells[3].outputs[0].data["text/plain"] == "'quick'"
    with pytest.raises(UserError, match="exists; remove it"):
        refresh.refresh_notebooks()


def test_committed_figures_keep_small_organs_coloured_and_scans_grey():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (300, 600, 1))
    pixels = np.repeat(grey, 3, axis=2)
    pixels[50:250, 100:300] = (pixels[50:250, 100:300] + (240, 228, 66)) // 2  # bone
    pixels[10:22, 10:22] = (204, 121, 167)  # a legend's patch of prostate
    pixels[250:260] = 255  # the page
    pixels[:, 400:500] = rng.integers(0, 256, (300, 1, 3))  # a map of many colours
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    png = base64.b64encode(file.getvalue()).decode()
    figure = new_output("display_data", {"image/png": png})
    notebook = new_notebook(cells=[new_code_cell("plot()", outputs=[figure])])
    kept = refresh.clean(notebook).cells[0].outputs[0].data["image/png"]
    assert len(kept) < len(png)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(kept))).convert("RGB"))
    wrong = np.abs(shown.astype(int) - pixels).max(axis=2)
    assert wrong.max() < 40
    assert wrong[10:22, 10:22].max() < 16
    assert wrong[:, 500:].max() < 8
    assert (np.ptp(shown[:, 500:], axis=2) == 0).all()
    assert (shown[250:260, 500:] == 255).all()


def test_a_text_that_came_in_pieces_is_one_in_the_committed_notebook():
    pieces = [new_output("stream", name="stdout", text=f"{n}\n") for n in (1, 2)]
    table = new_output("execute_result", {"text/plain": "3"})
    other = new_output("stream", name="stderr", text="4\n")
    cell = new_code_cell("count()", outputs=[*pieces, other, table, table])
    kept = refresh.clean(new_notebook(cells=[cell])).cells[0].outputs
    assert [o.get("text") for o in kept] == ["1\n2\n", "4\n", None, None]
