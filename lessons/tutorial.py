"""Run all notebooks, one after the other, with papermill.

What papermill leaves open is settled here: parameters are checked before anything
runs, the kernel is always this Python, every cell has a time limit, the bar names the
notebook and shows the time so far, and a failure is told in a few lines.
"""

import ast
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError, strip_color

from vqlib import profiles
from vqlib.errors import UserError, unknown_name
from vqlib.runs import Run, project_root, save_json

ERROR_LINES = 8  # of a failed cell's traceback, from its end


class NotebookError(UserError):
    """A notebook stopped at a cell; the message has several lines."""

    def __init__(self, message: str):
        ValueError.__init__(self, message)  # several lines are meant


@dataclass(frozen=True)
class Done:
    """One executed notebook."""

    name: str
    path: Path  # the executed copy
    seconds: float


def find_notebooks(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """The numbered notebooks of a folder, in order; ``only`` keeps some of them, by
    number or name (``"03"``, ``"03_vqvae_training"``). Raises `UserError`."""
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UserError(
            f"no notebooks in {folder}; run this in the folder that you cloned"
        )
    chosen = set()
    for name in only:
        number = name.zfill(2) if name.isdigit() else None
        match = {p for p in found if p.stem == name or p.stem[:2] == number}
        if not match:
            raise unknown_name("notebook", name, [p.stem for p in found])
        chosen |= match
    return [path for path in found if path in chosen or not only]


def convert(name: str, text: str, type_name: str):
    """A parameter's value from the command line, as the type that the notebook's
    ``parameters`` cell declares. Raises `UserError`."""
    if text in ("None", "null"):
        return None
    booleans = {"True": True, "true": True, "False": False, "false": False}
    try:
        match type_name:
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "bool":
                return booleans[text]
    except (ValueError, KeyError):
        raise UserError(f"parameter {name} must be {type_name}, not {text!r}") from None
    return text


def declared(path: Path) -> dict[str, str]:
    """Parameter -> type, as the cell tagged ``parameters`` declares them; "" where it
    gives no type. papermill's own reading misses a line whose comment has a ``=``."""
    types = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if "parameters" in cell.metadata.get("tags", []):
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.AnnAssign):
                    types[ast.unparse(node.target)] = ast.unparse(node.annotation)
                elif isinstance(node, ast.Assign):
                    types |= {ast.unparse(target): "" for target in node.targets}
    return types


def plan(notebooks: Sequence[Path], parameters: dict) -> dict[Path, dict]:
    """Which notebook gets which parameters; nothing is run.

    Text is converted to the type that a notebook declares; a notebook gets the
    parameters that it knows. Raises `UserError` for one that none of them knows, with
    the nearest that exists.
    """
    known = {path: declared(path) for path in notebooks}
    everything = {name for types in known.values() for name in types}
    for name in parameters:
        if name not in everything:
            raise unknown_name("parameter", name, everything)
    chosen = {}
    for path, types in known.items():
        chosen[path] = {
            name: convert(name, value, types[name]) if isinstance(value, str) else value
            for name, value in parameters.items()
            if name in types
        }
    return chosen


def run_tutorial(
    run: str,
    parameters: dict,
    only: Sequence[str] = (),
    timeout: int | None = None,
    notebooks: Path | None = None,
) -> list[Done]:
    """Execute the notebooks; the executed copies go to ``runs/NAME/notebooks/``.

    ``parameters`` are values or text for the notebooks' ``parameters`` cells, where
    ``None`` keeps the notebook's own. ``timeout`` is in seconds, for each cell. Raises
    `UserError` before anything runs, and `NotebookError` at the first notebook that
    fails, whose output stays in the run folder; later notebooks are not run.
    """
    notebooks = notebooks or project_root() / "notebooks"
    target = (Run(run).folder / "notebooks").resolve()
    chosen = plan(find_notebooks(notebooks, only), _checked(run, parameters))
    target.mkdir(parents=True, exist_ok=True)
    done = []
    with kernel_environment():
        for path, values in chosen.items():
            started = time.monotonic()
            execute(path, target / path.name, values, timeout)
            done.append(Done(path.stem, target / path.name, time.monotonic() - started))
            print(f"{path.stem:<24} {clock(done[-1].seconds):>8}", flush=True)
    if not only:
        seconds = {notebook.name: round(notebook.seconds) for notebook in done}
        save_json(Run(run).folder / "notebook_seconds.json", seconds)
    return done


