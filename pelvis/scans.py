"""Which 3D scans lie in a folder: whose they are, and which file is a label map.

DICOM files say it in their headers. Of NIfTI files only the names are known:

- ``Case_004_Week0_LFOV.nii.gz`` and ``B004_Week0_LFOV.nii.gz`` are patient 4, week 0,
  numbered by the CSIRO release (Dowling & Greer 2021, doi 10.25919/45t8-p065);
- a part like ``week3``, ``ses-2``, ``session2`` or ``visit_2`` is the week;
- the patient is the name up to its first part (between ``_`` or spaces) with a digit in
  it that is no contrast such as T2w: ``sub-01`` of ``sub-01_T2w``, ``patient_7`` of
  ``patient_7_cor``; any other file is a patient of its own;
- a label map has the name of its image with a part SEMANTIC, SEG, DSEG, LABEL, LABELS
  or MASK in it; LFOV may be in either name. Both may lie in different folders, unless
  the name is there more than once: then each takes the label of its own folder.
"""

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pydicom
from tqdm.auto import tqdm

from pelvis.dicom import reading
from vqlib.errors import UserError

_LABEL = {"semantic", "seg", "dseg", "label", "labels", "mask"}
_CSIRO = re.compile(r"(?:case_|b)(\d{1,6})_week(\d{1,6})", re.I)
_WEEK = r"(?:^|[_\s])(?:week|wk|ses|session|visit)[-_\s]?(\d{1,6})(?=[_\s]|$)"
_WEEK = re.compile(_WEEK, re.I)
_CONTRAST = re.compile(r"t[12](w|star)?|[23]d", re.I)
_STUDY, _SERIES = "StudyInstanceUID", "SeriesInstanceUID"
_WHEN = ("StudyDate", "StudyTime", "SeriesNumber")
_TAGS = ["SOPClassUID", "Modality", "Rows", "PatientID", _STUDY, _SERIES, *_WHEN]


@dataclass(frozen=True)
class Source:
    """One scan, not read yet."""

    name: str  # below the folder searched, with /; of a series the folder of its files
    files: tuple[Path, ...]  # one NIfTI file, or the images of one DICOM series
    patient: str  # as name or header say
    label: Path | None = None
    case: int | None = None  # the patient's number, where it is the CSIRO release's
    week: int | None = None  # where the name says it
    series: str = ""  # SeriesInstanceUID
    when: tuple = ()  # sorts the scans of one patient

    def __str__(self) -> str:
        return f"{self.name} (series {self.series})" if self.series else self.name


