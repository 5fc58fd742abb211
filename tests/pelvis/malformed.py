"""Slice files as they should not be, and odd ones that are right: one table each.

Each file is made from bytes: `nifti` writes a header field by field, so that it can
say what no library would write.
"""

import gzip

import nibabel as nib
import numpy as np
from hypothesis import HealthCheck, settings

SHAPE = (32, 16)
PIXELS = np.random.default_rng(0).integers(1, 300, SHAPE).astype(np.int16)
AFFINE = np.array([[-1.68, 0, 0, 90], [0, 0, -3, 10], [0, 1.56, 0, -50], [0, 0, 0, 1]])


def nifti(
    pixels=PIXELS,
    affine=AFFINE,
    qform=None,
    order="<",
    version=1,
    gap=bytes(4),
    tail=b"",
    cut=None,
    **fields,
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
    header.set_sform(affine, code=1)
    header["pixdim"][1:3] = 1.68, 1.56
    if qform is not None:
        header.set_qform(qform, code=1)
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


def plain(pixels=PIXELS, **fields) -> tuple[str, bytes]:
    """The ending and the content of a file that is not compressed."""
    return ".nii", nifti(pixels, **fields)


def packed(pixels=PIXELS, **fields) -> tuple[str, bytes]:
    return ".nii.gz", gz(nifti(pixels, **fields))


GOOD = gz(nifti())
CUT = "truncated or no NIfTI file"

RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
# name: ((ending, content), what `check` and `read_slice` say)
REFUSED = {
    # cut short
    "nothing": ((".nii.gz", b""), "it is empty.*get the file again"),
    "gz cut": ((".nii.gz", GOOD[:700]), CUT),
    "plain header cut": (plain(cut=100), CUT),
    "plain pixels cut": (plain(cut=-1), CUT),
    "pixels cut inside gz": (packed(cut=-100), "Expected"),
    # flipped bits
    "a pixel flipped inside gz": ((".nii.gz", flipped(GOOD, 700)), CUT),
    "check sum flipped": ((".nii.gz", flipped(GOOD, -6)), "CRC"),
    # something else
    "compressed": ((".nii", GOOD), "is compressed.*let it end in .nii.gz"),
    "not compressed": ((".nii.gz", nifti()), "is not compressed.*let it end in .nii"),
    "web page": ((".nii.gz", b"<html>404</html>" * 100), "web page.*log in"),
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
    "too few rows": (packed(dim=(1, 31)), "after the last pixel"),
    "huge NIfTI-2": (packed(version=2, dim=(1, 2**62)), "x 16 pixels, more"),
    "unknown type": (packed(datatype=7), "data code 7"),
    "bitpix of another type": (packed(bitpix=8), "8 bits for a pixel of type int16"),
    "offset 0": (packed(vox_offset=0), "pixels at byte 0"),
    "offset with a half": (plain(vox_offset=352.5), "pixels at byte 352.5"),
    "offset past the end": (packed(vox_offset=9**6), "Expected 1024"),
    "slope infinite": (packed(scl_slope=np.inf), "scaling is infinite"),
    "quaternion too long": (packed(sform_code=0, qform_code=1, quatern_b=2), CUT),
    "scaled beyond": (packed(scl_slope=3e38), "NaN or infinite"),
    # pixels that are none
    "NaN": (packed(np.full((8, 8), np.nan)), "NaN or infinite"),
    "beyond float32": (packed(np.full((8, 8), 1e300)), "NaN or infinite"),
    "a volume": (packed(np.ones((8, 8, 4), "f4")), "8 x 8 x 4 pixels, not a 2D slice"),
    "a line": (packed(np.ones(8, "f4")), "not a 2D slice"),
    "colour": (packed(np.zeros((8, 8), RGB)), "in colour; export it as grey values"),
    "complex": (packed(np.zeros((8, 8), np.complex64)), "complex"),
    "too large": (packed(np.zeros((1025, 8), np.int16)), "more than 1024 on a side"),
    # too much
    "more after the pixels": (packed(tail=b"x"), "after the last pixel"),
    "more after the gz": ((".nii.gz", GOOD + b"garbage"), "gzip"),
}

# name: (ending, content); the pixels are PIXELS all the same
RIGHT = {
    "NIfTI-2": packed(version=2),
    "slope 0": packed(scl_slope=0, scl_inter=5),
    "5 dimensions": plain(PIXELS[..., None, None, None]),
    "nonsense for extensions": packed(gap=b"\1\0\0\0" + b"\xff" * 60),
    "pixels at an odd byte": plain(gap=bytes(5)),
    "micrometres": plain(xyzt_units=3, pixdim=(slice(1, 3), (1680, 1560))),
    "two gz members": (".nii.gz", gz(nifti()[:700]) + gz(nifti()[700:])),
    "gz padded with zeros": (".nii.gz", GOOD + bytes(512)),
}

_TWICE = np.array([1.0, 1, 0, 0])
# name: (file, what `vqlib data check` says); `read_slice` takes them
LISTED = {
    "spacing 0": (plain(pixdim=(1, 0)), "spacing of 0x1.56 mm"),
    "spacing in metres": (plain(xyzt_units=1), "spacing of 1680x1560 mm"),
    "a column twice": (plain(srow_x=_TWICE, srow_y=2 * _TWICE), "singular affine"),
    "affine NaN": (plain(srow_y=np.full(4, np.nan)), "singular affine"),
    "no affine": (plain(sform_code=0), "has no affine, so nothing says which side is"),
}

FUZZ = settings(
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
