"""The ``vqlib`` command: training, sampling and results; other packages hang in theirs.

Commands import what they need when they run, so that ``vqlib --help`` is quick.
"""

import os
import sys

import click

from vqlib import __version__
from vqlib.cli.group import Group
from vqlib.cli.train import train

ELSEWHERE = {"data": "pelvis.cli"}  # by name, since imports go down only
ELSEWHERE |= dict.fromkeys(("lab", "notebooks", "student", "tutorial"), "lessons.cli")
ELSEWHERE["doctor"] = "lessons.doctor"
HELP = {"help_option_names": ["-h", "--help"]}


@click.group(cls=Group, elsewhere=ELSEWHERE, context_settings=HELP)
@click.version_option(__version__, prog_name="vqlib")
def main() -> None:
    """VAE and VQ-VAE on MR images of the male pelvis: the tutorial's commands."""
    for stream in (sys.stdout, sys.stderr):  # Windows pipes are not UTF-8
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    # Threads that spin for long while they wait for each other lose most of the time
    # wherever another program works, and those that sleep at once lose it elsewhere:
    # so they spin briefly. Read when torch is loaded, also in kernels and JupyterLab.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "300000")


main.add_command(train)


@main.command()
@click.option("--run", default="quick", show_default=True, metavar="NAME")
@click.option("--markdown", is_flag=True, help="As a Markdown table.")
def results(run, markdown) -> None:
    """Print the table of a run's results."""
    from vqlib import results
    from vqlib.runs import run_folder

    found = results.collect(run_folder(run))
    click.echo(results.as_markdown(found) if markdown else results.as_text(found))


@main.command()
@click.option("--run", default="shipped", show_default=True, metavar="NAME")
@click.option("--n", default=16, show_default=True, help="How many.")
@click.option("--out", required=True, metavar="DIR", help="A new or empty folder.")
@click.option(
    "--family",
    default="vqvae",
    show_default=True,
    help="vqvae: codes by a transformer; vae: latents by a flow.",
)
@click.option(
    "--position",
    type=float,
    help="In the volume, 0 front to 1 back.  [default: evenly]",
)
@click.option("--labels", metavar="FILE", help="A label map to draw for, NIfTI.")
@click.option("--seed", default=0, show_default=True)
@click.option("--temperature", default=1.0, show_default=True, help="Of codes.")
@click.option("--guidance", default=1.0, show_default=True, help="By the map; 1: none.")
def sample(out, labels, **how) -> None:
    """Draw slices with a trained generator, and their label maps: NIfTI files in the
    HipMRI layout, a contact sheet, and samples.json, which says how they were made.

    The run "shipped" comes with the package; it was trained on the phantom alone.
    """
    from vqlib.cli.drawn import draw

    draw(out, labels, **how)
    click.echo(f"{how['n']} slices and sheet.png are in {out}")
