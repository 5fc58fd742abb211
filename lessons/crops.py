"""Parts of a slice at three times the size: hip, bladder and prostate.

A whole slice on a page is too small for what a lesson is about: an edge, a texture, a
wall. Used in notebooks 02 to 04.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lessons.style import CHANGE, SLICE_MM, WIDTH, as_slices
from vqlib.data import LABEL_NAMES, SliceDataset

SIDE_MM = 84.0  # of a crop
# label → where its crop lies without labels, as shares of width and height
USUAL = {"hip": (0.24, 0.42), "bladder": (0.5, 0.55), "prostate": (0.5, 0.38)}
LABELS = {"hip": "bone", "bladder": "bladder", "prostate": "prostate"}

Box = tuple[slice, slice]


def telling_slice(dataset: SliceDataset) -> int:
    """The number of the slice that shows most of hip, bladder and prostate at once: the
    one whose smallest of the three is largest. Without labels, the middle one."""
    if dataset.labels is None:
        return int((dataset.positions - 0.5).abs().argmin())
    wanted = [LABEL_NAMES.index(name) for name in LABELS.values()]
    sizes = [(dataset.labels == value).flatten(1).sum(1) for value in wanted]
    shares = [size / size.max().clamp(min=1) for size in sizes]
    return int(np.minimum.reduce([share.numpy() for share in shares]).argmax())


def crop_boxes(dataset: SliceDataset, number: int) -> dict[str, Box]:
    """Where hip, bladder and prostate of a slice lie: name → rows and columns of a
    square of `SIDE_MM` around the middle of each. A usual place where the slice lacks
    it, or the data have no labels."""
    shape = dataset.images.shape[-2:]
    side = [round(SIDE_MM * n / mm) for n, mm in zip(shape, SLICE_MM, strict=True)]
    boxes = {}
    for name, place in USUAL.items():
        middle = [share * n for share, n in zip(place, shape, strict=True)]
        if dataset.labels is not None:
            label = np.asarray(dataset.labels[number])
            found = np.argwhere(label == LABEL_NAMES.index(LABELS[name]))
            if name == "hip":  # of the two the patient's right one
                found = found[found[:, 0] < shape[0] / 2]
            middle = np.median(found, 0) if len(found) else middle
        starts = [
            int(np.clip(at - length / 2, 0, n - length))
            for at, length, n in zip(middle, side, shape, strict=True)
        ]
        boxes[name] = tuple(slice(a, a + n) for a, n in zip(starts, side, strict=True))
    return boxes


def draw_crops(
    versions: Mapping[str, object],
    boxes: Mapping[str, Box],
) -> Figure:
    """Crops of one slice `[H, W]` in several versions, the first of them the truth, and
    what each of the others adds to it (red) or takes from it (blue).

    A row for each of the ``boxes`` of `crop_boxes`, all differences on one scale, up to
    their 99.5th percentile.
    """
    truth, *others = (as_slices(image)[0] for image in versions.values())
    first, *names = versions
    errors = [image - truth for image in others]
    if errors:
        seen = [error[box].ravel() for error in errors for box in boxes.values()]
        limit = float(np.percentile(np.abs(np.concatenate(seen)), 99.5))
    columns = 1 + 2 * len(others)
    side = min(2.0, (WIDTH - 1.5) / columns)  # less name and colour bar
    size = (side * columns + 1.5, (side + 0.05) * len(boxes) + 0.3)
    style = {"figsize": size, "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(len(boxes), columns, **style)
    for line, (name, box) in zip(axes, boxes.items(), strict=True):
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        aspect = (SLICE_MM[1] / truth.shape[1]) / (SLICE_MM[0] / truth.shape[0])
        style = {"origin": "lower", "aspect": aspect}
        for axis, image in zip(line, (truth, *others), strict=False):
            grey = {"cmap": "gray", "vmin": 0, "vmax": 1}
            axis.imshow(image[box].T, **style, **grey)
        for axis, error in zip(line[len(others) + 1 :], errors, strict=True):
            red = {"cmap": CHANGE, "vmin": -limit, "vmax": limit}
            shown = axis.imshow(error[box].T, **style, **red)
        line[0].set_ylabel(name)
    for axis, title in zip(axes[0], (first, *names), strict=False):
        axis.set_title(title)
    for axis, title in zip(axes[0][len(others) + 1 :], names, strict=True):
        axis.set_title(f"{title}\n− {first}")
    if errors:
        figure.colorbar(shown, ax=axes, label="difference", shrink=0.6, aspect=30)
    return figure