def _checked(run: str, parameters: dict) -> dict:
    values = {"run": run} | {k: v for k, v in parameters.items() if v is not None}
    if "profile" in values:
        profiles.get(values["profile"])
    if "data_dir" in values:
        folder = Path(values["data_dir"]).expanduser().resolve()
        if not folder.is_dir():
            raise UserError(
                f"{folder} is not a folder; --data-dir wants one that holds "
                "keras_slices_train, keras_slices_validate and keras_slices_test"
            )
        values["data_dir"] = str(folder)
    return values


def execute(
    source: Path, target: Path, parameters: dict, timeout: int | None = None
) -> None:
    """Execute one notebook in its own folder, with this Python, into ``target``.

    Raises `NotebookError`; ``target`` then holds the notebook up to the fault.
    """
    papermill_engines.register("vqlib", _Engine)
    try:
        papermill.execute_notebook(
            source,
            target,
            parameters,
            engine_name="vqlib",
            kernel_name="python3",
            language="python",
            cwd=source.parent,
            execution_timeout=timeout,
            progress_bar={
                "desc": source.stem,
                "leave": False,
                "bar_format": "{desc}: cell {n_fmt}/{total_fmt} |{bar}| {elapsed}",
            },
        )
    except PapermillExecutionError as fault:
        raise NotebookError(_explain(fault, source, target)) from fault


def _explain(fault: PapermillExecutionError, source: Path, target: Path) -> str:
    code = [line for line in fault.source.splitlines() if line.strip()]
    if fault.ename == "UserError":  # says it all in one line
        lines = [fault.evalue]
    else:
        text = strip_color("\n".join(fault.traceback)).rstrip()
        lines = text.splitlines()[-ERROR_LINES:] or [f"{fault.ename}: {fault.evalue}"]
    return "\n".join(
        [
            f"notebook {source.name} failed in cell [{fault.exec_count or '?'}], "
            f"which begins: {code[0].strip() if code else '(empty)'}",
            *(f"  {line}" for line in lines),
            f"the notebook up to there is in {target}",
        ]
    )


class _ThisPython(AsyncKernelManager):
    """A kernel of the Python that runs the tutorial, whatever kernels are registered:
    one called python3 may belong to another environment."""

    @property
    def kernel_spec(self) -> KernelSpec:
        quiet = ["--log-level=CRITICAL"]  # not its words on sockets and shut-down
        return KernelSpec(name="python3", **get_kernel_dict(extra_arguments=quiet))


class _Engine(NBClientEngine):
    """papermill's own engine, with our kernel, a clock that goes on within a cell, and
    a record of faults that are not exceptions of the cell (time limit, dead kernel)."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **kwargs):
        kwargs["kernel_manager_class"] = _ThisPython
        try:
            with _ticking(nb_man.pbar):
                super().execute_managed_notebook(nb_man, kernel_name, **kwargs)
        except Exception as fault:
            started = [
                (index, cell)
                for index, cell in enumerate(nb_man.nb.cells)
                if cell.metadata.papermill.get("start_time")
            ]
            if not started:
                raise
            index, cell = started[-1]
            if "outputs" not in cell:
                raise
            words = [line for line in str(fault).splitlines() if line.strip()]
            reason = words[0] if words else "the kernel stopped"
            if isinstance(fault, CellTimeoutError):
                limit = kwargs.get("execution_timeout")
                reason = f"the cell went past its time limit of {limit} seconds"
            kept = [output for output in cell.outputs if output.output_type != "error"]
            cell.outputs = [
                *kept,
                nbformat.v4.new_output(
                    "error",
                    ename=type(fault).__name__,
                    evalue=reason,
                    traceback=[f"{type(fault).__name__}: {reason}"],
                ),
            ]
            nb_man.cell_exception(cell, cell_index=index)


@contextmanager
def _ticking(bar) -> Iterator[None]:
    """Redraw the bar every second, on a terminal, so that its clock does not stand
    still during a long cell."""
    stop = Event()

    def tick():
        while not stop.wait(1):
            bar.refresh()

    thread = Thread(target=tick, daemon=True)
    if bar is not None and sys.stderr.isatty():
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if thread.is_alive():
            thread.join()


@contextmanager
def kernel_environment() -> Iterator[None]:
    """What the kernels inherit; the old environment comes back afterwards."""
    settings = {
        "VQLIB_HEADLESS": "1",  # widgets draw once: interact can stall without a page
        "VQLIB_HOME": str(project_root().resolve()),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def clock(seconds: float) -> str:
    """Seconds as ``m:ss``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
