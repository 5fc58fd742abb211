"""Figures with sliders and menus, and curves that grow while a model trains."""

import functools
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display

from lessons.curves import training_curves
from lessons.figures import show_slices
from lessons.widgets.headless import is_headless
from vqlib.data import SliceDataset


def explore(draw: Callable, **controls) -> None:
    """Call ``draw(**values)``, and again whenever the reader moves a control; headless
    once. A control for each argument is given as `ipywidgets.interact` takes it; it
    begins at the default of the argument."""
    if is_headless():
        draw()
        plt.show()
        return

    @functools.wraps(draw)
    def without_result(**values):  # a figure that is returned would be shown twice
        draw(**values)

    widget = ipywidgets.interact(without_result, **controls).widget
    for control in widget.kwargs_widgets:
        if hasattr(control, "continuous_update"):
            control.continuous_update = False  # draw when the slider is let go


def slice_browser(dataset: SliceDataset) -> None:
    """Leaf through a split: choose a scan, a slice, whether labels are drawn, and which
    grey values are black and white. Headless: the middle slice of the first scan."""
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
        labels=ipywidgets.fixed(False) if dataset.labels is None else True,
        black=(0.0, 1.0, 0.05),
        white=(0.0, 1.0, 0.05),
    )


def live_curves(**style) -> Callable[[Mapping[str, Sequence[float]]], None]:
    """For ``on_epoch`` of a training: the curves so far, in one figure that is drawn
    anew after each epoch; headless nothing. ``style`` is that of `training_curves`."""
    handle = None

    def draw(history: Mapping[str, Sequence[float]]) -> None:
        nonlocal handle
        if is_headless():
            return
        figure = training_curves(history, **style)
        plt.close(figure)  # or the cell would show it once more at its end
        if handle is None:
            handle = display(figure, display_id=True)
        else:
            handle.update(figure)

    return draw
