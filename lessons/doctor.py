"""``vqlib doctor``: whether this machine can run the notebooks, a line a question."""

import importlib.metadata as installed
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

OK, NOTE, FIX = "ok", "note", "FIX"  # FIX: the notebooks would not run
SHOWN = ("torch", "numpy", "jupyterlab", "ipywidgets", "papermill")
INSTALL = 'pip install -e ".[lab]" in the folder that you cloned'
SHOW = {  # what shows widgets in JupyterLab, and the package that brings it
    "@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets",
    "anywidget": "anywidget",
}
Finding = tuple[str, str, str]  # one of the three, what was looked at, what was found


@click.command()
def doctor() -> None:
    """Check versions, device, folders, disk and Jupyter; say what to do about each.

    Exits with status 1 where something that the notebooks need is missing.
    """
    found = []
    for check in (python, packages, device, folders, kernel, widgets):
        for finding in check():
            found.append(finding[0])
            click.echo("{:<4}  {:<9}  {}".format(*finding))
    raise SystemExit(FIX in found)


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    state = OK if sys.version_info >= (3, 11) else FIX
    yield state, "python", f"{version}, {sys.executable}; 3.11 or newer is needed"


def packages() -> Iterator[Finding]:
    """What pyproject.toml asks for, the extra ``lab`` included."""
    try:
        requirements = installed.requires("vqlib") or []
    except installed.PackageNotFoundError:
        yield FIX, "packages", f"vqlib is not installed: {INSTALL}"
        return
    wanted = [
        r for r in requirements if "extra" not in r or re.search(r"extra == .lab\W", r)
    ]
    faults, versions = [], {}
    for name, least in (re.match(r"([\w-]+)>=([\d.]+)", r).groups() for r in wanted):
        try:
            versions[name] = installed.version(name)
        except installed.PackageNotFoundError:
            faults.append(f"{name} is missing")
            continue
        if _numbers(versions[name]) < _numbers(least):
            faults.append(f"{name} {versions[name]} is older than {least}")
    if faults:
        yield FIX, "packages", f"{', '.join(faults)}: {INSTALL}"
    else:
        shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN)
        yield OK, "packages", f"all {len(wanted)}: {shown}"


def device() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as fault:  # OSError: a library that does not load
        yield FIX, "device", f"torch does not load ({fault}): install it anew"
        return
    cpu = f"CPU, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    if torch.cuda.is_available():
        yield OK, "device", f"{torch.cuda.get_device_name()}; {cpu}"
    else:
        yield OK, "device", f"{cpu}; enough for the profile quick, full needs a GPU"


def folders() -> Iterator[Finding]:
    """Where data, runs and the cache go, and whether there is room for them."""
    from vqlib.runs import project_root

    root = project_root().resolve()
    if not (root / "notebooks").is_dir():
        yield NOTE, "notebooks", f"none in {root}: go to the folder that you cloned"
    chosen = os.environ.get("VQLIB_CACHE", "")
    off = chosen.lower() in ("off", "0", "no", "false")
    cache = root / Path(chosen or "cache").expanduser()
    places = {"data": root / "data", "runs": root / "runs"}
    for name, folder in (places if off else places | {"cache": cache}).items():
        there = next(p for p in (folder, *folder.parents) if p.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            remedy = "VQLIB_CACHE" if name == "cache" else "VQLIB_HOME"
            yield FIX, name, f"{folder} cannot be written: set {remedy} to another"
            continue
        free = shutil.disk_usage(there).free / 1e9
        said = f"{folder}{'' if folder.exists() else ', made when needed'}"
        said += f"; {free:.1f} GB free"
        if free < 2:
            yield NOTE, name, f"{said}: make room, the tutorial takes up to 2 GB"
        else:
            yield OK, name, said


def kernel() -> Iterator[Finding]:
    """Whether Jupyter lists this Python."""
    remedy = _with_python("-m ipykernel install --sys-prefix")
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except (ImportError, NoSuchKernel):
        yield FIX, "kernel", f"Jupyter lists no Python: {remedy}"
    else:
        if not shutil.which(command):
            yield FIX, "kernel", f"python3 is {command}, which is gone: {remedy}"
        elif Path(shutil.which(command)).samefile(sys.executable):
            yield OK, "kernel", "python3 is this Python"
        else:
            yield NOTE, "kernel", f"python3 is {command}, another Python: {remedy}"


def widgets() -> Iterator[Finding]:
    """Whether JupyterLab finds what shows widgets, in the list that it gives its page:
    the packages may be there without their files, or switched off."""
    try:
        from jupyter_core.paths import jupyter_path
        from jupyterlab_server.config import get_page_config
    except ImportError:
        yield FIX, "widgets", f"JupyterLab is missing: {INSTALL}"
        return
    page = get_page_config(jupyter_path("labextensions"))
    there = {extension["name"] for extension in page["federated_extensions"]}
    off = [name for name in SHOW if name in page["disabledExtensions"]]
    if absent := [package for name, package in SHOW.items() if name not in there]:
        anew = "-m pip install --force-reinstall --no-deps"
        remedy = _with_python(f"{anew} {' '.join(absent)}")
        yield FIX, "widgets", f"JupyterLab finds no {', '.join(absent)}: {remedy}"
    elif off:
        remedy = _with_python(f"-m jupyter labextension enable {off[0]}")
        yield FIX, "widgets", f"{off[0]} is switched off in JupyterLab: {remedy}"
    else:
        yield OK, "widgets", f"JupyterLab finds {', '.join(SHOW.values())}"


def _with_python(words: str) -> str:
    """A command with this Python, for a shell."""
    return subprocess.list2cmdline([sys.executable, *words.split()])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))
