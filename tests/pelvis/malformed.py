"""A corpus of slice files as they should not be, and of odd ones that are right.

Each file is made from bytes: `nifti` writes a header field by field, so that it can
say what no library would write.
"""

import gzip
import io
import json
import zipfile

import nibabel as nib
import numpy as np

SHAPE = (32, 16)
PIXELS = np.random.default_rng(0).integers(1, 300, SHAPE).astype(np.int16)
AFFINE = np.array([[-1.68, 0, 0, 90], [0, 0, -3, 10], [0, 1.56, 0, -50], [0, 0, 0, 1]])
EXTENSION = np.array([32, 6], "<i4").tobytes() + b"a comment".ljust(24, b"\0")


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


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("case_004_week_0_slice_1.nii", nifti())
    return stream.getvalue()


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, PIXELS)
    return stream.getvalue()


GOOD = gz(nifti())
HALF = len(GOOD) // 2
LOGIN = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n" * 20
MESSAGE = json.dumps({"error": "not found", "status": 404}).encode()
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
RGBA = np.dtype([*RGB.descr, ("A", "u1")])
AGAIN = "get the file again"

# name: (ending, content, what the refusal says)
REFUSED = {
    # cut short
    "empty": (".nii.gz", b"", ["it is empty", AGAIN]),
    "empty plain": (".nii", b"", ["it is empty", AGAIN]),
    "empty inside": (".nii.gz", gz(b""), ["it is empty", AGAIN]),
    "gz of one byte": (".nii.gz", GOOD[:1], ["truncated", AGAIN]),
    "gz header alone": (".nii.gz", GOOD[:10], ["truncated", AGAIN]),
    "gz cut early": (".nii.gz", GOOD[:60], ["truncated", AGAIN]),
    "gz cut at half": (".nii.gz", GOOD[:HALF], ["truncated", AGAIN]),
    "gz without sum": (".nii.gz", GOOD[:-8], ["truncated", AGAIN]),
    "gz without last byte": (".nii.gz", GOOD[:-1], ["truncated", AGAIN]),
    "plain header cut": (".nii", nifti(cut=100), ["truncated", AGAIN]),
    "plain header alone": (".nii", nifti(cut=348), ["truncated", AGAIN]),
    "plain pixels cut": (".nii", nifti(cut=-1), ["truncated", AGAIN]),
    "header cut inside gz": (".nii.gz", gz(nifti(cut=200)), ["truncated", AGAIN]),
    "pixels cut inside gz": (".nii.gz", gz(nifti(cut=-100)), ["Expected", AGAIN]),
    "NIfTI-2 cut": (".nii.gz", gz(nifti(version=2, cut=400)), ["truncated", AGAIN]),
    # flipped bits
    "gz magic flipped": (".nii.gz", flipped(GOOD, 0), ["gzip", AGAIN]),
    "gz method flipped": (".nii.gz", flipped(GOOD, 2), ["compression", AGAIN]),
    "gz flags flipped": (".nii.gz", flipped(GOOD, 3, 4), ["truncated", AGAIN]),
    "first block flipped": (".nii.gz", flipped(GOOD, 11), ["truncated", AGAIN]),
    "middle flipped": (".nii.gz", flipped(GOOD, HALF), ["truncated", AGAIN]),
    "one bit flipped": (".nii.gz", flipped(GOOD, HALF, 1), ["truncated", AGAIN]),
    "zeroed": (".nii.gz", GOOD[:99] + bytes(40) + GOOD[139:], ["truncated", AGAIN]),
    "sum flipped": (".nii.gz", flipped(GOOD, -8), ["CRC", AGAIN]),
    "length flipped": (".nii.gz", flipped(GOOD, -1), ["length", AGAIN]),
    "second member flipped": (".nii.gz", GOOD + flipped(gz(b""), -8), ["CRC", AGAIN]),
    # something else
    "not compressed": (".nii.gz", nifti(), ["is not compressed", "let it end in .nii"]),
    "compressed": (".nii", GOOD, ["is compressed", "let it end in .nii.gz"]),
    "compressed twice": (".nii.gz", gz(GOOD), ["it begins with", AGAIN]),
    "login page": (".nii.gz", LOGIN, ["web page", "log in"]),
    "login page, plain": (".nii", b"\n" + LOGIN, ["web page", "log in"]),
    "login page inside gz": (".nii.gz", gz(LOGIN), ["b'<!DOCTYP'", AGAIN]),
    "message of a server": (".nii.gz", MESSAGE, ["server's message", AGAIN]),
    "text": (".nii", b"case,week\n4,0\n" * 60, ["it begins with b'case,wee'"]),
    "zip archive": (".nii.gz", _zip(), ["gzip", AGAIN]),
    "NumPy file": (".nii", _npy(), ["NUMPY", AGAIN]),
    "PNG": (".nii", b"\x89PNG\r\n\x1a\n" + bytes(500), ["PNG", AGAIN]),
    "DICOM": (".nii", bytes(128) + b"DICM" + bytes(500), ["is DICOM", "data convert"]),
    "MGH": (".nii.gz", gz(b"\0\0\0\x01" + bytes(999)), ["it begins with", AGAIN]),
    "noise": (".nii", np.random.default_rng(1).bytes(900), ["it begins with", AGAIN]),
    "zeros": (".nii", bytes(900), ["it begins with", AGAIN]),
    "Analyze": (".nii", nifti(magic=b""), ["magic b''", AGAIN]),
    "header of a pair": (".nii", nifti(magic=b"ni1"), ["in another file", AGAIN]),
    "wrong magic": (".nii.gz", gz(nifti(magic=b"n+7")), ["magic b'n+7'", AGAIN]),
    # headers that cannot be
    "size of header 0": (".nii.gz", gz(nifti(sizeof_hdr=0)), ["it begins with"]),
    "size of header 349": (".nii.gz", gz(nifti(sizeof_hdr=349)), ["it begins with"]),
    "half swapped": (
        ".nii",
        nifti()[:4] + nifti(order=">")[4:],
        ["its dimensions are [512, ", AGAIN],
    ),
    "no dimensions": (
        ".nii.gz",
        gz(nifti(dim=(0, 0))),
        ["its dimensions are [0, 32, 16"],
    ),
    "8 dimensions": (
        ".nii.gz",
        gz(nifti(dim=(0, 8))),
        ["its dimensions are [8, 32, 16"],
    ),
    "-1 dimensions": (
        ".nii.gz",
        gz(nifti(dim=(0, -1))),
        ["its dimensions are [-1, 32, 16"],
    ),
    "no rows": (".nii.gz", gz(nifti(dim=(1, 0))), ["its dimensions are [2, 0, 16"]),
    "negative columns": (
        ".nii",
        nifti(dim=(2, -16)),
        ["its dimensions are [2, 32, -16"],
    ),
    "FreeSurfer's -1": (
        ".nii",
        nifti(dim=(1, -1), glmin=512),
        ["its dimensions are [2, -1"],
    ),
    "one dimension": (".nii.gz", gz(nifti(dim=(0, 1))), ["not a 2D slice"]),
    "too few rows": (
        ".nii.gz",
        gz(nifti(dim=(1, 31))),
        ["after the last pixel", AGAIN],
    ),
    "too many rows": (".nii.gz", gz(nifti(dim=(1, 33))), ["Expected", AGAIN]),
    "huge": (
        ".nii.gz",
        gz(nifti(dim=(slice(1, 3), 30_000))),
        ["declares 30000 x 30000 pixels", "1 to 1024", AGAIN],
    ),
    "huge in 7 dimensions": (
        ".nii.gz",
        gz(nifti(dim=[7] + 7 * [32767])),
        ["not a 2D slice"],
    ),
    "huge NIfTI-2": (
        ".nii.gz",
        gz(nifti(version=2, dim=(1, 2**62))),
        [f"declares {2**62} x 16 pixels"],
    ),
    "3D": (".nii.gz", gz(nifti(PIXELS.reshape(8, 8, 8))), ["8 x 8 x 8", "convert"]),
    "4D": (".nii.gz", gz(nifti(PIXELS.reshape(8, 4, 4, 4))), ["8 x 4 x 4 x 4", "2D"]),
    "vectors": (".nii", nifti(PIXELS.reshape(8, 8, 1, 1, 8)), ["not a 2D slice"]),
    "RGB": (".nii.gz", gz(nifti(np.zeros(SHAPE, RGB))), ["colour", "grey values"]),
    "RGBA": (".nii.gz", gz(nifti(np.zeros(SHAPE, RGBA))), ["colour", "grey values"]),
    "complex64": (".nii", nifti(PIXELS.astype(np.complex64)), ["complex pixels"]),
    "complex128": (".nii", nifti(PIXELS.astype(np.complex128)), ["complex pixels"]),
    "no type": (".nii.gz", gz(nifti(datatype=0)), ["no NIfTI file", AGAIN]),
    "unknown type": (".nii.gz", gz(nifti(datatype=7)), ["data code 7", AGAIN]),
    "bits": (".nii.gz", gz(nifti(datatype=1, bitpix=1)), ["no NIfTI file", AGAIN]),
    "bitpix of another type": (
        ".nii.gz",
        gz(nifti(bitpix=8)),
        ["8 bits for a pixel of type int16"],
    ),
    "type of another bitpix": (
        ".nii.gz",
        gz(nifti(datatype=16)),
        ["16 bits for a pixel of type float32"],
    ),
    "offset 0": (".nii.gz", gz(nifti(vox_offset=0)), ["pixels at byte 0"]),
    "offset in the header": (".nii", nifti(vox_offset=348), ["pixels at byte 348"]),
    "offset negative": (".nii", nifti(vox_offset=-352), ["pixels at byte -352"]),
    "offset with a half": (".nii", nifti(vox_offset=352.5), ["pixels at byte 352.5"]),
    "offset NaN": (".nii.gz", gz(nifti(vox_offset=np.nan)), ["pixels at byte nan"]),
    "offset infinite": (".nii.gz", gz(nifti(vox_offset=np.inf)), ["pixels at byte"]),
    "offset of a gigabyte": (".nii", nifti(vox_offset=2**30), ["pixels at byte 1.0"]),
    "offset one too high": (".nii.gz", gz(nifti(vox_offset=353)), ["Expected", AGAIN]),
    "offset too low": (
        ".nii.gz",
        gz(nifti(gap=bytes(20), vox_offset=352)),
        ["after the last pixel", AGAIN],
    ),
    "offset past the end": (".nii.gz", gz(nifti(vox_offset=9**6)), ["Expected 1024"]),
    "slope infinite": (".nii.gz", gz(nifti(scl_slope=np.inf)), ["scaling is infinite"]),
    "intercept infinite": (".nii", nifti(scl_inter=-np.inf), ["intercept -inf", AGAIN]),
    "intercept NaN": (".nii.gz", gz(nifti(scl_inter=np.nan)), ["intercept nan", AGAIN]),
    "quaternion too long": (
        ".nii.gz",
        gz(nifti(sform_code=0, qform_code=1, quatern_b=1, quatern_c=1)),
        ["no NIfTI file", AGAIN],
    ),
    # pixels that are no numbers
    "NaN": (".nii.gz", gz(nifti(with_pixel(np.nan))), ["NaN or infinite", "export"]),
    "infinite": (".nii.gz", gz(nifti(with_pixel(np.inf))), ["NaN or infinite"]),
    "minus infinite": (".nii", nifti(with_pixel(-np.inf)), ["NaN or infinite"]),
    "beyond float32": (".nii", nifti(with_pixel(1e300, float)), ["NaN or infinite"]),
    "scaled beyond": (".nii.gz", gz(nifti(scl_slope=3e38)), ["NaN or infinite"]),
    # too much
    "garbage after the pixels": (
        ".nii.gz",
        gz(nifti(tail=b"x")),
        ["after the last pixel"],
    ),
    "garbage after plain pixels": (
        ".nii",
        nifti(tail=bytes(8)),
        ["after the last pixel"],
    ),
    "garbage after the gz": (".nii.gz", GOOD + b"garbage", ["gzip", AGAIN]),
    "file twice in one": (".nii.gz", GOOD + GOOD, ["after the last pixel", AGAIN]),
}

