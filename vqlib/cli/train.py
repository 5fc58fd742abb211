"""``vqlib train``: the notebooks' training from a shell, for long or large work."""

import click

from vqlib.cli.group import shared_options
from vqlib.errors import UserError


@click.command()
@click.argument("model")
@shared_options
@click.option(
    "-p",
    "settings",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Another profile setting, such as -p codebook_size 64. May be repeated.",
)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes on this machine, one for each GPU; they share every batch.  "
    "[default: 1, or what torchrun has started]",
)
@click.option(
    "--precision",
    type=click.Choice(["32-true", "bf16-mixed"]),
    default="32-true",
    show_default=True,
)
@click.option("--compile", is_flag=True, help="Compile the networks first.")
def train(
    model, profile, data_dir, run, seed, device, settings, devices, precision, compile
) -> None:
    """Train one MODEL: for reconstruction vae_global, vae, autoencoder, vqvae or
    vqvae2; for generation maps, maps_prior, sharp_vqvae, prior, detail, sharp_vae and
    flow; to judge samples segmenter.

    The same training as in the notebooks; one that was interrupted is taken up again.
    """
    from vqlib import profiles, recipes
    from vqlib.experiment import Experiment
    from vqlib.runs import run_folder
    from vqlib.training import make_fabric

    recipes.find(model)
    changes = {name: _typed(name, text) for name, text in settings}
    # what is wrong is refused before processes start
    profiles.get(profile, **changes)
    profiles.check("seed", seed)
    folder = run_folder(run or profile) / model
    fabric = make_fabric(device, devices, precision)
    lab = Experiment(profile, data_dir, run, seed, fabric, **changes)
    try:
        lab.train(model, compile=compile)
    except KeyboardInterrupt:
        if fabric.is_global_zero:
            kept = f"{folder} keeps every finished epoch"
            click.echo(f"stopped; {kept}, and the same command goes on", err=True)
        raise SystemExit(130) from None
    except RuntimeError as fault:
        if not type(fault).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        said = str(fault).splitlines()[0]
        raise UserError(f"{said}; leave out --compile") from None
    if fabric.is_global_zero:
        click.echo(f"{model} is in {folder}")


def _typed(name: str, text: str):
    """A setting's text as the type that it has in a profile; raises `UserError`."""
    from vqlib.settings import FLAT

    kind = type(FLAT[name][1].default) if name in FLAT else str
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError):
        raise UserError(f"{name} must be {kind.__name__}, not {text!r}") from None
