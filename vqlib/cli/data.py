"""``vqlib data``: make and check folders of slices."""

from pathlib import Path

import click

from vqlib.cli.group import Group
from vqlib.errors import UserError


@click.group(cls=Group)
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
