"""The ``vqlib`` command.

Commands import what they need when they run, so that ``vqlib --help`` is quick.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from vqlib import __version__
from vqlib.errors import UserError, unknown_name


class _Group(click.Group):
    """Tells a `UserError` in one line, without a traceback, and exits with 1."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except UserError as fault:
            click.echo(f"error: {fault}", err=True)
            ctx.exit(1)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise unknown_name("command", name, self.list_commands(ctx))
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vqlib")
def main() -> None:
    """VAE and VQ-VAE on MR images of the male pelvis: the tutorial's commands."""
    for stream in (sys.stdout, sys.stderr):  # Windows pipes are not UTF-8
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _shared(command):
    """Options that the notebooks and the trainings have in common."""
    for option in reversed(
        (
            click.option(
                "--profile", default="quick", show_default=True, help="quick or full."
            ),
            click.option(
                "--data-dir",
                metavar="DIR",
                help="Slices in the HipMRI layout. Left out: the phantom, made when "
                "missing.",
            ),
            click.option(
                "--run", metavar="NAME", help="Folder under runs/.  [default: PROFILE]"
            ),
            click.option("--seed", type=int, default=0, show_default=True),
            click.option(
                "--device",
                default="auto",
                show_default=True,
                help="auto, cpu or cuda.",
            ),
        )
    ):
        command = option(command)
    return command


@main.command()
@_shared
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
    help="The most that one cell may take.  [default: 3600 for quick, else none]",
)
def tutorial(profile, data_dir, run, seed, device, parameters, only, timeout) -> None:
    """Execute all notebooks and print the table of results."""
    from vqlib import results
    from vqlib.runs import Run

    runner = _needs_lab("vqlib.tutorial")
    values = {"profile": profile, "data_dir": data_dir, "seed": seed, "device": device}
    for name, value in parameters:
        if name in values or name == "run":
            option = "--" + name.replace("_", "-")
            raise UserError(f"give the parameter {name} as {option} {value}")
        values[name] = value
    run = Run(run or profile)
    if timeout is None and profile == "quick":
        timeout = 3600
    try:
        done = runner.run_tutorial(run.name, values, only, timeout)
    except KeyboardInterrupt:
        click.echo(
            f"stopped; {run.folder} keeps what is finished, and the same command goes "
            "on from there",
            err=True,
        )
        raise SystemExit(130) from None
    total = runner.clock(sum(notebook.seconds for notebook in done))
    click.echo(f"{'all notebooks':<24} {total:>8}\n")
    try:
        click.echo(results.as_text(results.collect(run)))
    except UserError as nothing:
        click.echo(str(nothing))
    click.echo(f"\nexecuted notebooks: {done[0].path.parent}")
    click.echo(f"run folder:         {run.folder}")


@main.group(cls=_Group)
def data() -> None:
    """Make and check folders of slices."""


@data.command()
@click.argument("folder", metavar="DIR")
@click.option(
    "--patients",
    default="12,4,5",
    show_default=True,
    metavar="N,N,N",
    help="Men in train, validate and test.",
)
@click.option("--weeks", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--slices", type=click.IntRange(min=1), default=60, show_default=True)
def phantom(folder, patients, weeks, seed, slices) -> None:
    """Write a synthetic male pelvis, many men and weeks, in the HipMRI layout."""
    from vqlib.data.phantom import write_phantom

    try:
        counts = tuple(int(part) for part in patients.split(","))
        if len(counts) != 3 or min(counts) < 1:
            raise ValueError
    except ValueError:
        raise UserError(
            f"--patients {patients!r} must be three positive numbers such as 12,4,5"
        ) from None
    write_phantom(Path(folder), patients=counts, weeks=weeks, seed=seed, slices=slices)
    click.echo(f"the phantom is in {folder}")


@data.command()
@click.argument("folder", metavar="DIR")
def check(folder) -> None:
    """Read every slice of a folder; list every fault, one a line."""
    from tqdm.auto import tqdm

    from vqlib.data import SliceIndex, read_label, read_slice

    faults, index = [], None
    try:
        index = SliceIndex.from_folder(folder)
    except UserError as fault:
        faults.append(str(fault))
    files = sorted(Path(folder).glob("keras_slices_*/*.nii*"))
    for path in tqdm(files, desc="reading", unit="file", leave=False, disable=None):
        read = read_label if "_seg_" in path.parent.name else read_slice
        try:
            read(path)
        except UserError as fault:
            if str(fault) not in faults:
                faults.append(str(fault))
    for fault in faults:
        click.echo(fault)
    if faults:
        raise UserError(f"{len(faults)} faults in {folder}")
    labels = "with labels" if index.has_labels else "without labels"
    click.echo(
        f"{folder}: {len(index)} slices of {len(index.patients)} patients, {labels}, "
        "no fault"
    )


@main.command()
@click.argument("model")
@_shared
@click.option(
    "-p",
    "settings",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Another profile setting, such as -p codebook_size 64. May be repeated.",
)
def train(model, profile, data_dir, run, seed, device, settings) -> None:
    """Train one MODEL: vae_global, vae, autoencoder, vqvae or prior.

    The same training as in the notebooks; one that was interrupted is taken up again.
    """
    from vqlib import profiles, recipes
    from vqlib.data import open_data
    from vqlib.runs import Run

    models = (*recipes.KINDS, "prior")
    if model not in models:
        raise unknown_name("model", model, models)
    run = Run(run or profile)
    chosen = profiles.get(profile)
    overrides = {name: _like(chosen, name, value) for name, value in settings}
    chosen = profiles.get(profile, **overrides)
    slices = open_data(data_dir, chosen)
    if model == "prior":
        recipes.train_prior(chosen, slices, run, seed=seed, device=device)
    else:
        recipes.train(model, chosen, slices, run, seed=seed, device=device)
    click.echo(f"{model} is in {run.folder / model}")


def _like(profile, name: str, text: str):
    """A setting's text as the type it has in the profile."""
    kind = type(getattr(profile, name, ""))
    try:
        return kind(text)
    except ValueError:
        raise UserError(
            f"setting {name} must be {kind.__name__}, not {text!r}"
        ) from None


@main.command()
@click.option("--run", default="quick", show_default=True, metavar="NAME")
@click.option("--markdown", is_flag=True, help="As a Markdown table.")
def results(run, markdown) -> None:
    """Print the table of a run's results."""
    from vqlib import results
    from vqlib.runs import Run

    found = results.collect(Run(run))
    click.echo(results.as_markdown(found) if markdown else results.as_text(found))


@main.command(
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
    with tempfile.TemporaryDirectory() as config:
        # No pop-up about news; read beside the user's own settings, which stay.
        page = Path(config, "labconfig", "page_config.json")
        page.parent.mkdir()
        page.write_text(
            '{"disabledExtensions":'
            ' {"@jupyterlab/apputils-extension:announcements": true}}',
            encoding="utf-8",
        )
        paths = [config, os.environ.get("JUPYTER_CONFIG_PATH", "")]
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab"),
                f"--ServerApp.root_dir={root}",
                f"--ServerApp.preferred_dir={root / 'notebooks'}",
                *options,
            ],
            env=os.environ
            | {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))},
        )
        status = None
        while status is None:
            try:
                status = server.wait()
            except KeyboardInterrupt:
                continue  # Ctrl-C reaches JupyterLab too, which asks what is meant
    raise SystemExit(status)


@main.group(cls=_Group)
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
    refresh = _needs_lab("vqlib.refresh")
    for path in refresh.refresh_notebooks(only, reuse):
        click.echo(f"{path.name}: {path.stat().st_size / 1024:.0f} kB")


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
