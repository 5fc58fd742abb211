"""A figure with sliders and menus. Used in notebooks 01, 02 and 03."""

import functools
from collections.abc import Callable

import ipywidgets
import matplotlib.pyplot as plt

from lessons.widgets.headless import is_headless


def explore(draw: Callable, **controls) -> None:
    """Call ``draw(**values)``, and again whenever the reader moves a control.

    Headless it is drawn once.

    Args:
        draw: draws matplotlib figures. The default of each argument is where its
            control begins, and what is drawn headless.
        controls: one for each argument, as `ipywidgets.interact` takes them: a slider
            is ``(low, high)`` or ``(low, high, step)``, a menu a list, a box to tick
            True or False.
    """
    if is_headless():
        draw()
        plt.show()
        return

    @functools.wraps(draw)
    def without_result(**values):  # a figure that is returned would be shown twice
        draw(**values)

    widget = ipywidgets.interact(without_result, **controls).widget
    for control in widget.kwargs_widgets:
        if hasattr(control, "continuous_update"):
            control.continuous_update = False  # draw when the slider is let go
