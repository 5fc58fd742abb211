"""What notebook 05 shows by itself: label maps beside slices, and edits of maps."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from lessons.figures import TITLE, draw_slice, slice_axes
from lessons.style import EXTENT, LABEL_COLOURS
from vqlib.data import LABEL_NAMES

GREY = {"background": "black", "body": "0.35"}  # of label maps that stand alone


def map_rows(
    rows: Mapping[str, Tensor], titles: Sequence[str] = (), width: float = 2.2
) -> Figure:
    """A row of panels for each name: slices `[N, 1, H, W]` in grey, label maps
    `[N, H, W]` uint8 in colours."""
    columns = max(map(len, rows.values()))
    figure, axes = slice_axes(len(rows), columns, width, 0.1, TITLE)
    for line, (name, stack) in zip(axes, rows.items(), strict=True):
        for axis, one in zip(line, stack, strict=False):
            if one.ndim == 2:
                picture = in_colours(one).swapaxes(0, 1)
                axis.imshow(picture, origin="lower", extent=EXTENT)
            else:
                draw_slice(axis, one[0].numpy())
        where = {"ha": "right", "va": "center", "transform": line[0].transAxes}
        line[0].text(-0.04, 0.5, name, rotation=90, fontsize=9, **where)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=9)
    return figure


def in_colours(labels: Tensor) -> np.ndarray:
    """A label map `[H, W]` as a picture: `[H, W, 3]`."""
    palette = [to_rgb(GREY.get(name, LABEL_COLOURS[name])) for name in LABEL_NAMES]
    return np.array(palette)[labels.numpy()]


def grow(labels: Tensor, organ: int, pixels: int) -> Tensor:
    """A label map `[H, W]` whose organ reaches ``pixels`` further into the body and
    other soft organs; fewer than 0: that it draws back, and body is left."""
    other = labels.clone()
    mask = (labels == organ).float()[None, None]
    size = 2 * abs(pixels) + 1
    if pixels >= 0:
        wider = torch.nn.functional.max_pool2d(mask, size, 1, abs(pixels))[0, 0] > 0
        other[wider & (labels != 0) & (labels != 2)] = organ
        return other
    kept = torch.nn.functional.max_pool2d(1 - mask, size, 1, abs(pixels))[0, 0] == 0
    other[(labels == organ) & ~kept] = 1
    return other
