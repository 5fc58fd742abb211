"""Sliders that steer a generator: the latents of a VAE, the draws of a prior."""

import time
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor

from lessons import pixels
from lessons.figures import slice_rows
from lessons.samples import sample_rows
from lessons.widgets import is_headless, present

REACH = 3.0  # standard deviations either way
PAUSE = 0.2  # seconds from one picture of a slice that is being drawn to the next

# temperature, position, seed and `on_row` of `vqlib.priors.sampling.sample` ->
# codes [1, h, w]
Draw = Callable[[float, float, int, Callable[[Tensor], None] | None], Tensor]


def latent_board(
    decode: Callable[[Tensor], Tensor],
    starts: Mapping[str, Tensor],
    units: Sequence[int],
    spread: Tensor,
) -> None:
    """Push some numbers of a latent vector and see what they draw.

    Headless it draws what the first units do by themselves.

    Args:
        decode: latents `[n, L]` → slices `[n, 1, H, W]` on the CPU.
        starts: name of a slice → its latent `[L]`.
        units: which of the L numbers get a slider.
        spread: `[L]`, the standard deviation of each number over the data.
    """
    if not is_headless():
        present(live_board(decode, starts, units, spread))
        return
    start, pushes = next(iter(starts.values())), (-3, -1.5, 0, 1.5, 3)
    rows = {}
    for unit in units[:4]:
        moved = start.repeat(len(pushes), 1)
        moved[:, unit] += torch.tensor(pushes) * spread[unit]
        rows[f"unit {unit}"] = decode(moved)
    slice_rows(rows, [f"{push:+g} sd" if push else "as it is" for push in pushes])
    plt.show()


def live_board(decode, starts, units, spread):
    """The board with its sliders; returns the widget that holds them."""
    import ipywidgets  # of the extra `lab`, not needed headless

    from lessons.touch import Touch

    slices = ipywidgets.Dropdown(options=list(starts), description="slice")
    sliders = [
        ipywidgets.FloatSlider(
            0.0, min=-REACH, max=REACH, step=0.1, description=f"unit {unit}"
        )
        for unit in units
    ]
    reset = ipywidgets.Button(description="all to 0")
    aspect = pixels.ASPECT
    view = Touch(touchable=False, label="decoded slice", width=420, aspect=aspect)
    still = Touch(touchable=False, label="change", width=250, aspect=aspect)
    still.status = "change: more signal red, less blue"

    def draw(*_):
        start = starts[slices.value]
        moved = start.clone()
        for unit, slider in zip(units, sliders, strict=True):
            moved[unit] += slider.value * spread[unit]
        before, after = decode(torch.stack([start, moved]))
        view.picture = pixels.png(pixels.grey(after))
        still.picture = pixels.png(pixels.change(after - before))
        pushed = sum(slider.value != 0 for slider in sliders)
        view.status = f"{slices.value}, {pushed} of {len(sliders)} units pushed"

    def to_zero(_):
        for slider in sliders:
            slider.value = 0.0

    slices.observe(draw, "value")
    for slider in sliders:
        slider.observe(draw, "value")
    reset.on_click(to_zero)
    draw()
    controls = ipywidgets.VBox([slices, *sliders, reset])
    return ipywidgets.HBox([controls, ipywidgets.VBox([view, still])])


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
        present(live_sampler(draw, decode, temperature, position, seed))
        return
    heats = (0.5 * temperature, temperature, 1.5 * temperature)
    codes = [draw(heat, position, seed, None) for heat in heats]
    pictures = torch.cat([decode(c) for c in codes])
    titles = [f"temperature {heat:.2g}" for heat in heats]
    sample_rows({f"position {position:.2g}\nseed {seed}": pictures}, titles)
    plt.show()


def live_sampler(draw, decode, temperature: float, position: float, seed: int):
    """The sampler with its controls; returns the widget that holds them."""
    import ipywidgets  # of the extra `lab`, not needed headless

    from lessons.touch import Touch

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
    view = Touch(touchable=False, width=420, aspect=pixels.ASPECT)
    view.label = "a slice drawn from the prior"

    def show(*_):
        view.status, shown = "drawing …", time.monotonic()

        def so_far(codes):
            nonlocal shown
            if time.monotonic() - shown < PAUSE:
                return
            rows = int((codes[0, :, 0] >= 0).sum())
            if rows == codes.shape[1]:
                return  # the whole is shown below
            part = decode(codes[:, :rows])
            whole = part.shape[2] // rows * codes.shape[1]
            blank = (0, 0, 0, whole - part.shape[2])
            view.picture = pixels.png(pixels.grey(F.pad(part, blank)))
            shown = time.monotonic()

        image = decode(draw(heat.value, place.value, number.value, so_far))
        view.picture = pixels.png(pixels.grey(image))
        view.status = (
            f"temperature {heat.value:.1f}, position {place.value:.2f}, "
            f"seed {number.value}"
        )

    def next_seed(_):
        number.value = (number.value + 1) % (10**6 + 1)

    for control in (heat, place, number):
        control.observe(show, "value")
    another.on_click(next_seed)
    show()
    controls = ipywidgets.VBox([heat, place, number, another])
    return ipywidgets.HBox([controls, ipywidgets.VBox([view])])
