"""``vqlib train``: the notebooks' training from a shell, for long or large work."""

import click

from vqlib.cli.group import shared_options
from vqlib.errors import UserError, unknown_name


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
@click.option("--strategy", default="auto", show_default=True, help="auto or ddp.")
@click.option("--compile", is_flag=True, help="Compile the networks first.")
@click.option(
    "--channels-last", is_flag=True, help="Keep channels last in memory, not first."
)
@click.option(
    "--logger", metavar="KIND", help="csv or tensorboard: log to RUN/MODEL/logs too."
)
def train(
    model, profile, data_dir, run, seed, device, settings, logger, **computing
) -> None:
    """Train one MODEL: vae_global, vae, autoencoder, vqvae, prior, segmenter, or of two
    levels vqvae2, prior_top and prior_bottom.

    The same training as in the notebooks; one that was interrupted is taken up again.
    """
    from vqlib import profiles, recipes
    from vqlib.data import open_data
    from vqlib.runs import Run
    from vqlib.training import first_then_others, make_fabric, make_logger

    if model not in recipes.MADE_BY:
        raise unknown_name("model", model, recipes.MADE_BY)
    run = Run(run or profile)
    chosen = profiles.get(profile)
    overrides = {name: _like(chosen, name, value) for name, value in settings}
    chosen = profiles.get(profile, **overrides)
    folder = run.folder / recipes.part_name(model, chosen)
    where = ("devices", "num_nodes", "precision", "strategy")
    fabric = make_fabric(
        device,
        loggers=make_logger(logger, folder) if logger else None,
        **{name: computing.pop(name) for name in where},
    )
    # the first process makes the phantom where it is missing
    slices = first_then_others(
        fabric, lambda: open_data(data_dir, chosen, progress=fabric.is_global_zero)
    )
    computing |= {"seed": seed, "fabric": fabric}
    try:
        if model.startswith("prior"):
            recipes.train_prior(chosen, slices, run, kind=model, **computing)
        elif model == "segmenter":
            recipes.train_segmenter(chosen, slices, run, **computing)
        else:
            recipes.train(model, chosen, slices, run, **computing)
    except KeyboardInterrupt:
        if fabric.is_global_zero:
            click.echo(
                f"stopped; {folder} keeps every finished epoch, and the same command "
                "goes on from there",
                err=True,
            )
        raise SystemExit(130) from None
    except RuntimeError as fault:
        if not type(fault).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = str(fault).splitlines()[0]
        raise UserError(
            f"the networks could not be compiled ({reason}); leave out --compile"
        ) from None
    if fabric.is_global_zero:
        click.echo(f"{model} is in {folder}")


def _like(profile, name: str, text: str):
    """A setting's text as the type it has in the profile."""
    kind = type(getattr(profile, name, ""))
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError):
        raise UserError(
            f"setting {name} must be {kind.__name__}, not {text!r}"
        ) from None
