"""``vqlib data``: make, convert, get and check folders of slices."""

from pathlib import Path

import click

from vqlib.cli.group import Group
from vqlib.errors import UserError


@click.group(cls=Group, context_settings={"show_default": True})
def data() -> None:
    """Make and check folders of slices."""


@data.command()
@click.argument("folder", metavar="DIR")
@click.option(
    "--patients",
    default="12,4,5",
    metavar="N[,N,N]",
    help="In train, validate and test; or in all, a tenth each of validate and test.",
)
@click.option("--weeks", type=click.IntRange(min=1), default=2)
@click.option("--seed", type=int, default=0)
@click.option("--slices", type=click.IntRange(min=1), default=60)
@click.option("--volumes", is_flag=True, help="3D volumes, for `vqlib data convert`.")
def phantom(folder, patients, **settings) -> None:
    """Write a synthetic male pelvis, many patients and weeks, in the HipMRI layout."""
    from pelvis.phantom import write_phantom

    try:
        counts = tuple(int(part) for part in patients.split(","))
        if len(counts) == 1:
            held_out = max(1, round(counts[0] / 10))
            counts = (counts[0] - 2 * held_out, held_out, held_out)
        if len(counts) != 3 or min(counts) < 1:
            raise ValueError
    except ValueError:
        wanted = "three positive numbers such as 12,4,5, or at least 3"
        raise UserError(f"--patients {patients!r} must be {wanted}") from None
    write_phantom(Path(folder), patients=counts, **settings)
    click.echo(f"the phantom is in {folder}")


@data.command()
@click.argument("source", metavar="SRC")
@click.argument("folder", metavar="DIR")
@click.option("--plane", default="coronal", help="coronal, axial or sagittal.")
@click.option(
    "--grid",
    default="256x128",
    metavar="NxN",
    help="Pixels of a slice; left–right first, or front–back in sagittal ones.",
)
@click.option(
    "--spacing", default="1.68x1.56", metavar="MMxMM", help="Size of a pixel in mm."
)
@click.option(
    "--slices",
    default="60",
    metavar="N|all",
    help="Slices to keep of each scan, evenly spaced where it holds anatomy.",
)
@click.option("--seed", type=int, default=0, help="Of the split.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Scans that are cut at once.  [default: one a core]",
)
def convert(source, folder, grid, spacing, slices, **settings) -> None:
    """Cut the 3D scans below SRC (NIfTI, DICOM) into slices in the HipMRI layout.

    The same command again does only what is missing. Patients are never in two splits.
    """
    from pelvis.convert import convert

    settings["grid"] = _numbers("--grid", grid, int, "two whole numbers, as 256x128")
    wanted = "two numbers with an x between, as 1.68x1.56"
    settings["spacing"] = _numbers("--spacing", spacing, float, wanted)
    if slices != "all":
        (slices,) = _numbers("--slices", slices, int, "a whole number or all", 1)
    try:
        report = convert(source, folder, slices=slices, **settings)
    except KeyboardInterrupt:
        kept = f"stopped; {folder} keeps the scans that are finished"
        click.echo(f"{kept}, and the same command goes on from there", err=True)
        raise SystemExit(130) from None
    for line in (*report.faults, *report.notes):
        click.echo(line)
    done = f"scans converted: {report.converted}, there before: {report.skipped}"
    if report.faults:
        remedy = "correct what is named and give the same command again"
        raise UserError(f"{done}, faults: {len(report.faults)}; {remedy}")
    click.echo(f"{folder}: {done}")


def _numbers(option: str, text: str, kind: type, wanted: str, many: int = 2) -> list:
    try:
        numbers = [kind(part) for part in text.lower().split("x")]
        if len(numbers) == many:
            return numbers
    except ValueError:
        pass
    raise UserError(f"{option} {text!r} must be {wanted}")


@data.command()
@click.argument("folder", metavar="DIR")
def check(folder) -> None:
    """Read every slice of a folder; report what it holds and every fault.

    A fault makes loading fail or spoils a result, for example a damaged file, a patient
    or slice in two splits, transposed slices, a spacing that cannot be, no affine. A
    note needs no change, for example blank slices, gaps in the numbering, several
    sizes, labels that occur nowhere. Exits with 1 where there is a fault.
    """
    import sys

    # nibabel imports it where it can: needless here, and a third of the start
    hidden = sys.modules.setdefault("pydicom", None) is None
    from pelvis.check import check

    if hidden:
        del sys.modules["pydicom"]
    report = check(folder, progress=sys.stderr.isatty())
    click.echo(str(report))
    if report.faults:
        raise UserError(f"{folder} has faults: {len(report.faults)}")
    click.echo(f"no fault in {folder}")


@data.command()
@click.argument("folder", metavar="[DIR]", required=False)
@click.option("--collection", metavar="NAME", help="Which one.  [default: prostatex]")
@click.option(
    "--patients", default="20", metavar="N", help="The first N patients; all for all."
)
@click.option(
    "--description",
    metavar="TEXT",
    help="Series with TEXT in their description, instead of coronal ones.",
)
@click.option("--yes", is_flag=True, help="Do not ask before downloading.")
def fetch(folder, collection, patients, description, yes) -> None:
    """Get openly licensed coronal MR of the pelvis from the Imaging Data Commons.

    Without DIR: list the collections, or with --collection or --description the kinds
    of series, and download nothing. With DIR: show what would come, its licence and how
    to cite it, ask, download to DIR.dicom, and convert to slices in DIR. What is there
    already is not fetched again.
    """
    from pelvis import fetch

    if folder is None:
        fetch.show_list(collection, description)
    else:
        fetch.get(folder, fetch.choose(collection, patients, description), yes)
