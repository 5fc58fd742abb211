"""``vqlib sample``: slices that no scanner saw, as files in the HipMRI layout."""

from pathlib import Path

import click

from vqlib.errors import UserError
from vqlib.runs import save_json, writing

SYNTHETIC = "synthetic slice, drawn by vqlib"  # in every header, and in every name
UNITS = 1000  # of grey value 1


@click.command()
@click.option("--run", default="shipped", show_default=True, metavar="NAME")
@click.option("--n", default=16, show_default=True, metavar="N", help="How many.")
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
    metavar="P",
    help="In the volume, 0 front to 1 back.  [default: evenly]",
)
@click.option("--labels", metavar="FILE", help="A label map to draw for, NIfTI.")
@click.option("--seed", default=0, show_default=True)
@click.option("--temperature", default=1.0, show_default=True, help="Of codes.")
@click.option("--guidance", default=1.0, show_default=True, help="By the map; 1: none.")
def sample(run, n, out, family, position, labels, seed, temperature, guidance) -> None:
    """Draw slices with a trained generator, and their label maps: NIfTI files in the
    HipMRI layout, a contact sheet, and samples.json, which says how they were made.

    The run "shipped" comes with the package; it was trained on the phantom alone.
    """
    from vqlib import __version__, generator

    folder = Path(out)
    refuse_what_is_there(folder)
    given = None if labels is None else read_map(labels)
    drawn = generator.sample(
        n, run, family, position, given, seed, temperature, guidance
    )
    write_slices(folder, drawn)
    made = {"synthetic": SYNTHETIC, "vqlib": __version__, "run": run, "family": family}
    made |= {"n": n, "position": position, "labels": labels, "seed": seed}
    made |= {"temperature": temperature, "guidance": guidance}
    made["positions"] = [round(float(p), 6) for p in drawn.positions]
    save_json(folder / "samples.json", made)
    click.echo(f"{n} slices and sheet.png are in {folder}")


def refuse_what_is_there(folder: Path) -> None:
    """Samples never get among scans: the folder must be new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} is not empty, and samples must not get among scans; choose a "
            "new or empty folder"
        )


def read_map(path: str):
    """A label map from a file: [H, W] uint8 at the size of a generator's slices."""
    import torch

    from vqlib.data import read_label

    return torch.from_numpy(read_label(path))


def write_slices(folder: Path, drawn) -> None:
    """Write drawn slices at native size, pixels repeated: reading them at the size at
    which they were drawn gives them back."""
    import nibabel as nib
    import numpy as np

    from vqlib.data import NATIVE_SIZE, PIXEL_MM

    kinds = [("", "case", np.rint(UNITS * drawn.images[:, 0].numpy()), np.int16)]
    if drawn.labels is not None:
        kinds.append(("seg_", "seg", drawn.labels.numpy(), np.uint8))
    affine = np.array(  # left–right, then inferior–superior, as HipMRI's slices lie
        [[-PIXEL_MM[0], 0, 0, 0], [0, 0, -1, 0], [0, PIXEL_MM[1], 0, 0], [0, 0, 0, 1]]
    )
    with writing(folder):
        for kind, prefix, arrays, dtype in kinds:
            inside = folder / f"keras_slices_{kind}train"
            inside.mkdir(parents=True, exist_ok=True)
            for number, array in enumerate(arrays):
                times = [a // b for a, b in zip(NATIVE_SIZE, array.shape, strict=True)]
                whole = np.kron(array, np.ones(times)).astype(dtype)
                nifti = nib.Nifti1Image(whole, affine)
                nifti.header["descrip"] = SYNTHETIC
                name = f"{prefix}_000_week_0_slice_{number}_synthetic.nii.gz"
                nib.save(nifti, inside / name)
        contact_sheet(drawn).save(folder / "sheet.png")


def contact_sheet(drawn, columns: int = 8, scale: int = 3):
    """A picture of all slices, upright, eight a row, their label maps below each."""
    import numpy as np
    from PIL import Image

    rows = [np.rint(255 * drawn.images[:, 0].numpy()).astype(np.uint8)]
    if drawn.labels is not None:
        greys = np.array([0, 50, 110, 230, 160, 255], np.uint8)  # of the labels
        rows.append(greys[drawn.labels.numpy()])
    n, height, width = rows[0].shape
    lines = -(-n // columns)
    sheet = np.zeros((lines * len(rows) * width, columns * height), np.uint8)
    for i in range(n):
        line, column = divmod(i, columns)
        for row, arrays in enumerate(rows):
            top = (line * len(rows) + row) * width
            upright = arrays[i].T[::-1]
            sheet[top : top + width, column * height : (column + 1) * height] = upright
    size = (scale * sheet.shape[1] // 2, scale * sheet.shape[0] // 2)
    return Image.fromarray(sheet).resize(size, Image.Resampling.BICUBIC)
