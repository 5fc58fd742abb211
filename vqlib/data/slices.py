"""One slice: its file read with suspicion, its grey values scaled, brought to size.

nibabel reads. A header is judged before memory is asked for, no more is inflated than
it declares, pixels must be finite and labels known.

Each volume (patient and week) is divided by the 99.5th percentile of its own non-zero
pixels, at native resolution, and clipped to [0, 1]: scanners give arbitrary units, and
one bright coil spot must not darken a whole scan. Taught in notebook 01.
"""

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from vqlib.data.layout import LABEL_NAMES, NATIVE_SIZE, NO_FILE
from vqlib.errors import UserError

PERCENTILE = 99.5  # of a volume's non-zero pixels, which becomes 1
MAX_SIDE = 1024  # pixels of a slice; a header that declares more is damaged
MAX_VOXELS = 2**27  # 512 x 512 x 512, of a volume
MAX_OFFSET = 2**24  # bytes before the pixels: header and extensions

# how a file of each kind and byte order begins
_KINDS = {
    kind.sizeof_hdr.to_bytes(4, order): (kind, {"little": "<", "big": ">"}[order])
    for kind in (nib.Nifti1Header, nib.Nifti2Header)
    for order in ("little", "big")
}

# what nibabel, gzip and zlib raise for files that are cut short, damaged or no NIfTI
_UNREADABLE = (
    *(OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error),
    *(nib.spatialimages.HeaderDataError, nib.wrapstruct.WrapStructError),
)

nib.imageglobals.logger.setLevel("CRITICAL")  # its remarks come as our one line


def read_slice(path: str | Path) -> np.ndarray:
    """Read one image: float32 `[X, Z]` in the scanner's units, native size.

    X runs left–right and Z inferior–superior. Raises `UserError` for what is missing,
    damaged or no NIfTI, not 2D, not of real numbers, too large, or not finite.
    """
    return as_pixels(path, read_array(Path(path), slice_shape)[0])


def read_label(path: str | Path) -> np.ndarray:
    """Read one label map: uint8 `[X, Z]`, values as in `LABEL_NAMES`. Raises
    `UserError` like `read_slice`, and for values that are no label."""
    return as_labels(path, read_array(Path(path), slice_shape)[0])


def as_pixels(path: str | Path, values: np.ndarray) -> np.ndarray:
    """Values of an image as float32; raises `UserError` for what is not finite."""
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite
        pixels = values.astype(np.float32, order="C")
    if values.dtype.kind == "f" and not np.isfinite(pixels).all():
        what = "has NaN or infinite pixels; export it again, or remove its volume"
        raise UserError(f"{path} {what}")
    return pixels


def as_labels(path: str | Path, values: np.ndarray) -> np.ndarray:
    """Values of a label map as uint8; raises `UserError` for one that is no label."""
    with np.errstate(invalid="ignore"):  # NaN becomes something, and is not equal
        labels = values.astype(np.uint8)
    known = (labels == values) & (labels < len(LABEL_NAMES))
    if not known.all():
        raise UserError(
            f"{path} has the value {values[~known][0]:g}, which is no label; map its "
            f"values to 0 … {len(LABEL_NAMES) - 1} ({', '.join(LABEL_NAMES)})"
        )
    return labels


def read_array(
    path: Path, judge: Callable[[Path, nib.Nifti1Header], tuple[int, ...]]
) -> tuple[np.ndarray, nib.Nifti1Header, np.ndarray]:
    """The pixels of a NIfTI file with the header's scaling (float64 where there is
    one), its header as it was written, and its affine; raises `UserError`.

    ``judge`` sees the header before pixels are read, and returns the shape that they
    shall have. A file must end where its header says: so a damaged size shows.
    """
    if not path.is_file():
        what = NO_FILE if os.path.lexists(path) else "does not exist"
        raise UserError(f"{path} {what}; check the name")
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            header = _header(file.read(nib.Nifti2Header.sizeof_hdr))
            affine, shape = header.get_best_affine(), judge(path, header)
            with np.errstate(all="ignore"):
                values = header.data_from_fileobj(file).reshape(shape)
            pixels = np.prod(shape, dtype=np.int64) * header.get_data_dtype().itemsize
            file.seek(header.get_data_offset() + pixels)
            if file.read(1):
                raise ValueError("it goes on after the last pixel")
            return values, header, affine
    except UserError:
        raise
    except PermissionError:
        raise UserError(f"{path} may not be read; change its permissions") from None
    except _UNREADABLE as fault:
        reason = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        said = f"is truncated or no NIfTI file ({reason}); get the file again"
        raise UserError(f"{path} {_looks_like(path) or said}") from None


def _header(block: bytes) -> nib.Nifti1Header:
    """The header that a file begins with; extensions, of any size, are not read."""
    if block[:4] not in _KINDS:
        raise ValueError(f"it begins with {block[:8]!r}" if block else "it is empty")
    kind, order = _KINDS[block[:4]]
    # not checked: nibabel would mend in silence what is to be refused
    header = kind(block[: kind.sizeof_hdr], order, check=False)
    dim, magic, offset = (header[k].tolist() for k in ("dim", "magic", "vox_offset"))
    if not 1 <= dim[0] <= 7 or min(dim[1 : 1 + dim[0]]) < 1:
        raise ValueError(f"its dimensions are {dim}")
    if magic != header.single_magic:
        raise ValueError(f"magic {magic!r}; its pixels may lie in another file")
    if not header.single_vox_offset <= offset <= MAX_OFFSET or offset % 1:
        raise ValueError(f"it puts its pixels at byte {offset:g}")
    if int(header["datatype"]) not in nib.nifti1.data_type_codes.code:
        raise ValueError(f"data code {header['datatype']}")
    dtype = header.get_data_dtype()
    if header["bitpix"] != 8 * dtype.itemsize:
        raise ValueError(f"{header['bitpix']} bits for a pixel of type {dtype}")
    if np.isinf(header["scl_slope"]):
        raise ValueError("its scaling is infinite")
    return header


