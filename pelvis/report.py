"""The report on a data folder: its figures and notes, and how it is printed."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from vqlib.data.layout import LABEL_NAMES, NATIVE_SIZE, PIXEL_MM, SPLITS, Fault


@dataclass(frozen=True)
class Report:
    """What is in a folder, what is wrong with it, and what is worth knowing."""

    folder: str
    splits: dict[str, dict]  # of each split that has slices; keys as in `summary`
    faults: list[Fault]
    notes: list[str]

    def as_json(self) -> dict:
        """The report for machines. Keys stay; new ones may be added."""
        keys = "file", "what", "remedy"
        faults = [dict(zip(keys, map(str, f), strict=True)) for f in self.faults]
        report = {"folder": self.folder, "ok": not faults, "splits": self.splits}
        return report | {"faults": faults, "notes": self.notes}

    def as_text(self) -> str:
        """A table of the splits, then a line for each fault and each note."""
        faults = [f"fault: {fault}" for fault in self.faults]
        notes = [f"note: {note}" for note in self.notes]
        return "\n".join([*_table(self.splits), *faults, *notes])


def summary(slices: list) -> dict:
    """The figures of one split, from its `pelvis.check.Slice` objects: least and most
    of slices_per_volume and intensity, and how often each shape, type, ... occurs."""
    readable = [s for s in slices if s.shape]
    maps = [s for s in slices if s.labels is not None]
    sizes = [len(volume) for volume in volumes_of(slices).values()]
    patients = grouped(slices, lambda s: str(s.record.case))
    grey = [grey for s in readable for grey in (s.low, s.high)]
    return {
        "slices": len(slices),
        "unreadable": len(slices) - len(readable),
        "patients": len(patients),
        "volumes": len(sizes),
        "labels": sum(s.record.label_path is not None for s in slices),
        "weeks": {k: sorted({s.record.week for s in v}) for k, v in patients.items()},
        "slices_per_volume": [min(sizes), max(sizes)],
        "intensity": [min(grey, default=None), max(grey, default=None)],
        "shapes": count(by(s.shape) for s in readable),
        "dtypes": count(s.dtype for s in readable),
        "spacings_mm": count(by(s.spacing) for s in readable),
        "orientations": count(s.axes or "unknown" for s in readable),
        "label_dtypes": count(s.label_dtype for s in maps),
        "label_values": count(str(value) for s in maps for value in s.labels),
    }


def grouped(slices: Iterable, key: Callable) -> dict[Any, list]:
    groups = {}
    for s in slices:
        groups.setdefault(key(s), []).append(s)
    return groups


def volumes_of(slices: Iterable) -> dict[tuple, list]:
    """The slices of each scan, by (split, patient, week)."""
    return grouped(slices, lambda s: (s.record.split, s.record.case, s.record.week))


def count(values: Iterable[str]) -> dict[str, int]:
    """How often each occurs, the most frequent first."""
    return dict(Counter(values).most_common())


def by(sides) -> str:
    """256x128, 1.68x1.56"""
    return "x".join(f"{side:.4g}" for side in sides)


def listed(counts: dict[str, int]) -> str:
    """int16 (12), float32 (3)"""
    if len(counts) < 2:
        return "".join(counts) or "none"
    shown = [f"{value} ({count})" for value, count in counts.items()]
    return ", ".join([*shown[:3], "…"] if len(shown) > 3 else shown)


def notes(folder: Path, slices: list) -> list[str]:
    """What is worth knowing about a folder and needs no change."""
    readable = [s for s in slices if s.shape]
    maps = [s for s in readable if s.labels is not None]
    labels = _notes_on_labels(maps, readable) if maps else []
    images = _notes_on_images(readable)
    return [*_notes_on_volumes(slices), *labels, *images, *_unread(folder)]


def _notes_on_volumes(slices: list) -> list[str]:
    def lacks(volume) -> int | None:
        """The first number below the last slice's that no slice has."""
        numbers = {s.record.slice for s in volume}
        first = next(n for n in range(len(numbers) + 1) if n not in numbers)
        return first if first < max(numbers) else None

    volumes = [
        (f"patient {case} week {week}", volume)
        for (_, case, week), volume in volumes_of(slices).items()
    ]
    half = median(len(volume) for _, volume in volumes) / 2 if volumes else 0
    few = [scan for scan, volume in volumes if len(volume) < half]
    first = [(scan, lacks(volume)) for scan, volume in volumes]
    gaps = [f"{scan} lacks {number}" for scan, number in first if number is not None]
    found = _some("volumes with less than half as many slices as most", few)
    return found + _some("volumes with gaps in the numbering of their slices", gaps)


