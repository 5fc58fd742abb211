"""The report on a data folder: its figures, and how it is printed."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pelvis.examine import Examined, by
from vqlib.data.layout import Fault


@dataclass(frozen=True)
class Report:
    """What is in a folder, what is wrong with it, and what is worth knowing."""

    folder: str
    splits: dict[str, dict]  # of each split that has slices; keys as in `summary`
    faults: list[Fault]
    notes: list[str]

    def as_json(self) -> dict:
        """The report for machines. Keys stay; new ones may be added.

        ``folder``; ``ok``: no fault; ``splits``: of each split ``slices``,
        ``unreadable``, ``patients``, ``volumes`` and ``labels`` (numbers), ``weeks``
        (of each patient), ``slices_per_volume`` (least, most), ``intensity`` (least,
        most), and ``shapes``, ``dtypes``, ``spacings_mm``, ``orientations``,
        ``label_dtypes`` and ``label_values`` (each with the number of slices);
        ``faults``: of each ``file``, ``what`` and ``remedy``; ``notes``: texts.
        """
        faults = [fault._asdict() | {"file": str(fault.file)} for fault in self.faults]
        return {
            "folder": self.folder,
            "ok": not faults,
            "splits": self.splits,
            "faults": faults,
            "notes": self.notes,
        }

    def as_text(self) -> str:
        """A table of the splits, then a line for each fault and each note."""
        faults = [f"fault: {fault}" for fault in self.faults]
        notes = [f"note: {note}" for note in self.notes]
        return "\n".join([*_table(self.splits), *faults, *notes])


def summary(slices: list[Examined]) -> dict:
    """The figures of one split; see `Report.as_json`."""
    readable = [s for s in slices if s.shape is not None]
    sizes = [len(volume) for volume in volumes_of(slices).values()]
    weeks: dict[str, set[int]] = {}
    for s in slices:
        weeks.setdefault(str(s.record.case), set()).add(s.record.week)
    maps = [s for s in slices if s.labels is not None]
    return {
        "slices": len(slices),
        "unreadable": len(slices) - len(readable),
        "patients": len(weeks),
        "volumes": len(sizes),
        "labels": sum(s.record.label_path is not None for s in slices),
        "weeks": {case: sorted(found) for case, found in weeks.items()},
        "slices_per_volume": [min(sizes), max(sizes)],
        "intensity": [
            min((s.low for s in readable), default=None),
            max((s.high for s in readable), default=None),
        ],
        "shapes": count(by(s.shape) for s in readable),
        "dtypes": count(s.dtype for s in readable),
        "spacings_mm": count(by(s.spacing) for s in readable),
        "orientations": count(s.axes or "unknown" for s in readable),
        "label_dtypes": count(s.label_dtype for s in maps),
        "label_values": count(str(v) for s in maps for v in s.labels),
    }


def count(values: Iterable[str]) -> dict[str, int]:
    """How often each occurs, the most frequent first."""
    return dict(Counter(values).most_common())


_ROWS = {  # of the table: name of the row, what it shows of a split
    "slices": lambda s: str(s["slices"]),
    "unreadable": lambda s: str(s["unreadable"]),
    "patients": lambda s: str(s["patients"]),
    "volumes": lambda s: str(s["volumes"]),
    "weeks a patient": lambda s: _span(sorted(map(len, s["weeks"].values()))),
    "slices a volume": lambda s: _span(s["slices_per_volume"]),
    "size": lambda s: listed(s["shapes"]),
    "type": lambda s: listed(s["dtypes"]),
    "spacing, mm": lambda s: listed(s["spacings_mm"]),
    "axes point to": lambda s: listed(s["orientations"]),
    "grey values": lambda s: _span(s["intensity"]),
    "label maps": lambda s: str(s["labels"]),
    "labels": lambda s: " ".join(sorted(s["label_values"])) or "none",
}


def _table(splits: dict[str, dict]) -> list[str]:
    """The splits side by side."""
    if not splits:
        return []
    rows = [["", *splits]]
    rows += [[name, *map(cell, splits.values())] for name, cell in _ROWS.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return [*lines, ""]


def _span(values) -> str:
    low, high = values[0], values[-1]
    if low is None:
        return "none"
    return f"{low:g}" if low == high else f"{low:g} … {high:g}"


def listed(counts: dict[str, int], most: int = 3) -> str:
    if len(counts) < 2:
        return "".join(counts) or "none"
    shown = [f"{value} ({count})" for value, count in list(counts.items())[:most]]
    return ", ".join(shown) + (", …" if len(counts) > most else "")


def volumes_of(slices: Iterable[Examined]) -> dict[tuple, list[Examined]]:
    """The slices of each scan, by (split, patient, week)."""
    volumes: dict[tuple, list[Examined]] = {}
    for s in slices:
        key = (s.record.split, s.record.case, s.record.week)
        volumes.setdefault(key, []).append(s)
    return volumes
