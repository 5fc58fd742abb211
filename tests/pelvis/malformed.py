"""Slice files as they should not be, and odd ones that are right: one table each.

Each file is made from bytes: `nifti` writes a header field by field, so that it can
say what no library would write.
"""

import gzip

import nibabel as nib
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SHAPE = (32, 16)
PIXELS = np.random.default_rng(0).integers(1, 300, SHAPE).astype(np.int16)
AFFINE = np.array([[-1.68, 0, 0, 90], [0, 0, -3, 10], [0, 1.56, 0, -50], [0, 0, 0, 1]])


def nifti(
    pixels=PIXELS, order="<", version=1, gap=bytes(4), tail=b"", cut=None, **fields
) -> bytes:
    """A NIfTI file that holds the pixels, with other header fields where given.

    ``gap`` lies between header and pixels (extensions, padding), ``tail`` after the
    pixels; ``cut`` keeps that many bytes. A field is a value, or a pair of the index
    and the value of one element.
    """
    kind = {1: nib.Nifti1Header, 2: nib.Nifti2Header}[version]
    header = kind(endianness=order)
    header.set_data_dtype(pixels.dtype)
    header.set_data_shape(pixels.shape)
    header.set_xyzt_units("mm")
    header.set_sform(AFFINE, code=1)
    header["pixdim"][1:3] = 1.68, 1.56
    header["magic"] = header.single_magic
    header["vox_offset"] = header.sizeof_hdr + len(gap)
    header["scl_slope"], header["scl_inter"] = 1, 0
    for name, value in fields.items():
        if isinstance(value, tuple):
            header[name][value[0]] = value[1]
        else:
            header[name] = value
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes("F")
    return (header.binaryblock + gap + data + tail)[:cut]


def gz(content: bytes, level: int = 6) -> bytes:
    return gzip.compress(content, level, mtime=0)


def flipped(content: bytes, at: int, bits: int = 0xFF) -> bytes:
    """One byte changed; a place below zero counts from the end."""
    changed = bytearray(content)
    changed[at] ^= bits
    return bytes(changed)


def with_pixel(value, dtype=np.float32) -> np.ndarray:
    pixels = PIXELS.astype(dtype)
    pixels[3, 5] = value
    return pixels


def plain(pixels=PIXELS, **fields) -> tuple[str, bytes]:
    """The ending and the content of a file that is not compressed."""
    return ".nii", nifti(pixels, **fields)


def packed(pixels=PIXELS, **fields) -> tuple[str, bytes]:
    return ".nii.gz", gz(nifti(pixels, **fields))


GOOD = gz(nifti())
HALF = len(GOOD) // 2
LOGIN = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n" * 20
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
CUT = "truncated or no NIfTI file"

# name: ((ending, content), what the refusal says)
REFUSED = {
    # cut short
    "empty": ((".nii.gz", b""), "it is empty"),
    "gz cut at half": ((".nii.gz", GOOD[:HALF]), CUT),
    "plain header cut": (plain(cut=100), CUT),
    "plain pixels cut": (plain(cut=-1), CUT),
    "pixels cut inside gz": (packed(cut=-100), "Expected"),
    # flipped bits
    "gz magic flipped": ((".nii.gz", flipped(GOOD, 0)), "gzip"),
    "sum flipped": ((".nii.gz", flipped(GOOD, -8)), "CRC"),
    # something else
    "not compressed": ((".nii.gz", nifti()), "is not compressed.*let it end in .nii"),
    "compressed": ((".nii", GOOD), "is compressed.*let it end in .nii.gz"),
    "login page": ((".nii.gz", LOGIN), "web page.*log in"),
    "message of a server": ((".nii.gz", b'{"status": 404}'), "server's message"),
    "text": ((".nii", b"case,week\n4,0\n" * 60), "it begins with b'case,wee'"),
    "NumPy file": ((".nii", b"\x93NUMPY\1\0" + bytes(500)), "NUMPY"),
    "DICOM": ((".nii", bytes(128) + b"DICM" + bytes(500)), "is DICOM.*data convert"),
    "Analyze": (plain(magic=b""), "magic b''"),
    "wrong magic": (packed(magic=b"n+7"), r"magic b'n\+7'"),
    # headers that cannot be
    "size of header 0": (packed(sizeof_hdr=0), "it begins with"),
    "half swapped": ((".nii", nifti()[:4] + nifti(order=">")[4:]), r"are \[512, "),
    "no dimensions": (packed(dim=(0, 0)), r"its dimensions are \[0, 32, 16"),
    "8 dimensions": (packed(dim=(0, 8)), r"its dimensions are \[8, 32, 16"),
    "one dimension": (packed(dim=(0, 1)), "not a 2D slice"),
    "too few rows": (packed(dim=(1, 31)), "after the last pixel"),
    "huge": (packed(dim=(slice(1, 3), 30_000)), "is 30000 x 30000 pixels, more"),
    "huge NIfTI-2": (packed(version=2, dim=(1, 2**62)), "x 16 pixels, more"),
    "3D": (packed(PIXELS.reshape(8, 8, 8)), "8 x 8 x 8.*convert"),
    "RGB": (packed(np.zeros(SHAPE, RGB)), "in colour.*grey values"),
    "complex": (plain(PIXELS.astype(np.complex64)), "pixels, complex"),
    "unknown type": (packed(datatype=7), "data code 7"),
    "bitpix of another type": (packed(bitpix=8), "8 bits for a pixel of type int16"),
    "offset 0": (packed(vox_offset=0), "pixels at byte 0"),
    "offset with a half": (plain(vox_offset=352.5), "pixels at byte 352.5"),
    "offset past the end": (packed(vox_offset=9**6), "Expected 1024"),
    "slope infinite": (packed(scl_slope=np.inf), "scaling is infinite"),
    "quaternion too long": (
        packed(sform_code=0, qform_code=1, quatern_b=(..., 2)),
        CUT,
    ),
    # pixels that are no numbers
    "NaN": (packed(with_pixel(np.nan)), "NaN or infinite.*export"),
    "beyond float32": (plain(with_pixel(1e300, float)), "NaN or infinite"),
    "scaled beyond": (packed(scl_slope=3e38), "NaN or infinite"),
    # too much
    "more after the pixels": (packed(tail=b"x"), "after the last pixel"),
    "more after the gz": ((".nii.gz", GOOD + b"garbage"), "gzip"),
    "file twice in one": ((".nii.gz", GOOD + GOOD), "after the last pixel"),
}

