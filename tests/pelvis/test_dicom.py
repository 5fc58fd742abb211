import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from malformed import FUZZ
from pydicom.uid import JPEGLSLossless, RLELossless
from scan_files import coronal_series, dicom_image, sample, turn, write_dicom
from slice_files import refusal

from pelvis.scans import find_scans
from pelvis.volumes import read_volume
from vqlib.errors import UserError

TINY = {"shape": (12, 16, 6), "spacing": (25.0, 25.0, 40.0)}


def only(folder):
    (source,), faults, _ = find_scans(folder, progress=False)
    assert not faults
    return source


def refused(folder, images):
    write_dicom(folder, images)
    line = refusal(read_volume, only(folder))
    assert str(folder) in line
    return line


def pixels_of(folder, images):
    write_dicom(folder, images)
    return read_volume(only(folder)).pixels


@pytest.mark.parametrize("tilt", [None, turn(0, 15) @ turn(2, 8)])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, -3)])
def test_a_series_lies_where_its_header_says(tmp_path, tilt, slope, intercept):
    scale = {"RescaleSlope": slope, "RescaleIntercept": intercept}
    images = coronal_series((30, 50, 12), (10.0, 8.0, 21.0), tilt, **scale)
    write_dicom(tmp_path, images)
    volume = read_volume(only(tmp_path))
    assert volume.pixels.shape == (30, 50, 12)
    assert volume.pixels.dtype == (np.uint16 if slope == 1 else np.float32)
    assert np.allclose(np.linalg.norm(volume.affine[:3, :3], axis=0), (10, 8, 21))
    expected = sample(volume.pixels.shape, volume.affine)  # bright at the left hip
    assert np.abs(volume.pixels - (expected * slope + intercept)).max() <= 0.51


def test_what_is_found(tmp_path):
    """Series are told by UID, at any depth and under any name, and are in the order of
    dates; what is damaged is named, what is no MR image counted."""
    write_dicom(tmp_path / "a", coronal_series(**TINY, StudyDate="20200301"))
    earlier = {"series": "30", "PatientID": "", "StudyDate": "20190301"}
    for image in coronal_series(**TINY, **earlier):
        folder = tmp_path / "a" / f"{image.InstanceNumber}"
        folder.mkdir()
        image.save_as(folder / "IM", enforce_file_format=True)
    write_dicom(tmp_path / "ct", coronal_series(**TINY, series="5", Modality="CT"))
    report = dicom_image(np.ones((2, 2)), (0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1), "6")
    report.Modality = "SR"
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    write_dicom(tmp_path / "sr", [report])
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    for name, content in {"a.dcm": b"", "b.dcm": b"x" * 400, "c.IMA": b"DICM"}.items():
        (tmp_path / name).write_bytes(content)
    two = coronal_series(**TINY, series="8")
    two[3].PatientID = "other"
    write_dicom(tmp_path / "two", two)
    sources, faults, notes = find_scans(tmp_path, progress=False)
    assert notes == ["7 DICOM files that are no MR images were passed over"]
    *damaged, patients = faults
    assert len(damaged) == 3
    assert all("get the file again" in fault for fault in damaged)
    assert "belongs to 2 patients" in patients
    sources.sort(key=lambda source: source.when)
    found = [(s.series, s.patient, len(s.files)) for s in sources]
    assert found == [("1.2.30", "study 1.2.3", 6), ("1.2.1", "man 7", 6)]


def changed(index=3, **tags):
    """A series with other tags in one of its images, or in ``all``; ... takes away."""
    images = coronal_series(**TINY)
    for image in images if index is all else [images[index]]:
        for name, value in tags.items():
            delattr(image, name) if value is ... else setattr(image, name, value)
    return images


def with_copy(images):
    """One slice comes twice, as in a series of two echoes."""
    return [*images, changed(2, InstanceNumber=50, SOPInstanceUID="1.2.9.50")[2]]


def moved(by):
    place = np.array(coronal_series(**TINY)[3].ImagePositionPatient, float)
    return changed(ImagePositionPatient=list(place + by))


ALL = coronal_series(**TINY)
LEFT_AND_BACK = [1, 0, 0, 0, 1, 0]
UNEVEN = "not evenly apart .*dcm lies .* mm off"
# (a series, what the refusal says)
REFUSED = [
    (ALL[:2] + ALL[3:], UNEVEN),
    (with_copy(ALL), UNEVEN),
    (moved((0, 8, 0)), UNEVEN),
    (moved((30, 0, 0)), UNEVEN),
    (ALL[:1], "has 1 slices, too few"),
    (changed(ImageOrientationPatient=LEFT_AND_BACK), "several directions"),
    (changed(PixelSpacing=[20, 20]), "several pixel spacings"),
    (changed(Rows=16, Columns=12), "several sizes"),
    (changed(PhotometricInterpretation="RGB", SamplesPerPixel=3), "RGB pixels"),
    (changed(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    (changed(Rows=60_000, Columns=60_000), "60000 x 60000"),
    (changed(NumberOfFrames=10**9), "1000000000 images"),
    (changed(ImagePositionPatient=None), "truncated or no DICOM"),
    (changed(all, ImageOrientationPatient=...), "no DICOM .*ImageOrientationPatient"),
    (changed(all, PixelSpacing=[0, 0]), "no positive"),
    (changed(all, PixelSpacing=[1e-4, 1e-4]), "voxels of 0.0001 x 0.0001 x 40 mm"),
    (changed(all, PixelSpacing=[500, 500]), "voxels of 500 x 500 x 40 mm"),
    (changed(all, PixelData=bytes(2 * 12 * 16)), "the value 0 everywhere"),
    (changed(PixelData=bytes(2 * 12 * 16 - 100)), "truncated"),
]


@pytest.mark.parametrize(("images", "words"), REFUSED)
def test_series_that_are_refused(tmp_path, images, words):
    line = refused(tmp_path, images)
    assert re.search(words, line), line
    assert "; " in line  # then the remedy


def test_compressed_pixels(tmp_path):
    images = coronal_series(**TINY)
    plain = pixels_of(tmp_path / "a", images)
    for image in images:
        image.compress(RLELossless)
    assert (pixels_of(tmp_path / "b", images) == plain).all()
    for image in images:
        image.file_meta.TransferSyntaxUID = JPEGLSLossless
    said = refused(tmp_path / "c", images)
    assert "convert the series to NIfTI with dcm2niix" in said


DAMAGE = st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4))


@FUZZ
@given(
    damage=st.lists(DAMAGE, min_size=1, max_size=3), keep=st.none() | st.floats(0, 1)
)
def test_damaged_files_never_end_in_a_traceback(tmp_path_factory, damage, keep):
    """Random bytes anywhere in a header, or an end too early: a fault, a refusal, or a
    volume."""
    folder = tmp_path_factory.mktemp("series")
    path = write_dicom(folder, ALL[:3])[0]
    content, header = bytearray(path.read_bytes()), 2 * 12 * 16
    for at, some in damage:
        at = 128 + at % (len(content) - header - 128)
        content[at : at + len(some)] = some
    end = len(content) if keep is None else int(keep * len(content))
    path.write_bytes(content[:end])
    sources, faults, _ = find_scans(folder, progress=False)
    assert all("\n" not in fault for fault in faults)
    for source in sources:
        try:
            volume = read_volume(source)
        except UserError:
            assert refusal(read_volume, source)
        else:
            assert np.isfinite(volume.affine).all()
            assert volume.pixels.ndim == 3
