"""The commands ``vqlib tutorial``, ``lab``, ``notebooks`` and ``student``."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from vqlib.cli.group import Group, shared_options
from vqlib.errors import UserError

NEWS = "@jupyterlab/apputils-extension:announcements"


@click.command()
@shared_options
@click.option(
    "-p",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Another notebook parameter, such as -p codebook_size 64. May be repeated.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NUMBER",
    help="Run only this notebook, such as 03. May be repeated.",
)
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="The most seconds that one cell may take; else any time.",
)
def tutorial(profile, data_dir, run, seed, device, parameters, only, timeout) -> None:
    """Execute all notebooks and print the table of results."""
    from vqlib import results
    from vqlib.runs import run_folder

    runner = _needs_lab("lessons.tutorial")
    values = {"profile": profile, "data_dir": data_dir, "seed": seed, "device": device}
    for name, value in parameters:
        if name in values or name == "run":
            option = "--" + name.replace("_", "-")
            raise UserError(f"give the parameter {name} as {option} {value}")
        values[name] = value
    folder = run_folder(run or profile)
    try:
        seconds = runner.run_tutorial(folder.name, values, only, timeout)
    except KeyboardInterrupt:
        click.echo(
            f"stopped; {folder} keeps what is finished, and the same command goes "
            "on from there",
            err=True,
        )
        raise SystemExit(130) from None
    click.echo(f"{'all notebooks':<24} {runner.clock(sum(seconds.values())):>8}\n")
    try:
        click.echo(results.as_text(results.collect(folder)))
    except UserError as nothing:
        click.echo(str(nothing))
    click.echo(f"\nexecuted notebooks: {next(iter(seconds)).parent}")
    click.echo(f"run folder:         {folder}")


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []}
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def lab(options) -> None:
    """Open JupyterLab on the notebooks; OPTIONS go to JupyterLab."""
    from vqlib.runs import project_root

    _needs_lab("jupyterlab")
    root = project_root().resolve()
    if not (root / "notebooks").is_dir():
        raise UserError(
            f"no folder notebooks in {root}; run this in the folder that you cloned"
        )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    command += [f"--ServerApp.preferred_dir={root / 'notebooks'}", *options]
    with tempfile.TemporaryDirectory() as config:
        # No pop-up about news; read beside the user's own settings, which stay.
        page = Path(config, "labconfig", "page_config.json")
        page.parent.mkdir()
        page.write_text(f'{{"disabledExtensions": {{"{NEWS}": true}}}}')
        paths = filter(None, [config, os.environ.get("JUPYTER_CONFIG_PATH")])
        settings = {"JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
        server = subprocess.Popen(command, env=os.environ | settings)
        status = None
        while status is None:
            try:
                status = server.wait()
            except KeyboardInterrupt:
                continue  # Ctrl-C reaches JupyterLab too, which asks what is meant
    raise SystemExit(status)


@click.group(cls=Group)
def notebooks() -> None:
    """For those who change the notebooks."""


@notebooks.command()
@click.option("--only", multiple=True, metavar="NUMBER", help="Only this notebook.")
@click.option(
    "--reuse",
    is_flag=True,
    help="Show the models that the run folder holds already.",
)
def refresh(only, reuse) -> None:
    """Execute the notebooks in place, in the quick profile, for committing."""
    refresh = _needs_lab("lessons.refresh")
    for path in refresh.refresh_notebooks(only, reuse):
        click.echo(f"{path.name}: {path.stat().st_size / 1024:.0f} kB")


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
def student(out) -> None:
    """Write the notebooks without solutions to OUT/student, and with them and
    nbgrader's metadata to OUT/instructor."""
    written = _needs_lab("lessons.student").write_versions(out)
    click.echo(f"{len(written)} notebooks are in {out}")


def _needs_lab(module: str):
    """Import a module that needs the extra ``lab``; raises `UserError`."""
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise UserError(
            f"the package {missing.name} is not installed; the notebooks need: "
            'pip install -e ".[lab]"'
        ) from None
