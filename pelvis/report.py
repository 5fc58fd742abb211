"""The report on a data folder: its table, faults and notes. Slices are those of
`pelvis.check.Slice`."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from vqlib.data.layout import LABEL_NAMES, NATIVE_SIZE, PIXEL_MM, SPLITS, Fault


class Report(NamedTuple):
    """What is in a folder, what is wrong with it, and what is worth knowing."""

    table: dict[str, dict[str, str]]  # split that has slices -> row -> text
    faults: list[Fault]
    notes: list[str]

    def __str__(self) -> str:
        columns = [[name, *rows.values()] for name, rows in self.table.items()]
        columns = [["", *rows] for rows in self.table.values()][:1] + columns
        widths = [max(map(len, column)) for column in columns]
        rows = zip(*columns, strict=True)
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines += [f"fault: {fault}" for fault in self.faults]
        return "\n".join(lines + [f"note: {note}" for note in self.notes])


def figures(part: list) -> dict[str, str]:
    """One column of the table: what a split holds."""
    found = [s for s in part if s.size]
    grey = [grey for s in found for grey in (s.low, s.high)]
    return {
        "slices": str(len(part)),
        "patients": str(len({s.record.case for s in part})),
        "scans": str(len(volumes(part))),
        "label maps": str(sum(s.record.label_path is not None for s in part)),
        "grey values": f"{min(grey):g} … {max(grey):g}" if grey else "none",
        "size": _counts(s.size for s in found),
        "pixel, mm": _counts(s.spacing for s in found),
        "axes": _counts(s.axes or "unknown" for s in found),
        "type": _counts(s.dtype for s in found),
        "labels": " ".join(map(str, sorted({v for s in part for v in s.labels or ()}))),
    }


def notes(folder: Path, slices: list) -> list[str]:
    """What is worth knowing about a folder and needs no change."""
    native, usual = by(NATIVE_SIZE), by(PIXEL_MM)
    found = [s for s in slices if s.size]
    scans = volumes(slices).values()
    ends = [v[-1].record for v in scans if v[-1].record.slice >= len(v)]
    each = {
        f"slices that are cropped or padded to {native}": lambda s: s.size != native,
        f"slices not of {usual} mm, as figures assume": lambda s: s.spacing != usual,
        "slices that are not shown upright with left on the right (axes LS…)": (
            lambda s: s.axes and not s.axes.startswith("LS")
        ),
        "blank slices": lambda s: s.low == s.high == 0,
        "blank label maps": lambda s: s.labels == (0,) and s.high > 0,
        "label maps whose affine is not their image's": lambda s: not s.same_grid,
        "scans with gaps in the numbering of their slices": lambda s: s.record in ends,
    }
    some = []
    for what, is_so in each.items():
        if those := [s.record.path.name for s in found if is_so(s)]:
            first = those[0] + ", …" * (len(those) > 1)
            some.append(f"{what}: {len(those)} ({first})")
    maps = [s for s in found if s.labels is not None]
    never = set(range(len(LABEL_NAMES))).difference(*(s.labels for s in maps))
    if maps and never:
        names = (LABEL_NAMES[value] for value in sorted(never))
        some.append(f"labels that occur nowhere: {', '.join(names)}")
    lacking = {s.record.split for s in found} - {s.record.split for s in maps}
    if maps and lacking:
        some.append(f"no labels in {', '.join(sorted(lacking, key=SPLITS.index))}")
    known = {f"keras_slices_{kind}{name}" for kind in ("", "seg_") for name in SPLITS}
    for path in sorted(folder.glob("keras_slices_*")):
        if path.name not in known:
            some.append(f"{path.name} is not read; the splits are {', '.join(SPLITS)}")
    return some


def grouped(slices: Iterable, key: Callable) -> dict:
    groups = defaultdict(list)
    for s in slices:
        groups[key(s)].append(s)
    return groups


def volumes(slices: Iterable) -> dict[tuple, list]:
    """The slices of each scan, by (split, patient, week)."""
    return grouped(slices, lambda s: (s.record.split, s.record.case, s.record.week))


def by(sides) -> str:
    """256x128, 1.68x1.56"""
    return "x".join(f"{side:.4g}" for side in sides)


def _counts(values: Iterable[str]) -> str:
    """int16 (12), float32 (3)"""
    counts = Counter(values).most_common()
    if len(counts) < 2:
        return "".join(value for value, _ in counts) or "none"
    return ", ".join(f"{value} ({count})" for value, count in counts[:3])
