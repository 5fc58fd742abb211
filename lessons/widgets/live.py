"""Learning curves that grow while a model trains. Used in notebooks 02, 03 and 05."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import display

from lessons.curves import training_curves
from lessons.widgets.headless import is_headless


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
            handle = display(figure, display_id=True)
        else:
            handle.update(figure)

    return draw
