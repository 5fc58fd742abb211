import nbformat
import pytest
from commands import refused, vqlib
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lessons import student
from lessons.tutorial import find_notebooks

SOLUTION, CHECK = {"tags": ["solution"]}, {"tags": ["check"]}
SOLVED = [
    new_markdown_cell("### Exercise 9.1: add"),
    new_code_cell(
        "def add(a, b):\n    # YOUR CODE HERE\n    secret = a + b\n    return secret",
        metadata=SOLUTION,
        outputs=[
            new_output("stream", text="secret"),
            new_output("display_data", {"image/png": "expected"}),
        ],
    ),
    new_code_cell("assert add(1, 2) == 3", metadata=CHECK),
    new_markdown_cell("### Exercise 9.2: name"),
    new_code_cell(
        "answer = None\n# YOUR CODE HERE\nanswer = 'secret'", metadata=SOLUTION
    ),
    new_code_cell("assert answer == 'secret'[:]", metadata=CHECK),
]


def notebook():
    return new_notebook(cells=nbformat.from_dict(SOLVED))


def test_nothing_of_a_solution_is_left_but_its_figure():
    made = student.student_version(notebook())
    first, second = (made.cells[i] for i in (1, 4))
    assert "secret" not in first.source + second.source
    begin = "def add(a, b):\n    # YOUR CODE HERE\n    raise Not"
    assert first.source.startswith(begin)
    assert second.source.startswith("answer = None\n# YOUR CODE HERE\nraise Not")
    assert [list(o.data) for o in first.outputs] == [["image/png"]]
    assert "secret" in notebook().cells[1].source  # the source stays


@pytest.mark.notebooks
def test_it_stops_at_the_first_unfinished_exercise_with_a_friendly_message():
    made = student.student_version(notebook())
    with pytest.raises(CellExecutionError, match=r"Exercise 9.1: put your code here"):
        NotebookClient(made).execute()
    made.cells[1].source = notebook().cells[1].source
    with pytest.raises(CellExecutionError, match=r"Exercise 9.2: put your code here"):
        NotebookClient(made).execute()
    NotebookClient(student.instructor_version(notebook())).execute()


def test_the_instructors_cells_have_the_metadata_of_nbgrader():
    cells = student.instructor_version(notebook()).cells
    solution, check = (cells[i].metadata["nbgrader"] for i in (1, 2))
    assert (solution["solution"], solution["grade"], solution["locked"]) == (1, 0, 0)
    assert (check["solution"], check["grade"], check["locked"]) == (0, 1, 1)
    assert check["points"] == 1
    assert cells[1].source == notebook().cells[1].source


def test_every_exercise_of_the_lessons_has_a_scaffold_and_a_check(tmp_path):
    vqlib("student", tmp_path / "out")
    paths = find_notebooks(())
    assert len(list((tmp_path / "out").rglob("*.ipynb"))) == 2 * len(paths)
    for path in paths:
        source = nbformat.read(path, as_version=4).cells
        made = nbformat.read(tmp_path / "out" / "student" / path.name, as_version=4)
        solutions = [i for i, c in enumerate(source) if "solution" in student.tags(c)]
        assert solutions, path.name
        text = "\n".join(c.source for c in made.cells)
        for ours, theirs in zip(source, made.cells, strict=True):
            exercise = {"solution", "check"} & {*student.tags(ours)}
            assert exercise or ours == theirs, (path.name, ours.id)
        for i in solutions:
            assert "check" in student.tags(source[i + 1]), (path.name, i)
            _, marker, solution = source[i].source.partition(student.MARKER)
            assert marker, (path.name, i)
            assert solution.strip(), (path.name, i)
            assert solution not in text, (path.name, i)
    assert "is not empty" in refused("student", tmp_path / "out")
