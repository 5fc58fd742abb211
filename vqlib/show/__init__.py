"""Figures and widgets: shows what others computed."""

from vqlib.show.boards import latent_board, sampler
from vqlib.show.browser import slice_browser
from vqlib.show.curves import (
    heatmap,
    histogram,
    rate_distortion,
    score_bars,
    training_curves,
)
from vqlib.show.explorer import codebook_explorer
from vqlib.show.images import error_maps, overlay_labels, show_slices
from vqlib.show.painter import code_painter
from vqlib.show.style import LABEL_COLOURS, use_style
from vqlib.show.widgets import explore, live_curves

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
