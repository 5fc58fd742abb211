"""Controls to play with in a live notebook, and a still picture everywhere else.

``ipywidgets.interact`` can stall a run without a browser (a known and open fault of
nbclient, 3 to 5 runs in 100). So `explore` asks first whether somebody is there:

- ``VQLIB_HEADLESS=1``, which ``vqlib tutorial`` and the tests set, means nobody;
- outside a Jupyter kernel there is nobody either;
- a program that executes notebooks (papermill, nbconvert, nbval) says with each cell
  that it cannot answer input requests, while JupyterLab, VS Code and the classic
  notebook can.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral

import matplotlib.pyplot as plt

from lessons.curves import training_curves


def explore(draw: Callable, **controls) -> None:
    """Call ``draw(**values)``, and again whenever the reader moves a control.

    Headless it is drawn once, with the values that the controls begin with.

    Args:
        draw: draws matplotlib figures from its arguments. What a default of an
            argument says is where its slider or menu begins.
        controls: one for each argument, as `ipywidgets.interact` takes them: a slider
            is ``(low, high)`` or ``(low, high, step)``, a menu a list or a dictionary,
            a box to tick True or False, a field a text; or a widget.
    """
    if is_headless():
        draw(**first_values(draw, controls))
        plt.show()
    else:
        live(draw, controls)


def is_headless() -> bool:
    """Whether no reader could move a control; see the top of this module."""
    if os.environ.get("VQLIB_HEADLESS", "") not in ("", "0"):
        return True
    kernels = sys.modules.get("ipykernel.kernelapp")  # there in every kernel
    if kernels is None or not kernels.IPKernelApp.initialized():
        return True
    request = kernels.IPKernelApp.instance().kernel.get_parent("shell") or {}
    return not request.get("content", {}).get("allow_stdin", True)


def first_values(draw: Callable, controls: Mapping[str, object]) -> dict:
    """What the controls begin with, by the rules of ipywidgets, without making any."""
    arguments = inspect.signature(draw).parameters
    values = {}
    for name, control in controls.items():
        default = getattr(arguments.get(name), "default", inspect.Parameter.empty)
        chosen = isinstance(control, (tuple, list, Mapping))
        if chosen and default is not inspect.Parameter.empty:
            values[name] = default
        else:
            values[name] = _first_value(control)
    return values


def _first_value(control):
    if hasattr(control, "value"):  # a widget
        return control.value
    if isinstance(control, tuple):
        low, high, *step = control
        whole = isinstance(high - low, Integral)
        value = low + ((high - low) // 2 if whole else (high - low) / 2)
        return low + int((value - low) / step[0]) * step[0] if step else value
    if isinstance(control, Mapping):
        return next(iter(control.values()))
    if isinstance(control, list):
        named = isinstance(control[0], tuple) and len(control[0]) == 2
        return control[0][1] if named else control[0]
    return control


def live(draw: Callable, controls: Mapping[str, object]):
    """Display the controls and the figure; returns the widget that holds them."""
    import ipywidgets  # of the extra `lab`, not needed headless

    @functools.wraps(draw)
    def without_result(**values):  # a figure that is returned would be shown twice
        draw(**values)

    widget = ipywidgets.interact(without_result, **controls).widget
    for control in widget.kwargs_widgets:
        if hasattr(control, "continuous_update"):
            control.continuous_update = False  # draw when the slider is let go
    return widget


def present(widget) -> None:
    """Show a widget to the reader."""
    from IPython.display import display  # is there where a notebook is

    display(widget)


def live_curves(**style) -> Callable[[Mapping[str, Sequence[float]]], None]:
    """For ``on_epoch`` of a training: the curves so far, in one figure that is drawn
    anew after each epoch. Headless nothing is drawn; the history remains to be shown.

    ``style`` is that of `training_curves`: ``keys``, ``labels``, ``columns``.
    """
    handle = None

    def draw(history: Mapping[str, Sequence[float]]) -> None:
        nonlocal handle
        if is_headless():
            return
        figure = training_curves(history, **style)
        plt.close(figure)  # or the cell would show it once more at its end
        if handle is None:
            from IPython.display import display  # is there where a notebook is

            handle = display(figure, display_id=True)
        else:
            handle.update(figure)

    return draw
