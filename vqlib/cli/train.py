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
    "--num-nodes", type=click.IntRange(min=1), metavar="N", help="Machines; likewise."
)
@click.option(
    "--precision",
    default="32-true",
    show_default=True,
    help="32-true, bf16-mixed or 16-mixed.",
)
@click.option("--compile", is_flag=True, help="Compile the networks first.")
@click.option(
    "--channels-last", is_flag=True, help="Keep channels last in memory, not first."
)
@click.option("--tensorboard", is_flag=True, help="Log to RUN/MODEL/logs too.")
def train(
    model, profile, data_dir, run, seed, settings, no_cache, tensorboard, **where
) -> None:
    """Train one MODEL: for reconstruction vae_global, vae, autoencoder, vqvae or
    vqvae2; for generation maps, maps_prior, sharp_vqvae, prior, sharp_vae and flow, or
    of a vqvae2 prior_top and prior_bottom; to judge samples segmenter.

    The same training as in the notebooks; one that was interrupted is taken up again.
    """
    from vqlib import profiles, recipes
    from vqlib.experiment import Experiment
    from vqlib.runs import Run
    from vqlib.training import make_fabric, make_logger

    recipes.find(model)
    changes = {name: _typed(name, text) for name, text in settings}
    # what is wrong is refused before processes start
    profiles.get(profile, **changes)
    profiles.check("seed", seed)
    folder = Run(run or profile).folder / model
    logs = make_logger(folder) if tensorboard else None
    computing = {name: where.pop(name) for name in ("compile", "channels_last")}
    fabric = make_fabric(**where, loggers=logs)
    lab = Experiment(
        profile, data_dir, run, seed, fabric, cache=not no_cache, **changes
    )
    try:
        lab.train(model, **computing)
    except KeyboardInterrupt:
        if fabric.is_global_zero:
            kept = f"{folder} keeps every finished epoch"
            click.echo(f"stopped; {kept}, and the same command goes on", err=True)
        raise SystemExit(130) from None
    except RuntimeError as fault:
        if not type(fault).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise UserError(
            f"the networks could not be compiled ({str(fault).splitlines()[0]}); "
            "leave out --compile"
        ) from None
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