def _looks_like(path: Path) -> str | None:
    """What a file that is no NIfTI is instead, by its first bytes, and the remedy."""
    try:
        with open(path, "rb") as file:
            begin = file.read(512)
    except OSError:
        return None
    if begin[:4] in _KINDS and path.name.lower().endswith(".gz"):
        return "is not compressed, though its name says so; let it end in .nii"
    if begin[:2] == b"\x1f\x8b" and not path.name.lower().endswith(".gz"):
        return "is compressed, though its name hides it; let it end in .nii.gz"
    if begin.lstrip().startswith((b"<", b"{")):
        return "is a web page or a server's message; log in and get the file again"
    dicom = "is DICOM; turn the series into slices with `vqlib data convert`"
    return dicom if begin[128:132] == b"DICM" else None


def slice_shape(path: Path, header: nib.Nifti1Header) -> tuple[int, int]:
    """The shape `[X, Z]` that a header declares; refuses what is no slice."""
    shape, kind = header.get_data_shape(), header.get_data_dtype().kind
    size = " x ".join(map(str, shape))
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 2:
        fault = "not a 2D slice; cut volumes into slices with `vqlib data convert`"
    elif max(shape) > MAX_SIDE:
        fault = f"more than {MAX_SIDE} on a side; the header is damaged, get it again"
    elif kind not in "iuf":
        fault = f"{'complex' if kind == 'c' else 'in colour'}; export it as grey values"
    else:
        return shape
    raise UserError(f"{path} is {size} pixels, {fault}")


def scale_volume(slices: np.ndarray) -> np.ndarray:
    """Scale a volume `[S, X, Z]` of arbitrary units to [0, 1]: divided by the 99.5th
    percentile of its non-zero pixels, and clipped. What is blank stays 0."""
    slices = np.asarray(slices, dtype=np.float32)
    bright = np.percentile(slices[slices != 0], PERCENTILE) if slices.any() else 0
    if bright <= 0:
        return np.zeros_like(slices)
    return np.clip(slices / np.float32(bright), 0, 1)


def center_on_grid(image: np.ndarray) -> np.ndarray:
    """Bring `[..., X, Z]` to `[..., 256, 128]` about its centre, with no resampling.

    Crops or pads with 0 evenly on both ends, as torchvision's ``center_crop``, which
    would need PyTorch here. One volume of HipMRI has slices of 256 x 144 and loses 12
    mm at feet and head: padding all others would teach every model a black rim.
    """
    if image.shape[-2:] == NATIVE_SIZE:
        return image
    crop, margins = [], [(0, 0)] * (image.ndim - 2)
    for wanted, has in zip(NATIVE_SIZE, image.shape[-2:], strict=True):
        less, more = max(has - wanted, 0), max(wanted - has, 0)
        crop.append(slice(round(less / 2), round(less / 2) + min(has, wanted)))
        margins.append((more // 2, more - more // 2))
    return np.pad(image[..., *crop], margins)


def fit_to(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring `[..., X, Z]` to a size `[..., H, W]`.

    Crops or pads to 256 x 128 (see `center_on_grid`), then shrinks. Floating-point
    images are area-averaged. Integer arrays are label maps: a block takes its most
    frequent label, and the higher one of a tie, so that a small organ does not lose to
    the body around it. Raises `UserError` for all but 256 x 128 by 1, 2, 4 or 8.

    >>> fit_to(np.ones((60, 256, 144), np.float32), (128, 64)).shape
    (60, 128, 64)
    """
    factor = check_size(size)
    image = center_on_grid(image)
    if factor == 1:
        return image
    if np.issubdtype(image.dtype, np.floating):
        return _block_sums(image, factor) / image.dtype.type(factor**2)
    best, kinds = np.uint16(0), len(LABEL_NAMES)
    for label in range(kinds):  # a block has at most 8 x 8 votes
        votes = _block_sums((image == label).view(np.uint8), factor)
        best = np.maximum(best, votes * np.uint16(kinds) + np.uint16(label))
    return (best % kinds).astype(image.dtype)


def check_size(size: tuple[int, int]) -> int:
    """How often a size goes into 256 x 128; raises `UserError` as `fit_to` does."""
    for factor in (1, 2, 4, 8):
        if (size[0] * factor, size[1] * factor) == NATIVE_SIZE:
            return factor
    raise UserError(
        f"size {size[0]}x{size[1]} is not 256x128 divided by 1, 2, 4 or 8; choose "
        "256x128, 128x64, 64x32 or 32x16"
    )


def _block_sums(image: np.ndarray, factor: int) -> np.ndarray:
    """The sum of each block: `[..., 256, 128]` → `[..., H, W]`."""
    places = ((i, j) for i in range(factor) for j in range(factor))
    return sum(image[..., i::factor, j::factor] for i, j in places)
