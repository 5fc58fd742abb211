"""Run all notebooks, one after the other, with papermill.

What papermill leaves open is settled here: parameters are checked before anything
runs, the kernel is always this Python, a cell may have a time limit, the bar names the
notebook and shows the time so far, and a failure is told in a few lines.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError, strip_color

from vqlib import profiles
from vqlib.errors import UserError, unknown_name
from vqlib.runs import project_root, run_folder, save_json
from vqlib.settings import FLAT, RANGES, check

ERROR_LINES = 8  # of a failed cell's traceback, from its end


class NotebookError(UserError):
    """A notebook stopped at a cell; the message has several lines."""

    def __init__(self, message: str):
        ValueError.__init__(self, message)  # several lines are meant


def run_tutorial(
    run: str,
    parameters: dict,
    only: Sequence[str] = (),
    timeout: int | None = None,
) -> dict[Path, float]:
    """Execute the notebooks; the executed copies go to ``runs/NAME/notebooks/``.

    ``parameters`` are values or text for the ``parameters`` cells, where ``None`` keeps
    the notebook's own; ``timeout`` is in seconds, for each cell. Returns the seconds of
    each executed copy. Raises `UserError` before anything runs, and `NotebookError` at
    the first notebook that fails, whose output stays; later ones are not run.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    seconds = run_all(plan(find_notebooks(only), {"run": run} | given), run, timeout)
    if not only:
        save_seconds(run, seconds)
    return seconds


def run_all(
    chosen: dict[Path, dict], run: str, timeout: int | None = None
) -> dict[Path, float]:
    """Execute notebooks with their parameters; see `run_tutorial`."""
    folder = (run_folder(run) / "notebooks").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {}
    for path, values in chosen.items():
        target, started = folder / path.name, time.monotonic()
        execute(path, target, values, timeout)
        seconds[target] = time.monotonic() - started
        print(f"{path.stem:<24} {clock(seconds[target]):>8}", flush=True)
    return seconds


def save_seconds(run: str, seconds: dict[Path, float]) -> None:
    """How long each notebook took, kept in the run folder."""
    rounded = {path.stem: round(took) for path, took in seconds.items()}
    save_json(run_folder(run) / "notebook_seconds.json", rounded)


def find_notebooks(only: Sequence[str] = ()) -> list[Path]:
    """The numbered notebooks, in order; ``only`` keeps some of them, by number or name
    (``"03"``, ``"03_vqvae_training"``). Raises `UserError`."""
    folder = project_root() / "notebooks"
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UserError(
            f"no notebooks in {folder}; run this in the folder that you cloned"
        )
    chosen = set()
    for name in only:
        match = {p for p in found if name == p.stem or name.zfill(2) == p.stem[:2]}
        if not match:
            raise unknown_name("notebook", name, [p.stem for p in found])
        chosen |= match
    return [path for path in found if path in chosen or not only]


def plan(notebooks: Sequence[Path], parameters: dict) -> dict[Path, dict]:
    """Which notebook gets which parameters; nothing is run.

    Text is converted to the type that a notebook declares; a notebook gets the
    parameters that it knows. Raises `UserError` for a value that cannot be right, and
    for a parameter that no notebook knows, with the nearest that exists.
    """
    known = {path: declared(path) for path in notebooks}
    everything = set().union(*known.values())
    for name in parameters.keys() - everything:
        raise unknown_name("parameter", name, everything)
    chosen = {}
    for path, types in known.items():
        mine = parameters.keys() & types.keys()
        values = {name: _value(name, parameters[name], types[name]) for name in mine}
        chosen[path] = values
        changes = {name: values[name] for name in FLAT.keys() & values.keys()}
        profiles.get(values.get("profile", "quick"), **changes)
    return chosen


def declared(notebook: Path) -> dict[str, str]:
    """Parameter -> type, as the cell tagged ``parameters`` declares them."""
    found = papermill.inspect_notebook(notebook)
    return {name: each["inferred_type_name"] for name, each in found.items()}


