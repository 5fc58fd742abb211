"""Sliders that steer a prior: temperature, position in the volume, seed. Used in
notebook 05."""

import time
from collections.abc import Callable

import ipywidgets
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from IPython.display import display
from torch import Tensor

from lessons.figures import slice_rows
from lessons.widgets import pixels
from lessons.widgets.headless import is_headless

PAUSE = 0.2  # seconds from one picture of a slice that is being drawn to the next

# temperature, position, seed and `on_row` of a prior's `sample` -> codes [1, h, w]
Draw = Callable[[float, float, int, Callable[[Tensor], None] | None], Tensor]


def sampler(
    draw: Draw,
    decode: Callable[[Tensor], Tensor],
    temperature: float = 1.0,
    position: float = 0.5,
    seed: int = 0,
) -> None:
    """Draw new slices: temperature, position in the volume, seed. A slice that takes
    longer than a fifth of a second is shown while it grows.

    Headless it draws one at each of three temperatures.

    Args:
        draw: from a prior.
        decode: codes `[1, h, w]`, or the first of their rows, → slice `[1, 1, H, W]`,
            or as much of it, on the CPU.
        temperature: to begin with.
        position: to begin with, from 0 (back) to 1 (front).
        seed: to begin with.
    """
    if not is_headless():
        display(live_sampler(draw, decode, temperature, position, seed))
        return
    heats = (0.5 * temperature, temperature, 1.5 * temperature)
    pictures = torch.cat([decode(draw(t, position, seed, None)) for t in heats])
    titles = [f"temperature {t:.2g}" for t in heats]
    slice_rows({f"position {position:.2g}\nseed {seed}": pictures}, titles)
    plt.show()


def live_sampler(draw, decode, temperature: float, position: float, seed: int):
    """The sampler with its controls; returns the widget that holds them."""
    # draw when the slider is let go; a label is as wide as its word
    settled = {"continuous_update": False, "style": {"description_width": "initial"}}
    heat = ipywidgets.FloatSlider(
        temperature, min=0.0, max=2.0, step=0.1, description="temperature", **settled
    )
    place = ipywidgets.FloatSlider(
        position, min=0.0, max=1.0, step=0.05, description="position", **settled
    )
    number = ipywidgets.BoundedIntText(seed, min=0, max=10**6, description="seed")
    another = ipywidgets.Button(description="another seed")
    view = ipywidgets.Image(width=420, height=round(420 / pixels.ASPECT))
    status = ipywidgets.Label()

    def show(*_) -> None:
        status.value, shown = "drawing …", time.monotonic()

        def so_far(codes: Tensor) -> None:
            nonlocal shown
            rows = int((codes[0, :, 0] >= 0).sum())
            if time.monotonic() - shown < PAUSE or rows == codes.shape[1]:
                return
            part = decode(codes[:, :rows])
            missing = part.shape[2] // rows * (codes.shape[1] - rows)
            view.value = pixels.png(pixels.grey(F.pad(part, (0, 0, 0, missing))))
            shown = time.monotonic()

        image = decode(draw(heat.value, place.value, number.value, so_far))
        view.value = pixels.png(pixels.grey(image))
        status.value = (
            f"temperature {heat.value:.1f}, position {place.value:.2f}, "
            f"seed {number.value}"
        )

    def next_seed(_) -> None:
        number.value = (number.value + 1) % (10**6 + 1)

    for control in (heat, place, number):
        control.observe(show, "value")
    another.on_click(next_seed)
    show()
    controls = ipywidgets.VBox([heat, place, number, another])
    return ipywidgets.HBox([controls, ipywidgets.VBox([view, status])])
