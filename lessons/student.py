"""The student's and the instructor's version of the notebooks, from the one source.

In the source an exercise is a cell tagged ``solution``, then one tagged ``check``. Of
the solution the student keeps what stands above the line ``# YOUR CODE HERE``, below it
a line that stops the notebook with a friendly message. The instructor's version is the
source, with nbgrader's metadata, so that it can be handed out and marked with nbgrader.
"""

import copy
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lessons.tutorial import find_notebooks
from vqlib.errors import UserError
from vqlib.runs import make_folder, writing

MARKER = "# YOUR CODE HERE"


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def student_version(notebook: NotebookNode) -> NotebookNode:
    """Without solutions, and without the outputs of solutions and checks, except for
    figures, which show what is expected."""
    student, exercise = copy.deepcopy(notebook), ""
    for cell in student.cells:
        if cell.cell_type == "markdown":
            named = re.findall(r"Exercise \d+\.\d+", cell.source)
            exercise = named[-1] if named else exercise
            continue
        if "solution" in tags(cell):
            kept, _, _ = cell.source.partition(MARKER)
            indent = kept[kept.rfind("\n") + 1 :]
            stop = f'raise NotImplementedError("{exercise}: put your code here")'
            cell.source = f"{kept}{MARKER}\n{indent}{stop}"
        if {"solution", "check"} & set(tags(cell)):
            cell.execution_count = None
            figures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
            cell.outputs = figures
    return student


def instructor_version(notebook: NotebookNode) -> NotebookNode:
    """The source, with nbgrader's metadata: solutions to fill in, checks to mark."""
    instructor = copy.deepcopy(notebook)
    for cell in instructor.cells:
        if {"solution", "check"} & set(tags(cell)):
            checked = "check" in tags(cell)
            made = {"schema_version": 3, "grade_id": cell.id, "task": False}
            made |= {"grade": checked, "locked": checked, "solution": not checked}
            cell.metadata["nbgrader"] = made | ({"points": 1} if checked else {})
    return instructor


def write_versions(out: Path) -> list[Path]:
    """Write both versions of all notebooks to ``out/student`` and ``out/instructor``;
    raises `UserError` where something lies there."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty; choose a new or empty folder")
    versions = {"student": student_version, "instructor": instructor_version}
    written = []
    for name, make in versions.items():
        folder = make_folder(out / name)
        for path in find_notebooks(()):
            made = make(nbformat.read(path, as_version=4))
            with writing(folder / path.name):
                nbformat.write(made, folder / path.name)
            written.append(folder / path.name)
    return written
