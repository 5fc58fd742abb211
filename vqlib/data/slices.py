"""Slices: one file read with suspicion, grey values scaled, and brought to size.

`read_slice` and `read_label` read one file of the slice layout. The header is judged
before a pixel is read, so that a damaged one cannot ask for all memory, and whatever is
wrong comes as one line that names the file and the remedy. `nifti_bytes` is what we
write.

The thousands of slices of a study are alike, and reading one with care costs three
times what inflating it does. So a file that is as ordinary as can be takes a short way
(`_ordinary_values`); any other, and so every bad one, takes the careful one.

Each volume (patient and week) is divided by the 99.5th percentile of its own non-zero
pixels, at native resolution, and clipped to [0, 1]: scanners give arbitrary units, and
one bright coil spot must not darken a whole scan. Then every slice is cropped or
padded about its centre to 256 x 128 and area-averaged down to the size of the profile.
Taught in notebook 01.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import isal_zlib
from nibabel.arrayproxy import ArrayProxy
from nibabel.volumeutils import apply_read_scaling

from vqlib.data.layout import LABEL_NAMES, NATIVE_SIZE, what_it_is
from vqlib.errors import UserError

PERCENTILE = 99.5  # of a volume's non-zero pixels, which becomes 1
MAX_SIDE = 1024  # pixels; a header that declares more is refused before it is believed
MAX_VOXELS = 2**27  # 512 x 512 x 512, of a volume
MAX_OFFSET = 2**24  # bytes of header and extensions; the extensions are never read
_PIXELS_AT = 352  # bytes: a header of 348, then four zeros where there is no extension
_LARGEST = _PIXELS_AT + 8 * MAX_SIDE**2  # bytes of the largest slice, in float64

nib.imageglobals.logger.setLevel("CRITICAL")  # its remarks come as our one line


def read_slice(path: str | Path) -> np.ndarray:
    """Read one image: float32 `[X, Z]` in the scanner's units, native size.

    X runs left–right and Z inferior–superior; trailing dimensions of 1 are dropped.
    Raises `UserError` for a file that is missing, truncated or no NIfTI, that is not
    two-dimensional, not of real numbers, larger than `MAX_SIDE`, or not finite.
    """
    return as_pixels(path, _slice_values(Path(path)))


def as_pixels(path: str | Path, values: np.ndarray) -> np.ndarray:
    """Values of an image as float32; raises `UserError` for what is not finite."""
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
        facts = os.stat(path)  # before it is opened: a pipe would wait for ever
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _LARGEST:
            return None
        with open(path, "rb", buffering=0) as file:
            content = file.read()
        if path.name.lower().endswith(".gz"):
            stream = isal_zlib.decompressobj(wbits=31)  # gzip; twice as fast as zlib
            content = stream.decompress(content, _LARGEST)
            if not stream.eof or stream.unused_data:
                return None
    except (OSError, isal_zlib.error):
        return None
    header = _ordinary_header(content[:_PIXELS_AT])
    if header is None:
        return None
    dtype, shape, slope, inter = header
    count = shape[0] * shape[1]
    if len(content) != _PIXELS_AT + count * dtype.itemsize:
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
        image, data = _header(BytesIO(header))
        shape = slice_shape(Path(), image)
    except _UNREADABLE:  # `UserError` is a ValueError
        return None
    if data.offset != _PIXELS_AT:
        return None
    return data.dtype, shape, data.slope, data.inter


def read_array(
    path: Path, judge: Callable[[Path, nib.Nifti1Image], tuple[int, ...]]
) -> tuple[np.ndarray, nib.Nifti1Image]:
    """The stored values with the header's scaling (float64 where there is one), in the
    shape that ``judge`` returns, and an image for its header and affine (it holds no
    pixels); the spacing as the file says it, unmended, is in ``image.extra["pixdim"]``.

    ``judge`` sees the header before pixels are read and raises `UserError` for what it
    does not take. A file must end where its header says: a damaged size shows so, and a
    compressed file's check sum is reached. Raises `UserError`.
    """
    if not path.is_file():
        raise UserError(f"{path} {what_it_is(path)}; check the name")
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            image, stored = _header(file)
            shape = judge(path, image)
            with np.errstate(all="ignore"):
                values = np.asarray(stored).reshape(shape)
            if file.read(1):
                raise ValueError("it goes on after the last pixel")
            return values, image
    except UserError:
        raise
    except PermissionError:
        raise UserError(f"{path} may not be read; change its permissions") from None
    except _UNREADABLE as fault:
        first = str(fault).strip().splitlines()
        reason = first[0] if first else type(fault).__name__
        said = f"is truncated or no NIfTI file ({reason}); get the file again"
        raise UserError(f"{path} {_looks_like(path) or said}") from None


# how a file of each kind and byte order begins
_KINDS = {
    size.to_bytes(4, order): (kind, size, "<" if order == "little" else ">")
    for kind, size in ((nib.Nifti1Image, 348), (nib.Nifti2Image, 540))
    for order in ("little", "big")
}


def _header(file) -> tuple[nib.Nifti1Image, ArrayProxy]:
    """The header that a file begins with, as an image, and its pixels, yet unread.

    Refuses what nibabel mends or reads on trust, and would then give other pixels than
    the ones written. Extensions are not read: they may declare any size.
    """
    block = file.read(540)
    if block[:4] not in _KINDS:
        raise ValueError(f"it begins with {block[:8]!r}" if block else "it is empty")
    kind, size, order = _KINDS[block[:4]]
    header = kind.header_class(block[:size], order, check=False)
    spacing = header["pixdim"][1:].copy()
    dim, magic, offset = (header[k].tolist() for k in ("dim", "magic", "vox_offset"))
    if not 1 <= dim[0] <= 7 or min(dim[1 : 1 + dim[0]]) < 1:
        raise ValueError(f"its dimensions are {dim}")
    if magic != header.single_magic:
        raise ValueError(f"magic {magic!r}; its pixels may lie in another file")
    if not header.single_vox_offset <= offset <= MAX_OFFSET or offset % 1:
        raise ValueError(f"it puts its pixels at byte {offset:g}")
    image = kind.from_stream(BytesIO(block[:size] + bytes(4)))
    dtype = header.get_data_dtype()
    if header["bitpix"] != 8 * dtype.itemsize:
        raise ValueError(f"{header['bitpix']} bits for a pixel of type {dtype}")
    if np.isinf(header["scl_slope"]):
        raise ValueError("its scaling is infinite")
    image.extra["pixdim"] = spacing[: dim[0]]
    return image, ArrayProxy(file, header, mmap=False)


def _looks_like(path: Path) -> str | None:
    """What a file that is no NIfTI is instead, by its first bytes, and the remedy."""
    try:
        with open(path, "rb") as file:
            begin = file.read(512)
    except OSError:
        return None
    packed = path.name.lower().endswith(".gz")
    if packed and begin[:4] in _KINDS:
        return "is not compressed, though its name says so; let it end in .nii"
    if not packed and begin.startswith(b"\x1f\x8b"):
        return "is compressed, though its name hides it; let it end in .nii.gz"
    if begin.lstrip().startswith((b"<", b"{")):
        return "is a web page or a server's message; log in and get the file again"
    if begin[128:132] == b"DICM":
        return "is DICOM; turn the series into slices with `vqlib data convert`"
    return None


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


def scale_volume(slices: np.ndarray) -> np.ndarray:
    """Scale a volume `[S, X, Z]` of arbitrary units to [0, 1].

    Divides by the 99.5th percentile of the volume's non-zero pixels and clips. What is
    blank stays 0.
    """
    slices = np.asarray(slices, dtype=np.float32)
    bright = _percentile(slices[slices != 0])
    if bright <= 0:
        return np.zeros_like(slices)
    scaled = slices / np.float32(bright)
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def _percentile(values: np.ndarray) -> float:
    """`np.percentile` of `[N]`, to the bit and three times as fast; 0 of nothing.

    NumPy partitions by four places at once, and is far faster with one. The last step
    is left to it. Reorders ``values``.
    """
    if values.size < 2:
        return float(values.sum())
    place = (values.size - 1) * (PERCENTILE / 100)  # between two of the sorted values
    lower = int(place)
    values.partition(lower)
    pair = np.array([values[lower], values[lower + 1 :].min()])
    return np.quantile(pair, place - lower)


def center_on_grid(image: np.ndarray) -> np.ndarray:
    """Bring `[..., X, Z]` to `[..., 256, 128]` about its centre, with no resampling.

    What is larger is cropped and what is smaller is padded with 0, evenly on both ends
    (an odd pixel as torchvision's ``center_crop`` has it). The choice is made for
    HipMRI, where one volume of 211 has slices of 256 x 144: it loses 8 pixels, 12 mm,
    at the feet and at the head. Padding the other 210 instead would teach every model a
    black rim, and resampling would give that one man another pixel size.
    """
    if tuple(image.shape[-2:]) == NATIVE_SIZE:
        return image
    crop, margins = [], [(0, 0)] * (image.ndim - 2)
    for wanted, has in zip(NATIVE_SIZE, image.shape[-2:], strict=True):
        less, more = max(has - wanted, 0), max(wanted - has, 0)
        crop.append(slice(round(less / 2), round(less / 2) + min(has, wanted)))
        margins.append((more // 2, more - more // 2))
    return np.pad(image[..., *crop], margins)


def fit_to(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring `[..., X, Z]` to a size `[..., H, W]`.

    Crops or pads to 256 x 128 (see `center_on_grid`), then shrinks both sides by one
    whole number. Floating-point images are area-averaged. Integer arrays are label
    maps: each block takes its most frequent label, and the higher one of a tie, so that
    a small organ does not lose to the body around it. Raises `UserError` for a size
    that is not 256 x 128 divided by a whole number.
    """
    factor = NATIVE_SIZE[0] // size[0] if size[0] > 0 else 0
    if factor < 1 or (size[0] * factor, size[1] * factor) != NATIVE_SIZE:
        raise UserError(
            f"size {size[0]}x{size[1]} is not 256x128 divided by a whole number; "
            "choose 256x128, 128x64, 64x32 or 32x16"
        )
    image = center_on_grid(image)
    if factor == 1:
        return image
    flat = image.reshape(-1, *NATIVE_SIZE)
    shrink = _average if np.issubdtype(image.dtype, np.floating) else _majority
    return shrink(flat, factor).reshape(*image.shape[:-2], *size)


def _average(images: np.ndarray, factor: int) -> np.ndarray:
    """The mean of each block: `[N, 256, 128]` → `[N, H, W]`."""
    total = np.zeros_like(images[:, ::factor, ::factor])
    for i in range(factor):
        for j in range(factor):
            total += images[:, i::factor, j::factor]
    return total / images.dtype.type(factor**2)


def _majority(labels: np.ndarray, factor: int) -> np.ndarray:
    """The most frequent label of each block: `[N, 256, 128]` → `[N, H, W]`."""
    n, height, width = labels.shape
    rows = (n * height // factor, factor, width)
    votes_type = np.uint8 if factor < 16 else np.uint16  # a block has factor² votes
    winner = np.zeros((rows[0], width // factor), labels.dtype)
    most = np.zeros(winner.shape, votes_type)
    for value in range(len(LABEL_NAMES)):
        is_value = (labels == value).astype(votes_type).reshape(rows)
        tall = sum(is_value[:, i] for i in range(factor))  # [N*H, 128]
        votes = sum(tall[:, i::factor] for i in range(factor))  # [N*H, W]
        np.copyto(winner, value, where=votes >= most)
        np.maximum(most, votes, out=most)
    return winner.reshape(n, height // factor, width // factor)
