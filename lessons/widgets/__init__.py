"""Controls to play with in a live notebook, and a still picture everywhere else."""
# ruff: noqa: F401

from lessons.widgets.headless import is_headless
from lessons.widgets.interact import explore, live_curves, slice_browser
from lessons.widgets.painter import code_painter
