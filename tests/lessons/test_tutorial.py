import base64
import io
import json
import re
import sys

import nbformat
import numpy as np
import pytest
from commands import vqlib
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from slice_files import refusal

from lessons import refresh, tutorial
from vqlib.runs import project_root

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
names = "VQLIB_HEADLESS", "VQLIB_HOME", "VQLIB_CACHE", "MPLBACKEND", "GOMP_SPINCOUNT"
told = {"python": sys.executable, "cwd": os.getcwd(), "data_dir": data_dir}
told |= {"run": run, "seed": seed} | {name: os.environ[name] for name in names}
print(json.dumps(told))
"""


def write(name, *cells, more=""):
    folder = project_root() / "notebooks"
    folder.mkdir(exist_ok=True)
    parameters = new_code_cell(PARAMETERS + more, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# A title"), parameters, *map(new_code_cell, cells)]
    notebook = new_notebook(cells=cells, metadata=refresh.KERNEL)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def outputs(path):
    notebook = nbformat.read(path, as_version=4)
    return [o for cell in notebook.cells for o in cell.get("outputs", [])]


@pytest.fixture
def home(home, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    # a foreign kernel under the usual name, first in the search path
    foreign = home / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    about = {"argv": ["/no/such/python"], "display_name": "x", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(about))
    monkeypatch.setenv("JUPYTER_PATH", str(home / "jupyter"))
    return home


def test_runs_all_with_this_python_in_their_folder(home, monkeypatch):
    write("01_first", TELL)
    more = "codebook_size: int = None  # K\n"
    write("02_second", "print('codes', codebook_size * 2)", more=more)
    (home / "slices").mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("VQLIB_CACHE", "somewhere")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    limits, execute = [], tutorial.execute
    monkeypatch.setattr(
        tutorial, "execute", lambda *given: limits.append(given[-1]) or execute(*given)
    )
    options = "--run trial --data-dir slices --seed 7 -p codebook_size 21 --no-cache"
    shown = vqlib("tutorial", *options.split())
    executed = home / "runs/trial/notebooks"
    assert json.loads(outputs(executed / "01_first.ipynb")[0].text) == {
        "python": sys.executable,
        "cwd": str(home / "notebooks"),
        "data_dir": str(home / "slices"),
        "run": "trial",
        "seed": 7,
        "VQLIB_HEADLESS": "1",
        "VQLIB_HOME": str(home),
        "VQLIB_CACHE": "off",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "GOMP_SPINCOUNT": "300000",  # where the user has not set it
    }
    assert outputs(executed / "02_second.ipynb")[0].text == "codes 42\n"
    assert limits == [None, None]  # a slow machine is no fault
    kept = json.loads((home / "runs/trial/notebook_seconds.json").read_text())
    assert list(kept) == ["01_first", "02_second"]
    assert re.search(r"^01_first +0:\d\d$", shown.stdout, re.M)
    assert f"executed notebooks: {executed}" in shown.stdout
    assert "02_second: cell" in shown.stderr  # the bar


RAISES = "class UserError(ValueError): ...\nraise UserError('slice x is broken')"
FAILURES = {  # a cell, what is said of it
    "value = 1\nraise KeyError('no such key')": "KeyError: 'no such key'",
    RAISES: "slice x is broken",
    "import time\ntime.sleep(600)": "went past its time limit of 2 seconds",
    "import os\nos._exit(9)": "the kernel stopped: Kernel died",
}


@pytest.mark.parametrize("source", FAILURES)
def test_a_failure_is_told_in_a_few_lines_and_stops(home, source):
    write("01_first", "print('so far')", source)
    write("02_second", "1")
    with pytest.raises(tutorial.NotebookError) as caught:
        tutorial.run_tutorial("trial", {}, timeout=2)
    where, *reasons, kept = str(caught.value).splitlines()
    executed = home / "runs/trial/notebooks"
    assert where.startswith("notebook 01_first.ipynb failed in cell [")
    assert where.endswith("which begins: " + source.splitlines()[0])
    assert len(reasons) <= tutorial.ERROR_LINES
    assert FAILURES[source] in reasons[-1]
    assert "\x1b" not in str(caught.value)
    assert kept.endswith(str(executed / "01_first.ipynb"))
    shown = outputs(executed / "01_first.ipynb")
    assert shown[0].text == "so far\n"
    assert [output.output_type for output in shown] == ["stream", "error"]
    assert not (executed / "02_second.ipynb").exists()


def test_only_some_notebooks(home):
    for name in ("01_first", "02_second", "03_third", "draft"):
        write(name)
    names = [p.stem for p in tutorial.find_notebooks(["3", "01_first"])]
    assert names == ["01_first", "03_third"]


def test_text_becomes_what_the_notebook_declares(home):
    more = "rate: float = 1.0  # a\nfast: bool = False  # b\nword: str = None  # c\n"
    write("01_first", more=more)
    (path,) = tutorial.find_notebooks()
    given = {"seed": "12", "rate": "1e-3", "fast": "true", "word": "12", "run": "None"}
    want = {"seed": 12, "rate": 1e-3, "fast": True, "word": "12", "run": None}
    assert tutorial.plan([path], given) == {path: want}


def test_refresh_writes_clean_notebooks_in_place(home):
    bar = "print(f'{50}%|###  | 1/2 [00:01]', file=sys.stderr)"
    write("01_first", f"import sys\nprint('kept')\n{bar}", "run")
    path = home / "notebooks" / "01_first.ipynb"
    kept = {"tags": ["solution"], "jupyter": {"source_hidden": True}}
    kept |= {"mystnb": {"image": {"alt": "what the figure shows"}}}
    notebook = nbformat.read(path, as_version=4)
    passing = {"execution": {"iopub.status.busy": "2001-01-01"}}
    notebook.cells[3].metadata = kept | passing
    nbformat.write(notebook, path)
    refresh.refresh_notebooks()
    text = path.read_text(encoding="utf-8")
    for gone in ("papermill", "50%", sys.version.split()[0]):
        assert gone not in text
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[1].metadata.tags == ["parameters"]
    assert notebook.cells[3].metadata == kept
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2, 3]
    assert notebook.cells[2].outputs[0].text == "kept\n"
    assert notebook.cells[3].outputs[0].data["text/plain"] == "'quick'"
    refusal(refresh.refresh_notebooks, match="exists; remove it")


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
