"""Figures and widgets: shows what others computed."""

from lessons.boards import latent_board, sampler
from lessons.browser import slice_browser
from lessons.curves import heatmap, score_bars, training_curves
from lessons.explorer import codebook_explorer
from lessons.figures import error_maps, show_slices
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
    "latent_board",
    "live_curves",
    "sampler",
    "score_bars",
    "show_slices",
    "slice_browser",
    "training_curves",
    "use_style",
]
