"""Execute the committed notebooks in place and keep only what a reader should see.

The outputs are committed, so that every figure shows on a code host. What belongs to
one run and one machine is stripped: times, papermill's marks, widget state, progress
bars, the Python's version. Figures get a palette of at most 256 colours, which halves
their size.
"""

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

from lessons.tutorial import find_notebooks, run_all, save_seconds
from vqlib.errors import UserError
from vqlib.runs import run_folder, save_text

KERNEL = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
PROGRESS = re.compile(r"\d+%\|.*\||\d+(it|cell|file|batch|epoch)? ?\[\d+:\d+")


def refresh_notebooks(only: Sequence[str] = (), reuse: bool = False) -> list[Path]:
    """Run the notebooks with their own parameters and write them back, cleaned.

    Raises `UserError` where the run folder ``quick`` exists already, unless ``reuse``
    is given: outputs should come from a clean run.
    """
    run = run_folder("quick")
    if run.exists() and not reuse:
        raise UserError(
            f"{run} exists; remove it for a clean run, or give --reuse to show the "
            "models that it holds"
        )
    paths = find_notebooks(only)
    seconds = run_all({path: {} for path in paths}, "quick")
    for path, executed in zip(paths, seconds, strict=True):
        notebook = nbformat.read(executed, as_version=4)
        save_text(path, nbformat.writes(clean(notebook)) + "\n")
    if not reuse and not only:  # what a reader will wait for, training included
        save_seconds("quick", seconds)
    return paths


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without the traces of one run; changes and returns its argument."""
    notebook.metadata = nbformat.from_dict(KERNEL)
    for cell in notebook.cells:
        tags = [t for t in cell.metadata.get("tags", []) if "papermill" not in t]
        kept = {"tags": tags} if tags else {}
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            kept["jupyter"] = {"source_hidden": True}  # a folded solution
        if "mystnb" in cell.metadata:  # the alternative text of its figure
            kept["mystnb"] = cell.metadata["mystnb"]
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not _passing(o)]
            for output in cell.outputs:
                output.get("metadata", {}).pop("execution", None)
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = _shrunk(output.data["image/png"])
    return notebook


def _shrunk(png: str) -> str:
    """A PNG in base64 with a palette: 64 greys, and colours of its own beside them.

    The colours are chosen for the farthest pixel, not the average one: among so many
    greys a small organ would lose its colour, and the legend with it. The greys are
    set, lest scans take on the tints of a colourful panel beside them.
    """
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    pixels = np.asarray(image).reshape(1, -1, 3)
    coloured = pixels[:, np.ptp(pixels[0].astype(int), axis=1) > 8]
    palette = np.linspace(0, 255, 64).round().astype(int).repeat(3).tolist()
    if coloured.size:
        method = Image.Quantize.MAXCOVERAGE
        palette += Image.fromarray(coloured).quantize(192, method).getpalette()[:576]
    holder = Image.new("P", (1, 1))
    holder.putpalette(palette)
    chosen = np.array(image.quantize(palette=holder, dither=Image.Dither.NONE))
    # Pillow looks colours up coarsely, and would turn the page's white slightly grey
    chosen[(np.asarray(image) == 255).all(axis=2)] = 63
    small = Image.fromarray(chosen)
    small.putpalette(palette)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _passing(output: nbformat.NotebookNode) -> bool:
    """Whether an output only showed progress, or is a widget without its kernel."""
    if output.output_type == "stream":
        lines = [line for line in re.split(r"[\r\n]", output.text) if line.strip()]
        kept = [line for line in lines if not PROGRESS.search(line)]
        if len(kept) < len(lines):
            output.text = "\n".join(kept) + "\n"
        return not kept
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})
