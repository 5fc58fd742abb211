"""Leafing through a split, scan by scan. Used in notebook 01."""

import matplotlib.pyplot as plt
from ipywidgets import fixed

from lessons.figures import show_slices
from lessons.widgets.interact import explore
from vqlib.data import SliceDataset


def slice_browser(dataset: SliceDataset) -> None:
    """Choose a scan, a slice, whether labels are drawn, and which grey values are black
    and white. Headless it shows the middle slice of the first scan."""
    scans: dict[str, list[int]] = {}
    keys = zip(dataset.patients.tolist(), dataset.weeks.tolist(), strict=True)
    for row, (patient, week) in enumerate(keys):
        scans.setdefault(f"patient {patient:03d}, week {week}", []).append(row)
    first, rows = next(iter(scans.items()))
    middle = (len(rows) + 1) // 2

    def leaf(scan=first, slice=middle, labels=True, black=0.0, white=1.0) -> None:
        number = min(slice, len(scans[scan]))  # of a scan that may be shorter
        row = scans[scan][number - 1]
        title = [f"{scan}, slice {number} of {len(scans[scan])}"]
        maps = dataset.labels[row] if labels and dataset.labels is not None else None
        window = black, max(white, black + 0.01)
        show_slices(dataset.images[row], title, window=window, labels=maps)
        plt.gcf().set_size_inches(6.4, 3.7)
        plt.show()

    explore(
        leaf,
        scan=list(scans),
        slice=(1, max(map(len, scans.values()))),
        labels=fixed(False) if dataset.labels is None else True,
        black=(0.0, 1.0, 0.05),
        white=(0.0, 1.0, 0.05),
    )
