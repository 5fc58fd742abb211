"""The one widget of our own: a picture with a grid whose cells can be pressed.

A slice that is painted on and a palette of patches are each a `Touch`. Its front end
(``touch.js``) shows the picture that Python made, moves a cursor, and reports presses;
everything else is Python's. Made with anywidget (https://anywidget.dev), so there is
nothing to build or to install in JupyterLab.
"""

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

_HERE = Path(__file__).parent


class Touch(anywidget.AnyWidget):
    """A picture with columns and rows, counted from the upper left."""

    _esm = _HERE / "touch.js"
    _css = _HERE / "touch.css"

    picture = traitlets.Bytes().tag(sync=True)  # PNG
    shape = traitlets.List([1, 1]).tag(sync=True)  # columns, rows
    cursor = traitlets.List([0, 0]).tag(sync=True)  # column, row
    label = traitlets.Unicode().tag(sync=True)  # what a screen reader says
    status = traitlets.Unicode().tag(sync=True)  # a line below the picture
    width = traitlets.Int(420).tag(sync=True)  # in pixels of the screen
    aspect = traitlets.Float(1.0).tag(sync=True)  # width / height

    def on_press(self, act: Callable[[list[int], bool], None]) -> None:
        """Have ``act(cell, first)`` called with each press: the cell as column and row,
        and whether it begins a stroke (False while the mouse is dragged on)."""
        self.on_msg(lambda _, message, __: act(message["press"], message["first"]))
