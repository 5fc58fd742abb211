"""One NIfTI file, read with suspicion.

`read_slice` and `read_label` read one file of the slice layout. The header is judged
before a pixel is read, so that a damaged one cannot ask for all memory, and whatever is
wrong comes as one line that names the file and the remedy. `nifti_bytes` is what we
write.

The thousands of slices of a study are alike, and reading one with care costs three
times what inflating it does. So a file that is as ordinary as can be takes a short way
(`_ordinary_values`); any other, and so every bad one, takes the careful one.
"""

import gzip
import os
import zlib
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.volumeutils import apply_read_scaling

from vqlib.data.layout import LABEL_NAMES
from vqlib.errors import UserError

MAX_SIDE = 1024  # pixels; a header that declares more is refused before it is believed
MAX_VOXELS = 2**27  # 512 x 512 x 512, of a volume
_PIXELS_AT = 352  # bytes: a header of 348, then four zeros where there is no extension
_LARGEST = _PIXELS_AT + 8 * MAX_SIDE**2  # bytes of the largest slice, in float64

nib.imageglobals.logger.setLevel("CRITICAL")  # its remarks come as our one line


def read_slice(path: str | Path) -> np.ndarray:
    """Read one image: float32 `[X, Z]` in the scanner's units, native size.

    X runs left–right and Z inferior–superior; trailing dimensions of 1 are dropped.
    Raises `UserError` for a file that is missing, truncated or no NIfTI, that is not
    two-dimensional, not of real numbers, larger than `MAX_SIDE`, or not finite.
    """
    values = _slice_values(Path(path))
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite
        pixels = values.astype(np.float32, order="C")
    if values.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise UserError(
            f"{path} has NaN or infinite pixels; export the slice again, or remove "
            "its volume"
        )
    return pixels


def read_label(path: str | Path) -> np.ndarray:
    """Read one label map: uint8 `[X, Z]`, values as in `LABEL_NAMES`.

    Raises `UserError` like `read_slice`, and for values that are no label.
    """
    return as_labels(path, _slice_values(Path(path)))


def as_labels(path: str | Path, values: np.ndarray) -> np.ndarray:
    """Values of a label map as uint8; raises `UserError` for one that is no label."""
    if values.dtype == np.uint8:
        known = values < len(LABEL_NAMES)
    else:
        known = np.isin(values, np.arange(len(LABEL_NAMES)))
    if not known.all():
        raise UserError(
            f"{path} has the value {values[~known][0]:g}, which is no label; map its "
            f"values to 0 … {len(LABEL_NAMES) - 1} ({', '.join(LABEL_NAMES)})"
        )
    return values.astype(np.uint8)


def _slice_values(path: Path) -> np.ndarray:
    """The stored values of a slice with the header's scaling: `[X, Z]`, read-only."""
    values = _ordinary_values(path)
    return read_array(path, slice_shape)[0] if values is None else values


def _ordinary_values(path: Path) -> np.ndarray | None:
    """What `read_array` gives for an ordinary slice, in a fraction of its time.

    None for a file that is large, in several gzip members, damaged, with a header
    extension, or anything else than expected: the careful reader shall judge it. A
    compressed file is inflated to its end, with its sum checked, but never to more than
    the largest slice takes.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > _LARGEST:
                return None
            content = file.read()
        if path.name.lower().endswith(".gz"):
            stream = zlib.decompressobj(wbits=31)  # gzip, not bare zlib
            content = stream.decompress(content, _LARGEST)
            if not stream.eof or stream.unused_data:
                return None
    except (OSError, zlib.error):
        return None
    header = _ordinary_header(content[:_PIXELS_AT])
    if header is None:
        return None
    dtype, shape, slope, inter = header
    count = shape[0] * shape[1]
    if len(content) < _PIXELS_AT + count * dtype.itemsize:
        return None
    values = np.frombuffer(content, dtype, count, _PIXELS_AT).reshape(shape, order="F")
    if (slope, inter) == (1, 0):
        return values
    with np.errstate(all="ignore"):
        return apply_read_scaling(values, np.float64(slope), np.float64(inter))


@lru_cache(maxsize=4096)  # the slices of a study share few headers
def _ordinary_header(header: bytes):
    """What nibabel and `slice_shape` read from the first 352 bytes of a file: data
    type, shape, slope and intercept. None for what they refuse, for an extension, and
    for pixels that begin elsewhere."""
    if header[348:] != bytes(4):
        return None
    try:
        image = nib.Nifti1Image.from_stream(BytesIO(header))
        shape = slice_shape(Path(), image)
    except _UNREADABLE:  # `UserError` is a ValueError
        return None
    data = image.dataobj
    if data.offset != _PIXELS_AT:
        return None
    return data.dtype, shape, data.slope, data.inter


def read_array(
    path: Path, judge: Callable[[Path, nib.Nifti1Image], tuple[int, ...]]
) -> tuple[np.ndarray, nib.Nifti1Image]:
    """The stored values with the header's scaling (float64 where there is one), in the
    shape that ``judge`` returns, and the image for its affine.

    ``judge`` sees the header before pixels are read and raises `UserError` for what it
    does not take. A compressed file is read to its end, where gzip checks its sum: bits
    that flipped on a disk come to light. Raises `UserError`.
    """
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            nifti2 = file.read(4) in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
            file.seek(0)
            image = (nib.Nifti2Image if nifti2 else nib.Nifti1Image).from_stream(file)
            shape = judge(path, image)
            with np.errstate(all="ignore"):
                values = np.asarray(image.dataobj).reshape(shape)
            for _ in range(64):
                if not file.read(2**20):
                    return values, image
            raise ValueError("64 MB after the last pixel")
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the name") from None
    except PermissionError:
        raise UserError(f"{path} may not be read; change its permissions") from None
    except _UNREADABLE as fault:
        first = str(fault).strip().splitlines()
        reason = first[0] if first else type(fault).__name__
        raise UserError(
            f"{path} is truncated or no NIfTI file ({reason}); get the file again"
        ) from None


def nifti_bytes(pixels: np.ndarray, affine: np.ndarray) -> bytes:
    """A ``.nii.gz`` file of one array; the same bytes for the same values."""
    nifti = nib.Nifti1Image(pixels, affine)
    nifti.header.set_xyzt_units("mm")
    nifti.set_sform(affine, code=1)
    nifti.set_qform(affine, code=1)
    # level 1: noise hardly compresses, and time zero keeps the bytes reproducible
    return gzip.compress(nifti.to_bytes(), 1, mtime=0)


def slice_shape(path: Path, image: nib.Nifti1Image) -> tuple[int, int]:
    """The shape `[X, Z]` that a header declares; refuses what is no slice."""
    shape, kind = image.shape, image.get_data_dtype().kind
    size = " x ".join(map(str, shape))
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 2:
        raise UserError(
            f"{path} is {size}, not a 2D slice; cut volumes into slices with "
            "`vqlib data convert`"
        )
    if not 1 <= min(shape) <= max(shape) <= MAX_SIDE:
        raise UserError(
            f"{path} declares {size} pixels, and a slice has 1 to {MAX_SIDE} on a "
            "side; the header is damaged, get the file again"
        )
    if kind not in "iuf":
        raise UserError(
            f"{path} holds {'complex' if kind == 'c' else 'colour'} pixels; export it "
            "as grey values (int16 or float32)"
        )
    return shape


# what nibabel, gzip and zlib raise for files that are cut short, damaged or no NIfTI
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    MemoryError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.wrapstruct.WrapStructError,
)
