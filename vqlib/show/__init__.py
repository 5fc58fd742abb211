"""Figures and widgets: shows what others computed."""

from vqlib.show.curves import (
    heatmap,
    histogram,
    rate_distortion,
    score_bars,
    training_curves,
)
from vqlib.show.images import error_maps, overlay_labels, show_slices
from vqlib.show.style import LABEL_COLOURS, use_style
from vqlib.show.widgets import explore, live_curves, slice_browser

__all__ = [
    "LABEL_COLOURS",
    "error_maps",
    "explore",
    "heatmap",
    "histogram",
    "live_curves",
    "overlay_labels",
    "rate_distortion",
    "score_bars",
    "show_slices",
    "slice_browser",
    "training_curves",
    "use_style",
]
