"""Writes 3D scans, NIfTI and DICOM, for the tests here.

The scans show one body, known as a function of the place in the patient, so that a
slice can be compared with the truth wherever it lies and however the scan was tilted.
"""

from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from pelvis.phantom import make_volume

SHAPE = (40, 12, 30)
STACK = np.array(  # coronal, axis codes (L, P, S): thick slices as in the real scans
    [[-10.0, 0, 0, 195], [0, -21, 0, 115], [0, 0, 10, -145], [0, 0, 0, 1]]
)


@cache
def phantom_scans() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of three phantom patients in week 0, and the first in week 1:
    10 slices each."""
    seeds = (11, 0), (12, 0), (13, 0), (11, 1)
    return [make_volume(seed, week, 10) for seed, week in seeds]


def body(x, y, z) -> np.ndarray:
    """Signal at mm to the patient's right, front and head: an ellipsoid with a bright
    spot at the left hip, one at the front, and a darker one at the top."""
    skin = (x / 170) ** 2 + (y / 95) ** 2 + (z / 130) ** 2
    signal = 100 / (1 + np.exp(12 * (skin - 1)))

    def spot(at):
        away = (x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2
        return np.exp(-away / 35**2)

    signal += 120 * spot((-110, 0, -20)) + 80 * spot((0, 60, 0))
    return signal * (1 - 0.6 * spot((0, 0, 90)))


def sample(shape, affine) -> np.ndarray:
    """The body on the voxels of a grid, float32."""
    ijk = np.indices(shape).reshape(len(shape), -1)
    ijk = np.vstack([ijk, np.zeros((3 - len(shape), ijk.shape[1]))])
    x, y, z = affine[:3, :3] @ ijk + affine[:3, 3:]
    return body(x, y, z).reshape(shape).astype(np.float32)


def turn(axis: int, degrees: float) -> np.ndarray:
    """A rotation of the world about one of its axes, [4, 4]."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    i, j = [k for k in range(3) if k != axis]
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def write_volume(path: Path, pixels=None, affine=STACK, qform=None) -> Path:
    """A NIfTI volume; the body as int16 where no pixels are given."""
    if pixels is None:
        pixels = np.rint(sample(SHAPE, affine)).astype(np.int16)
    image = nib.Nifti1Image(pixels, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine if qform is None else qform, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def write_label(path: Path, affine=STACK, values=None) -> Path:
    """A label map: 1 where the body is, 5 in its left spot."""
    if values is None:
        signal = sample(SHAPE, affine)
        values = ((signal > 50) + 4 * (signal > 170)).astype(np.uint8)
    return write_volume(path, values, affine)


def dicom_image(
    pixels, position, orientation, spacing, series="1", number=1, **tags
) -> pydicom.Dataset:
    """One classic MR image, not written yet; ``tags`` replace its own."""
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    own = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": f"1.2.{series}.9.{number}",
        "SeriesInstanceUID": f"1.2.{series}",
        "StudyInstanceUID": "1.2.3",
        "PatientID": "Man 7",
        "Modality": "MR",
        "Manufacturer": "MAKER",
        "SeriesNumber": int(series),
        "SeriesDescription": "t2 cor",
        "InstanceNumber": number,
        "ImagePositionPatient": [round(float(v), 6) for v in position],
        "ImageOrientationPatient": [round(float(v), 9) for v in orientation],
        "PixelSpacing": list(spacing),
    }
    grey = pixels.astype("<u2"), "MONOCHROME2", 16
    image.set_pixel_data(*grey, generate_instance_uid=False)
    for name, value in (own | tags).items():
        setattr(image, name, value)
    return image


def coronal_series(shape=(30, 40, 12), spacing=(10.0, 10.0, 21.0), tilt=None, **tags):
    """The images of a coronal MR series of the body, front to back: rows lead down
    and columns to the left, as scanners write them."""
    directions = np.array([[0.0, 0, -1], [1, 0, 0], [0, 1, 0]]).T  # row, column, slice
    if tilt is not None:
        directions = tilt[:3, :3] @ directions
    steps = directions * spacing  # DICOM: left, back, head
    corner = -steps @ ((np.array(shape) - 1) / 2)
    images = []
    for number in range(shape[2]):
        position = corner + number * steps[:, 2]
        affine = np.eye(4)
        affine[:3] = np.column_stack([steps, position])
        affine = np.diag([-1, -1, 1, 1]) @ affine
        pixels = np.rint(sample(shape[:2], affine))
        where = position, [*directions[:, 1], *directions[:, 0]], spacing[:2]
        images.append(dicom_image(pixels, *where, number=number + 1, **tags))
    return images


def write_dicom(folder: Path, images) -> list[Path]:
    """Writes images under names that tell no order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for image in images:
        path = folder / f"{int(image.InstanceNumber) * 7919 % 100_003}.dcm"
        image.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def series(uid, patient, description="t2_tse_cor", collection="prostatex", **other):
    """A row of the archive's index: a series of one image."""
    row = {"uid": uid, "collection": collection, "patient": patient}
    row |= {"description": description, "images": 1, "size": 3}
    return row | {"licence": "CC BY 4.0", "doi": "10.1234/alpha"} | other