def _value(name: str, value, type_name: str):
    """A parameter's value, from text as the type that the notebook declares."""
    if value in (None, "None", "null"):
        return None
    types = {"int": int, "float": float, "bool": _BOOLEANS.__getitem__}
    try:
        if isinstance(value, str) and type_name in types:
            value = types[type_name](value)
    except (ValueError, KeyError):
        message = f"parameter {name} must be {type_name}, not {value!r}"
        raise UserError(message) from None
    if name in RANGES:
        check(name, value)
    if name == "data_dir":  # a notebook runs in its own folder
        value = str(Path(value).expanduser().resolve())
        if not Path(value).is_dir():
            raise UserError(
                f"{value} is not a folder; --data-dir wants one that holds "
                "keras_slices_train, keras_slices_validate and keras_slices_test"
            )
    return value


_BOOLEANS = {"True": True, "true": True, "False": False, "false": False}


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
            coalesce_streams=True,  # a text that a busy machine sent in pieces
            progress_bar={
                "desc": source.stem,
                "leave": False,
                "bar_format": "{desc}: cell {n_fmt}/{total_fmt} |{bar}| {elapsed}",
            },
        )
    except PapermillExecutionError as fault:
        code = [line.strip() for line in fault.source.splitlines() if line.strip()]
        lines = [fault.evalue]
        if fault.ename != "UserError" and fault.traceback:  # else one line says it all
            traceback = strip_color("\n".join(fault.traceback)).rstrip()
            lines = traceback.splitlines()[-ERROR_LINES:]
        where = f"notebook {source.name} failed in cell [{fault.exec_count or '?'}]"
        told = [f"{where}, which begins: {code[0] if code else '(empty)'}"]
        told += [f"  {line}" for line in lines]
        told.append(f"the notebook up to there is in {target}")
        raise NotebookError("\n".join(told)) from fault


class _ThisPython(AsyncKernelManager):
    """A kernel of the Python that runs the tutorial, whatever kernels are registered:
    one called python3 may belong to another environment."""

    @property
    def kernel_spec(self) -> KernelSpec:
        quiet = ["--log-level=CRITICAL"]  # not its words on sockets and shut-down
        settings = {
            "VQLIB_HEADLESS": "1",  # widgets draw once: interact can stall a run
            "VQLIB_HOME": str(project_root().resolve()).replace("$", "$$"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        }
        return KernelSpec(env=settings, **get_kernel_dict(extra_arguments=quiet))


class _Engine(NBClientEngine):
    """papermill's own engine, with our kernel, a clock that goes on within a cell, and
    a record of faults that are not exceptions of the cell (time limit, dead kernel)."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **kwargs):
        try:
            with _ticking(nb_man.pbar):
                super().execute_managed_notebook(
                    nb_man, kernel_name, kernel_manager_class=_ThisPython, **kwargs
                )
        except (CellTimeoutError, DeadKernelError) as fault:
            cells = nb_man.nb.cells
            index = max(
                i for i, c in enumerate(cells) if c.metadata.papermill["start_time"]
            )
            reason = f"the kernel stopped: {fault}"
            if isinstance(fault, CellTimeoutError):
                limit = kwargs["execution_timeout"]
                reason = f"the cell went past its time limit of {limit} seconds"
            error = new_output("error", ename=type(fault).__name__, evalue=reason)
            kept = [o for o in cells[index].outputs if o.output_type != "error"]
            cells[index].outputs = [*kept, error]  # not that it was interrupted
            nb_man.cell_exception(cells[index], cell_index=index)


@contextmanager
def _ticking(bar) -> Iterator[None]:
    """Redraw the bar every second, on a terminal, so that its clock does not stand
    still during a long cell."""
    stop = Event()

    def tick() -> None:
        while sys.stderr.isatty() and not stop.wait(1):
            bar.refresh()

    thread = Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def clock(seconds: float) -> str:
    """Seconds as ``m:ss``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