# name: (ending, content, the pixels that must come)
RIGHT = {
    "gz": (".nii.gz", GOOD, PIXELS),
    "plain": (".nii", nifti(), PIXELS),
    "big-endian": (".nii.gz", gz(nifti(order=">")), PIXELS),
    "big-endian float": (
        ".nii",
        nifti(PIXELS.astype(np.float32) / 7, order=">"),
        PIXELS.astype(np.float32) / 7,
    ),
    "NIfTI-2": (".nii.gz", gz(nifti(version=2)), PIXELS),
    "NIfTI-2, big-endian": (".nii.gz", gz(nifti(version=2, order=">")), PIXELS),
    **{
        np.dtype(t).name: (".nii.gz", gz(nifti(PIXELS.astype(t))), PIXELS.astype(t))
        for t in ("i1", "u1", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
    },
    "scaled": (".nii.gz", gz(nifti(scl_slope=0.5, scl_inter=3)), PIXELS * 0.5 + 3),
    "scaled by a negative": (".nii", nifti(scl_slope=-1, scl_inter=300), 300 - PIXELS),
    "scaled, big-endian": (".nii", nifti(order=">", scl_slope=2), PIXELS * 2),
    "slope 0": (".nii.gz", gz(nifti(scl_slope=0, scl_inter=5)), PIXELS),
    "slope NaN": (".nii.gz", gz(nifti(scl_slope=np.nan)), PIXELS),
    "a third dimension of 1": (".nii.gz", gz(nifti(PIXELS[..., None])), PIXELS),
    "5 dimensions": (".nii", nifti(PIXELS[..., None, None, None]), PIXELS),
    "comment": (".nii.gz", gz(nifti(gap=b"\1\0\0\0" + EXTENSION)), PIXELS),
    "nonsense for extensions": (
        ".nii.gz",
        gz(nifti(gap=b"\1\0\0\0" + b"\xff" * 60)),
        PIXELS,
    ),
    "extension of size 0": (".nii.gz", gz(nifti(gap=b"\1" + bytes(67))), PIXELS),
    "pixels at an odd byte": (".nii", nifti(gap=bytes(5)), PIXELS),
    "strange description": (".nii", nifti(descrip=b"\xff\xfe\n" * 20), PIXELS),
    "micrometres": (
        ".nii",
        nifti(xyzt_units=3, pixdim=(slice(1, 3), (1680, 1560))),
        PIXELS,
    ),
    "two gz members": (".nii.gz", gz(nifti()[:700]) + gz(nifti()[700:]), PIXELS),
    "gz padded with zeros": (".nii.gz", GOOD + bytes(512), PIXELS),
    "gz not deflated": (".nii.gz", gz(nifti(), 0), PIXELS),
    "blank": (".nii.gz", gz(nifti(PIXELS * 0)), PIXELS * 0),
}

_ZERO, _NAN = np.zeros(4), np.full(4, np.nan)
# name: (header and pixels, what `vqlib data check` says); `read_slice` takes them
LISTED = {
    "spacing 0": (dict(pixdim=(1, 0)), "spacing of 0x1.56 mm"),
    "spacing negative": (dict(pixdim=(2, -1.56)), "spacing of 1.68x-1.56 mm"),
    "spacing NaN": (dict(pixdim=(1, np.nan)), "spacing of nanx1.56 mm"),
    "spacing infinite": (dict(pixdim=(1, np.inf)), "spacing of infx1.56 mm"),
    "spacing absurd": (dict(pixdim=(1, 1e9)), "spacing of 1e+09x1.56 mm"),
    "spacing tiny": (dict(pixdim=(1, 1e-9)), "spacing of 1e-09x1.56 mm"),
    "spacing in metres": (dict(xyzt_units=1), "spacing of 1680x1560 mm"),
    "affine of zeros": (
        dict(srow_x=_ZERO, srow_y=_ZERO, srow_z=_ZERO),
        "singular affine",
    ),
    "affine with a column twice": (
        dict(srow_x=[1, 1, 0, 0], srow_y=[2, 2, 0, 0], srow_z=[0, 0, 1, 0]),
        "singular affine",
    ),
    "affine NaN": (dict(srow_y=_NAN), "singular affine"),
    "affine infinite": (dict(srow_x=(0, np.inf)), "singular affine"),
    "no affine": (dict(sform_code=0), "has no affine, so nothing says which side is"),
    "constant": (dict(pixels=PIXELS * 0 + 7), "is constant: every pixel is 7"),
    "constant by scaling": (
        dict(scl_slope=1e-30, scl_inter=9),
        "is constant: every pixel is 9",
    ),
    "wider than its volume": (
        dict(pixels=np.tile(PIXELS, 2)),
        "is 32x32, but its volume is 32x16",
    ),
}

_MAP = (PIXELS % 6).astype(np.uint8)
# name: (content of a label map, what the refusal says)
LABELS = {
    "value 6": (
        gz(nifti(np.where(_MAP == 5, 6, _MAP))),
        "has the value 6, which is no",
    ),
    "value -1": (gz(nifti(with_pixel(-1, np.int16) % 6 - 1)), "has the value -1"),
    "value 2.5": (gz(nifti(_MAP + np.float32(0.5))), "which is no label"),
    "value NaN": (gz(nifti(np.where(_MAP == 5, np.nan, _MAP))), "has the value nan"),
    "values 0 and 255": (gz(nifti((_MAP > 2).astype(np.uint8) * 255)), "value 255"),
    "halved by scaling": (gz(nifti(_MAP, scl_slope=0.5)), "has the value 1.5"),
    "another shape": (gz(nifti(_MAP[:16])), "is 16x16, but its image is 32x16"),
    "turned": (gz(nifti(_MAP.T.copy())), "is 16x32, but its image is 32x16"),
    "colours": (gz(nifti(np.zeros(SHAPE, RGB))), "colour pixels"),
    "probabilities": (gz(nifti(np.zeros((*SHAPE, 6), "f4"))), "not a 2D slice"),
    "cut": (gz(nifti(_MAP))[:-30], "truncated or no NIfTI file"),
    "flipped": (flipped(gz(nifti(_MAP)), -20), "truncated or no NIfTI file"),
    "login page": (LOGIN, "web page"),
    "empty": (b"", "it is empty"),
}
