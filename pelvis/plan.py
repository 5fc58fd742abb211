"""Which number, week and split each scan gets.

Cases of the CSIRO release keep their numbers, and 4–35, 36–39 and 40–42 are train,
validate and test, as in HipMRI. All other patients get numbers from 101 on, in the
order of their names, and are shuffled by the seed: a tenth is for validation, a tenth
for test, at least one each where there are three patients. A scan whose name has no
week gets the first free one of its patient, in the order of dates (DICOM) or names.

What was planned once stays: scans that are added later get what is free.
"""

import hashlib
from dataclasses import dataclass, field
from functools import partial

from pelvis.scans import Source, natural
from vqlib.data.layout import SPLITS

RELEASE = {"train": range(4, 36), "validate": range(36, 40), "test": range(40, 43)}
FIRST_OTHER = 101  # numbers below are the release's


@dataclass(frozen=True)
class Scan:
    """One scan in the layout."""

    patient: str  # as name or header say
    case: int
    week: int
    split: str
    stamp: str | None = None  # of the source that its slices were cut from
    files: list[str] = field(default_factory=list)  # its slices


def plan(sources: list[Source], known: dict[str, Scan], seed: int) -> dict[str, Scan]:
    """Scans by the text of their sources: the known ones, and after them new ones."""
    new = sorted((s for s in sources if str(s) not in known), key=lambda s: s.when)
    new.sort(key=lambda s: s.week is None)  # weeks that names say are taken first
    scans, patients = dict(known), {s.patient for s in new}
    cases = {s.patient: s.case for s in new if s.case in range(FIRST_OTHER)}
    cases |= {scan.patient: scan.case for scan in known.values()}
    free = max([FIRST_OTHER - 1, *cases.values()]) + 1
    others = sorted(patients - cases.keys(), key=natural)
    cases |= {patient: free + n for n, patient in enumerate(others)}
    splits = {scan.case: scan.split for scan in known.values()}
    unsplit = {p: cases[p] for p in patients if cases[p] not in splits}
    splits |= _split(unsplit, splits, seed)
    taken = {(scan.case, scan.week) for scan in scans.values()}
    for source in new:
        case, week = cases[source.patient], source.week
        if week is None or (case, week) in taken:
            week = next(w for w in range(len(taken) + 1) if (case, w) not in taken)
        taken.add((case, week))
        scans[str(source)] = Scan(source.patient, case, week, splits[case])
    return scans


def _split(new: dict[str, int], known: dict[int, str], seed: int) -> dict[int, str]:
    """Case → split for new patients and their cases."""
    splits = {
        c: name for name, its in RELEASE.items() for c in its if c in new.values()
    }
    # by a hash of the name: another patient more or less does not reshuffle all
    rest = [patient for patient in new if new[patient] not in splits]
    rest = [new[patient] for patient in sorted(rest, key=partial(_hash, seed))]
    total = len(known) + len(new)
    for split in SPLITS[1:] if total >= len(SPLITS) else ():
        held = [*known.values(), *splits.values()].count(split)
        wanted = max(0, max(1, round(total / 10)) - held)
        splits |= dict.fromkeys(rest[:wanted], split)
        rest = rest[wanted:]
    return splits | dict.fromkeys(rest, "train")


def _hash(seed: int, patient: str) -> bytes:
    text = f"{seed} {patient}".encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).digest()
