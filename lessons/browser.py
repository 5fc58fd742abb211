"""Leafing through a split: patient, week, slice, labels, grey-value window."""

import matplotlib.pyplot as plt

from lessons import pixels
from lessons.figures import show_slices
from lessons.style import LABEL_COLOURS
from lessons.widgets import is_headless, present
from vqlib.data import LABEL_NAMES, SliceDataset

Volumes = dict[int, dict[int, list[int]]]  # patient → week → rows


def slice_browser(
    dataset: SliceDataset, window: tuple[float, float] = (0.0, 1.0)
) -> None:
    """Leaf through a split: patient, week, slice, labels on or off, window.

    The menus of weeks and slices follow the patient. Headless it shows the middle slice
    of the first scan.
    """
    volumes: Volumes = {}
    keys = zip(dataset.patients.tolist(), dataset.weeks.tolist(), strict=True)
    for row, (patient, week) in enumerate(keys):
        volumes.setdefault(patient, {}).setdefault(week, []).append(row)
    if not is_headless():
        present(live_browser(dataset, volumes, window))
        return
    patient = next(iter(volumes))
    week, rows = next(iter(volumes[patient].items()))
    number = (len(rows) - 1) // 2
    image, titles = dataset.images[rows[number]], [_title(patient, week, number, rows)]
    labels = None if dataset.labels is None else dataset.labels[rows[number]]
    show_slices(image, titles, window=window, labels=labels)
    plt.gcf().set_size_inches(6.4, 3.7)
    plt.show()


def live_browser(dataset: SliceDataset, volumes: Volumes, window):
    """The controls, tied to each other, and the picture; returns the widget."""
    import ipywidgets  # of the extra `lab`, not needed headless

    from lessons.touch import Touch

    first = next(iter(volumes))
    patient = ipywidgets.Dropdown(options=list(volumes), description="patient")
    week = ipywidgets.Dropdown(options=list(volumes[first]), description="week")
    number = ipywidgets.IntSlider(1, 1, 1, description="slice")
    labels = ipywidgets.Checkbox(dataset.labels is not None, description="labels")
    labels.disabled = dataset.labels is None
    grey = ipywidgets.FloatRangeSlider(
        value=window,
        min=0.0,
        max=1.0,
        step=0.05,
        readout_format=".2f",
        description="window",
    )
    view = Touch(touchable=False, label="slice shown", width=480, aspect=pixels.ASPECT)
    legend = ipywidgets.HTML()

    def draw(*_):
        rows = volumes[patient.value].get(week.value, [])
        if number.value > len(rows):
            return  # the menus are just changing
        row = rows[number.value - 1]
        picture = pixels.grey(dataset.images[row], grey.value, scale=4)
        present = []
        if labels.value and dataset.labels is not None:
            kinds = dataset.labels[row].numpy()
            picture = pixels.with_labels(picture, kinds)
            present = [n for i, n in enumerate(LABEL_NAMES) if i and (kinds == i).any()]
        legend.value = _legend(present)
        view.status = _title(patient.value, week.value, number.value - 1, rows)
        view.picture = pixels.png(picture)

    def fit_slices(*_):
        number.max = len(volumes[patient.value][week.value])
        draw()

    def fit_weeks(*_):
        weeks = list(volumes[patient.value])
        if tuple(weeks) == week.options:
            fit_slices()
        else:
            week.options = weeks  # which sets the week, and so comes to the slices

    week.observe(fit_slices, "value")
    patient.observe(fit_weeks, "value")
    fit_slices()
    number.value = (number.max + 1) // 2
    for control in (number, labels, grey):
        control.observe(draw, "value")
    draw()
    controls = ipywidgets.VBox([patient, week, number, labels, grey, legend])
    return ipywidgets.HBox([controls, ipywidgets.VBox([view])])


def _title(patient: int, week: int, number: int, rows: list[int]) -> str:
    return f"patient {patient:03d}, week {week}, slice {number + 1} of {len(rows)}"


def _legend(names: list[str]) -> str:
    squares = (
        f'<span style="color:{LABEL_COLOURS[name]}">'
        f"{'□' if name == 'body' else '■'}</span> {name}"
        for name in names
    )
    return " &nbsp; ".join(squares)