def _notes_on_labels(maps: list, slices: list) -> list[str]:
    found = []
    having = [name for name in SPLITS if any(s.record.split == name for s in maps)]
    lacking = {s.record.split for s in slices}.difference(having)
    if lacking:
        lacking = sorted(lacking, key=SPLITS.index)
        found.append(f"labels in {', '.join(having)}, none in {', '.join(lacking)}")
    values = {value for s in maps for value in s.labels}
    never = [name for value, name in enumerate(LABEL_NAMES) if value not in values]
    if never:
        found.append(f"labels that occur nowhere: {', '.join(never)}")
    empty = [s for s in maps if s.labels == (0,) and not s.blank]
    found += _some("slices that are not blank, but whose label map is", empty)
    elsewhere = [s for s in maps if not s.same_grid]
    return found + _some("label maps whose affine is not their image's", elsewhere)


def _notes_on_images(slices: list) -> list[str]:
    found = []
    native, usual = by(NATIVE_SIZE), by(PIXEL_MM)
    for size, some in grouped(slices, lambda s: by(s.shape)).items():
        if size != native:
            known = " (HipMRI has one such scan)" if size == "256x144" else ""
            crop = f"cropped or padded to {native} about the centre"
            found += _some(f"slices of {size}{known}, {crop}", some)
    odd = [s for s in slices if s.possible and by(s.spacing) != usual]
    spacings = listed(count(by(s.spacing) for s in odd))
    found += _some(f"slices not of {usual} mm as figures assume, but {spacings}", odd)
    axes = count(s.axes for s in slices if s.axes)
    if any(not a.startswith("LS") for a in axes):
        upright = "only LS… is shown upright, left on the right"
        found.append(f"axes point to {listed(axes)}; {upright}")
    dtypes = count(s.dtype for s in slices)
    if len(dtypes) > 1:
        found.append(f"types of image files: {listed(dtypes)}")
    found += _some("blank slices", [s for s in slices if s.blank])
    below = [s for s in slices if s.low < 0]
    found += _some("slices with pixels below 0, which scaling makes 0", below)
    pictures = grouped(
        (s for s in slices if s.sketch.any()),
        lambda s: (s.record.split, s.low, s.high, s.sketch.tobytes()),
    )
    again = [s for same in pictures.values() for s in same[1:]]
    return found + _some("slices that repeat another one of their split", again)


def _unread(folder: Path) -> list[str]:
    """Notes on what lies in the folder and is not read."""
    known = {f"keras_slices_{kind}{name}" for kind in ("", "seg_") for name in SPLITS}
    found = []
    for path in sorted(folder.glob("keras_slices_*")):
        if path.name not in known:
            found.append(f"{path.name} is not read; the splits are {', '.join(SPLITS)}")
            continue
        files = sorted(file.name for file in path.glob("[!.]*"))
        others = [f for f in files if not f.lower().endswith((".nii", ".nii.gz"))]
        found += _some(f"files in {path.name} that are not read", others)
    return found


def _some(what: str, which: list) -> list[str]:
    """A note on some slices, volumes or files, with the first of them; none if none."""
    if not which:
        return []
    first = which[0] if isinstance(which[0], str) else which[0].record.path.name
    return [f"{what}: {len(which)} ({first}{', …' if len(which) > 1 else ''})"]


def _table(splits: dict[str, dict]) -> list[str]:
    """The figures of the splits side by side."""
    if not splits:
        return []
    columns = [["", *(key.replace("_", " ") for key in next(iter(splits.values())))]]
    for name, figures in splits.items():
        columns.append([name, *(_cell(key, value) for key, value in figures.items())])
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return [*("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows), ""]


def _cell(key: str, value) -> str:
    if key == "weeks":  # how many, of each patient
        value = sorted(map(len, value.values()))
    if key == "label_values":
        return " ".join(sorted(value)) or "none"
    if isinstance(value, dict):
        return listed(value)
    if not isinstance(value, list):
        return str(value)
    ends = [f"{end:g}" for end in (value[0], value[-1]) if end is not None]
    return " … ".join(dict.fromkeys(ends)) or "none"
