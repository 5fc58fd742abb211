"""What was planted into slices, and whether it was noticed. Used in notebook 05."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lessons.style import EXTENT, as_slices


def outline(figure: Figure, masks, row: int = 0, colour: str = "#E69F00") -> None:
    """Draw the borders of masks `[N, H, W]` over one row of a figure of slices."""
    masks = as_slices(masks).astype(float)
    panels = [axis for axis in figure.axes if axis.images]
    start = row * len(masks)
    for axis, mask in zip(panels[start : start + len(masks)], masks, strict=True):
        axis.contour(
            mask.T, [0.5], extent=EXTENT, origin="lower", colors=colour, linewidths=1.2
        )


def auc_dots(
    found: Mapping[str, Sequence[float]], kinds: Sequence[str], label: str
) -> Figure:
    """Areas under the ROC curve: one row for each kind, one mark for each score.

    Args:
        found: name of the score → a value for each kind.
        kinds: names of the rows.
        label: of the axis.
    """
    figure, axis = plt.subplots(
        figsize=(6.5, 1.2 + 0.4 * len(kinds)), layout="constrained"
    )
    rows = np.arange(len(kinds))
    for (name, values), mark in zip(found.items(), "osD^v*", strict=False):
        axis.plot(values, rows, mark, label=name)
    axis.axvline(0.5, linestyle="--", linewidth=1, color="0.5")
    axis.set_yticks(rows, kinds)
    axis.set_ylim(len(kinds) - 0.5, -0.5)
    low = min(0.4, *(np.nanmin(values) for values in found.values()))
    axis.set(xlim=(low - 0.02, 1.02), xlabel=label)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure
