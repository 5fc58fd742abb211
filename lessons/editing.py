"""Slices before and after their codes were edited."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lessons.codes import HIT, bar_below, slice_panels
from lessons.figures import draw_slice
from lessons.style import CHANGE, EXTENT, SLICE_MM, as_slices


def editing(
    panels: Mapping[str, object], box: tuple[slice, slice], grid: tuple[int, int]
) -> Figure:
    """Slices before and after an edit, with the edited block framed; the last panel is
    the change, more (red) or less (blue) signal.

    Args:
        panels: title → `[H, W]` or `[1, 1, H, W]`; the last one a difference.
        box: rows and columns of the code grid that were edited.
        grid: (h, w).
    """
    columns = 3
    figure, axes = slice_panels(-(-len(panels) // columns), columns, below=0.5)
    axes = axes.ravel()
    for axis, (title, image) in zip(axes, list(panels.items())[:-1], strict=False):
        draw_slice(axis, as_slices(image)[0])
        axis.set_title(title)
    axis = axes[len(panels) - 1]
    title, change = list(panels.items())[-1]
    change = as_slices(change)[0]
    limit = max(float(np.abs(change).max()), 1e-6)
    shown = axis.imshow(
        change.T,
        origin="lower",
        extent=EXTENT,
        cmap=CHANGE,
        vmin=-limit,
        vmax=limit,
    )
    axis.set_title(title)
    bar_below(figure, shown, axes[-columns:], f"{title}: after − before", 0.3)
    dx, dz = SLICE_MM[0] / grid[0], SLICE_MM[1] / grid[1]
    corner = box[0].start * dx, box[1].start * dz
    width = (box[0].stop - box[0].start) * dx
    height = (box[1].stop - box[1].start) * dz
    for axis in axes[: len(panels)]:
        axis.add_patch(
            Rectangle(corner, width, height, fill=False, edgecolor=HIT, linewidth=1.2)
        )
    return figure