def find_scans(
    folder: str | Path, progress: bool = True
) -> tuple[list[Source], list[str], list[str]]:
    """The scans below a folder, a line for each fault, and notes.

    Links to folders are followed; hidden files are left out. Raises `UserError` where
    the folder is none, holds slices, or holds no scans.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}; give the folder that holds the scans")
    files, faults, seen = [], [], set()

    def unreadable(fault: OSError) -> None:
        remedy = "change its permissions, or move it away"
        faults.append(f"{fault.filename} cannot be read ({fault.strerror}); {remedy}")

    for here, below, names in os.walk(folder, onerror=unreadable, followlinks=True):
        true = os.path.realpath(here)
        if true in seen:  # a link that leads back, or a second one to the same place
            below.clear()
            continue
        seen.add(true)
        if any(name.startswith("keras_slices_") for name in below):
            remedy = "give it as --data-dir, or move it out of the folder of the scans"
            raise UserError(f"{here} holds slices already, and no scans; {remedy}")
        below[:] = sorted(name for name in below if not name.startswith("."))
        paths = [Path(here, name) for name in names if not name.startswith(".")]
        # pipes and devices never end; a broken link is named when it is read
        files += [p for p in paths if p.is_file() or not p.exists()]
    niftis = [f for f in sorted(files) if f.name.lower().endswith((".nii", ".nii.gz"))]
    sources, wrong = nifti_sources(folder, niftis)
    rest = sorted(set(files) - set(niftis))
    series, damaged, ignored = dicom_sources(folder, rest, progress)
    sources, faults = sources + series, faults + wrong + damaged
    passed = f"{ignored} DICOM files that are no MR images were passed over"
    notes = [passed] if ignored else []
    if not sources and not faults:
        nothing = f"{folder} holds no NIfTI volumes and no MR series in DICOM"
        remedy = "give the folder that holds the scans"
        raise UserError("; ".join([nothing, *notes, remedy]))
    if any(s.label for s in sources):  # the layout has labels for all or for none
        remedy = "has no label map, and others have; add it, or take all away"
        faults += [f"{s.files[0]} {remedy}" for s in sources if not s.label]
        sources = [s for s in sources if s.label]
    return sources, faults, notes


def nifti_sources(folder: Path, paths: list[Path]) -> tuple[list[Source], list[str]]:
    """The scans among NIfTI files with their labels; and a line for each scan that is
    there twice, label without an image, and scan with two label maps."""
    groups = defaultdict(lambda: ([], []))  # name -> images, labels
    for path in paths:
        stem, is_label = _stem(path)
        csiro = _CSIRO.fullmatch(stem)
        key = (int(csiro[1]), int(csiro[2])) if csiro else stem.lower()
        groups[key][is_label].append(path)
    pairs = []
    for both in groups.values():
        if max(map(len, both)) == 1:
            pairs.append(both)
            continue
        for parent in sorted({path.parent for some in both for path in some}):
            pairs.append([[p for p in x if p.parent == parent] for x in both])
    sources, faults = {}, []
    for images, labels in pairs:
        twins = images if len(images) > 1 else labels
        if len(twins) > 1:
            faults.append(f"{twins[1]} is the same scan as {twins[0].name}; remove one")
        elif images:
            source = _source(folder, images[0], *labels)
            week = source.name if source.week is None else source.week
            same = sources.setdefault((source.patient, week), source)
            if same is not source:
                remedy = f"is the same week as {same.name}; remove or rename one"
                faults.append(f"{images[0]} {remedy}")
        else:
            faults.append(f"{labels[0]} is a label without its image; add it")
    return [*sources.values()], faults


def dicom_sources(
    folder: Path, paths: list[Path], progress: bool = True
) -> tuple[list[Source], list[str], int]:
    """The MR series among some files, a line for each damaged one, and the number of
    DICOM files that are no MR images."""
    series, faults, ignored = defaultdict(list), [], 0
    quiet = not (progress and paths)
    for path in tqdm(paths, "reading headers", disable=quiet, leave=False):
        try:
            header = _header(path)
        except UserError as fault:
            faults.append(str(fault))
            continue
        if header is None:
            continue
        if header["Modality"] != "MR" or not header["Rows"]:
            ignored += 1
        elif header[_SERIES]:
            series[header[_SERIES]].append((path, header))
        else:
            faults.append(f"{path} has no SeriesInstanceUID; get the file again")
    sources = []
    for uid, found in series.items():
        files, headers = zip(*found, strict=True)
        patients = {h["PatientID"].lower() or f"study {h[_STUDY]}" for h in headers}
        if len(patients) > 1:
            of = f"{files[0].parent} (series {uid}) belongs to {len(patients)} patients"
            faults.append(f"{of}; correct PatientID, or leave it out")
            continue
        name = files[0].parent.relative_to(folder).as_posix()
        when = natural(" ".join([*(headers[0][key] for key in _WHEN), uid]))
        (patient,) = patients
        sources.append(Source(name, files, patient, series=uid, when=tuple(when)))
    return sources, faults, ignored


def natural(text: str) -> list:
    """A key that sorts 2 before 10."""
    parts = re.split(r"(\d+)", text.casefold())
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def _stem(path: Path) -> tuple[str, bool]:
    """What image and label have in common, and whether this is the label."""
    name = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.I)
    parts = re.split(r"[_\s]+", name)
    stem = "_".join(p for p in parts if p.lower() not in _LABEL | {"lfov"})
    return stem, any(part.lower() in _LABEL for part in parts)


def _source(folder: Path, path: Path, label: Path | None = None) -> Source:
    name = path.relative_to(folder).as_posix()
    stem = _stem(path)[0]
    csiro = _CSIRO.fullmatch(stem)
    if csiro:
        case, week = int(csiro[1]), int(csiro[2])
        return Source(name, (path,), f"case_{case:03d}", label, case, week)
    match = _WEEK.search(stem)
    week = int(match[1]) if match else None
    rest = _WEEK.sub("", stem, count=1).strip("_") if match else stem
    # a week still needs a patient: the folder's, or what is left of the name
    patient = path.with_name(rest).relative_to(folder).as_posix()
    parts = rest.split("_")
    for end, part in enumerate(parts, start=1):
        if re.search(r"\d", part) and not _CONTRAST.fullmatch(part):
            patient = "_".join(parts[:end]).lower()
            break
    return Source(name, (path,), patient, label, None, week, when=tuple(natural(name)))


def _header(path: Path) -> dict[str, str] | None:
    """What says whose image a file is; None where it is no DICOM."""
    with reading(path):
        with path.open("rb") as file:
            dicom = file.read(132)[128:] == b"DICM"
        named = path.suffix.lower() in (".dcm", ".ima")
        if not (dicom or named) or path.name.upper() == "DICOMDIR":
            return None
        how = {"stop_before_pixels": True, "force": True, "specific_tags": _TAGS}
        header = pydicom.dcmread(path, **how)
        found = {key: " ".join(str(header.get(key, "")).split()) for key in _TAGS}
        if not (found["SOPClassUID"] or found["Modality"]):
            raise ValueError("no image in it")
        return found
