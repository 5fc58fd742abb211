"""Drawn slices as files in the HipMRI layout, for ``vqlib sample``."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from matplotlib import image
from PIL import Image, ImageDraw, ImageFont

from vqlib import __version__, generator
from vqlib.data import NATIVE_SIZE, PIXEL_MM, read_label
from vqlib.data.layout import data_folder_of
from vqlib.errors import UserError
from vqlib.runs import save_json, writing

SYNTHETIC = "synthetic slice, drawn by vqlib"  # in every header, and in every name
UNITS = 1000  # of grey value 1
HEAD = 40  # pixels of the sheet's title, from above


def draw(out: str, labels: str | None, **how) -> None:
    """Draw slices as `vqlib.generator.sample` does and write them to a new or empty
    folder outside of data folders, with what they were drawn by in samples.json;
    raises `UserError`."""
    folder = Path(out).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} is not empty, and samples must not get among scans; choose a "
            "new or empty folder"
        )
    if place := data_folder_of(folder):
        raise UserError(
            f"{folder} lies in the data folder {place}, and samples must not get among "
            f"scans; choose a folder outside {place}"
        )
    given = None if labels is None else torch.from_numpy(read_label(labels))
    drawn = generator.sample(labels=given, **how)
    made = {"synthetic": SYNTHETIC, "vqlib": __version__, "labels": labels} | how
    made["positions"] = [round(float(p), 6) for p in drawn.positions]
    started = folder.with_name(f".{folder.name}.started")
    with writing(folder):  # all or nothing, also where the process is killed
        shutil.rmtree(started, ignore_errors=True)
        write_slices(started, drawn)
        title = f"synthetic: drawn by vqlib, run {how['run']}, seed {how['seed']}"
        sheet, said = contact_sheet(drawn, title), {"Title": title}
        image.imsave(started / "sheet.png", sheet, cmap="gray", metadata=said)
        save_json(started / "samples.json", made)
        if folder.exists():
            folder.rmdir()
        started.rename(folder)


def write_slices(folder: Path, drawn: generator.Drawn) -> None:
    """Write drawn slices at native size, pixels repeated: reading them at the size at
    which they were drawn gives them back."""
    kinds = [("", "case", np.rint(UNITS * drawn.images[:, 0].numpy()), np.int16)]
    if drawn.labels is not None:
        kinds.append(("seg_", "seg", drawn.labels.numpy(), np.uint8))
    affine = np.array(  # left–right, then inferior–superior, as HipMRI's slices lie
        [[-PIXEL_MM[0], 0, 0, 0], [0, 0, -1, 0], [0, PIXEL_MM[1], 0, 0], [0, 0, 0, 1]]
    )
    for kind, prefix, arrays, dtype in kinds:
        inside = folder / f"keras_slices_{kind}train"
        inside.mkdir(parents=True)
        for number, array in enumerate(arrays):
            times = NATIVE_SIZE[0] // array.shape[0]
            whole = np.kron(array, np.ones((times, times))).astype(dtype)
            nifti = nib.Nifti1Image(whole, affine)
            nifti.header["descrip"] = SYNTHETIC
            name = f"{prefix}_000_week_0_slice_{number}_synthetic.nii.gz"
            nib.save(nifti, inside / name)


def contact_sheet(drawn: generator.Drawn, title: str, columns: int = 8) -> np.ndarray:
    """A picture of all slices, upright, eight a row, their label maps below each, with
    a title above."""
    rows = [drawn.images[:, 0].numpy()]
    if drawn.labels is not None:
        rows.append(np.array([0, 0.2, 0.45, 0.9, 0.6, 1])[drawn.labels.numpy()])
    rows = [row.transpose(0, 2, 1)[:, ::-1] for row in rows]  # upright
    count = -(-len(rows[0]) // columns) * columns
    rows = [np.pad(row, [(0, count - len(row)), (0, 0), (0, 0)]) for row in rows]
    lines = [
        np.hstack(row[start : start + columns])
        for start in range(0, count, columns)
        for row in rows
    ]
    sheet = np.vstack(lines).repeat(2, 0).repeat(2, 1)
    head = Image.new("L", (sheet.shape[1], HEAD))
    ImageDraw.Draw(head).text((8, 4), title, 255, ImageFont.load_default(24))
    return np.vstack([np.asarray(head) / 255, sheet])
