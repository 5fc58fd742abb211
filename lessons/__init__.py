"""Figures and widgets: shows what others computed."""

from lessons.curves import heatmap, score_bars, training_curves
from lessons.figures import error_maps, show_slices
from lessons.style import LABEL_COLOURS, use_style
from lessons.widgets import explore, live_curves, sampler, slice_browser

__all__ = [
    "LABEL_COLOURS",
    "error_maps",
    "explore",
    "heatmap",
    "live_curves",
    "sampler",
    "score_bars",
    "show_slices",
    "slice_browser",
    "training_curves",
    "use_style",
]
