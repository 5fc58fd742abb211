"""``vqlib data``: make, convert, get and check folders of slices."""

from contextlib import contextmanager

import click

from vqlib.cli.group import Group
from vqlib.errors import UserError


@click.group(cls=Group, context_settings={"show_default": True})
def data() -> None:
    """Make and check folders of slices."""


@data.command()
@click.argument("folder", metavar="DIR")
@click.option("--patients", default="12,4,5", help="In train, validate and test.")
@click.option("--weeks", type=click.IntRange(min=1), default=2)
@click.option("--seed", type=int, default=0)
@click.option("--slices", type=click.IntRange(min=1), default=60)
@click.option("--volumes", is_flag=True, help="3D volumes, for `vqlib data convert`.")
def phantom(folder, patients, **settings) -> None:
    """Write a synthetic male pelvis, many patients and weeks, in the HipMRI layout."""
    from pelvis.phantom import write_phantom

    wanted = "three numbers such as 12,4,5"
    counts = _numbers("--patients", patients, int, wanted, 3, ",")
    write_phantom(folder, patients=counts, **settings)
    click.echo(f"the phantom is in {folder}")


@data.command()
@click.argument("source", metavar="SRC")
@click.argument("folder", metavar="DIR")
@click.option("--plane", default="coronal", help="coronal, axial or sagittal.")
@click.option("--grid", default="256x128", help="Pixels of a slice, left–right first.")
@click.option("--spacing", default="1.68x1.56", help="Size of a pixel in mm.")
@click.option("--slices", default="60", help="To keep of each scan, a number or all.")
@click.option("--seed", type=int, default=0, help="Of the split.")
@click.option("--processes", type=click.IntRange(min=1), help="[default: one a core]")
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
    with _stoppable():
        _tell(convert(source, folder, slices=slices, **settings))


@contextmanager
def _stoppable():
    try:
        yield
    except KeyboardInterrupt:
        kept = "stopped; what is finished stays"
        click.echo(f"{kept}, and the same command goes on from there", err=True)
        raise SystemExit(130) from None


def _tell(report) -> None:
    for line in (*report.faults, *report.notes):
        click.echo(line)
    done = f"scans converted: {report.converted}, there before: {report.skipped}"
    if report.faults:
        remedy = "correct what is named and give the same command again"
        raise UserError(f"{done}, faults: {len(report.faults)}; {remedy}")
    click.echo(done)


def _numbers(option: str, text: str, kind, wanted: str, many=2, between="x") -> list:
    try:
        numbers = [kind(part) for part in text.lower().split(between)]
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
@click.option("--collection", help="Which one.  [default: prostatex]")
@click.option("--patients", default="20", help="The first so many, or all.")
@click.option("--description", help="A part of it, instead of coronal series.")
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
        chosen = fetch.choose(collection, patients, description)
        with _stoppable():
            _tell(fetch.get(folder, chosen, yes))
