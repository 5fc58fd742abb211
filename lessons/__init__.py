"""Figures and widgets: shows what others computed."""

from lessons.boards import latent_board, sampler
from lessons.browser import slice_browser
from lessons.curves import (
    heatmap,
    histogram,
    rate_distortion,
    score_bars,
    training_curves,
)
from lessons.explorer import codebook_explorer
from lessons.images import error_maps, overlay_labels, show_slices
from lessons.painter import code_painter
from lessons.style import LABEL_COLOURS, use_style
from lessons.widgets import explore, live_curves

__all__ = [
    "LABEL_COLOURS",
    "code_painter",
    "codebook_explorer",
    "error_maps",
    "explore",
    "heatmap",
    "histogram",
    "latent_board",
    "live_curves",
    "overlay_labels",
    "rate_distortion",
    "sampler",
    "score_bars",
    "show_slices",
    "slice_browser",
    "training_curves",
    "use_style",
]