_F4 = PIXELS.astype(np.float32) / 7
_COMMENT = (
    b"\1\0\0\0" + np.array([32, 6], "<i4").tobytes() + b"a comment".ljust(24, b"\0")
)
# name: ((ending, content), the pixels that must come)
RIGHT = {
    "gz": (packed(), PIXELS),
    "plain": (plain(), PIXELS),
    "big-endian": (packed(order=">"), PIXELS),
    "NIfTI-2": (packed(version=2), PIXELS),
    **{
        kind: (packed(PIXELS.astype(kind)), PIXELS.astype(kind))
        for kind in ("i1", "u1", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
    },
    "scaled": (packed(scl_slope=0.5, scl_inter=3), PIXELS * 0.5 + 3),
    "slope 0": (packed(scl_slope=0, scl_inter=5), PIXELS),
    "5 dimensions": (plain(PIXELS[..., None, None, None]), PIXELS),
    "comment": (packed(gap=_COMMENT), PIXELS),
    "nonsense for extensions": (packed(gap=b"\1\0\0\0" + b"\xff" * 60), PIXELS),
    "pixels at an odd byte": (plain(gap=bytes(5)), PIXELS),
    "micrometres": (plain(xyzt_units=3, pixdim=(slice(1, 3), (1680, 1560))), PIXELS),
    "two gz members": ((".nii.gz", gz(nifti()[:700]) + gz(nifti()[700:])), PIXELS),
    "gz padded with zeros": ((".nii.gz", GOOD + bytes(512)), PIXELS),
}

_ZERO, _TWICE = np.zeros(4), np.array([1.0, 1, 0, 0])
# name: (file, what `vqlib data check` says); `read_slice` takes them
LISTED = {
    "spacing 0": (plain(pixdim=(1, 0)), "spacing of 0x1.56 mm"),
    "spacing in metres": (plain(xyzt_units=1), "spacing of 1680x1560 mm"),
    "a column twice": (plain(srow_x=_TWICE, srow_y=2 * _TWICE), "singular affine"),
    "affine NaN": (plain(srow_y=np.full(4, np.nan)), "singular affine"),
    "no affine": (plain(sform_code=0), "has no affine, so nothing says which side is"),
    "constant": (plain(PIXELS * 0 + 7), "is constant: every pixel is 7"),
    "wider than its volume": (plain(np.tile(PIXELS, 2)), "but its volume is 32x16"),
}

_MAP = (PIXELS % 6).astype(np.uint8)
_SIX, _NAN = np.where(_MAP == 5, 6, _MAP), np.where(_MAP == 5, np.nan, _MAP)
# name: (label map, what the refusal says)
LABELS = {
    "value 6": (packed(_SIX), "has the value 6, which is no"),
    "value -1": (packed(with_pixel(-1, np.int16) % 6 - 1), "has the value -1"),
    "value NaN": (packed(_NAN), "has the value nan"),
    "halved by scaling": (packed(_MAP, scl_slope=0.5), "has the value 1.5"),
    "turned": (packed(_MAP.T.copy()), "is 16x32, but its image is 32x16"),
    "probabilities": (packed(np.zeros((*SHAPE, 6), "f4")), "not a 2D slice"),
    "cut": ((".nii.gz", gz(nifti(_MAP))[:-30]), CUT),
}

FUZZ = settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
_SHORT, _FLOAT = st.integers(-(2**15), 2**15 - 1), st.floats(width=32)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "datatype": _SHORT | st.sampled_from([2, 4, 8, 16, 64]),
        "bitpix": _SHORT | st.sampled_from([8, 16, 32, 64]),
        "vox_offset": _FLOAT,
        "magic": st.binary(max_size=4),
        "dim": st.tuples(st.integers(0, 7), _SHORT),
        "pixdim": st.tuples(st.integers(0, 7), _FLOAT),
        "sform_code": st.integers(-9, 9),
        "qform_code": st.integers(-9, 9),
        "quatern_b": _FLOAT,
        "srow_x": st.tuples(st.integers(0, 3), _FLOAT),
        "xyzt_units": st.integers(0, 255),
    },
)
