"""One style for all figures: sizes, colours, and the geometry of a slice.

The colours of labels and models are those of Okabe and Ito (2008), which readers with
any form of colour blindness can tell apart, also on grey.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from vqlib.data import LABEL_NAMES, NATIVE_SIZE, PIXEL_MM

WIDTH = 10.0  # inches, the widest figure; 900 pixels at the dpi below
SLICE_MM = tuple(n * mm for n, mm in zip(NATIVE_SIZE, PIXEL_MM, strict=True))
EXTENT = (0.0, SLICE_MM[0], 0.0, SLICE_MM[1])  # of an upright slice, in mm

PALETTE = (  # for what has no colour of its own
    *("#0173B2", "#DE8F05", "#029E73", "#D55E00", "#CC78BC"),
    *("#CA9161", "#FBAFE4", "#949494", "#ECE133", "#56B4E9"),
)
CHANGE = "RdBu_r"  # colour map of differences: red is more, blue is less
LABEL_COLOURS = dict(
    zip(
        LABEL_NAMES,
        ("#000000", "#009E73", "#F0E442", "#56B4E9", "#D55E00", "#CC79A7"),
        strict=True,
    )
)
# one colour for each model in every figure, by the names of the run's parts and by the
# headings of the results table
MODEL_COLOURS = {
    "vae_global": "#E69F00",
    "VAE, one vector": "#E69F00",
    "vae": "#0072B2",
    "VAE": "#0072B2",
    "VAE, spatial": "#0072B2",
    "vqvae": "#D55E00",
    "VQ-VAE": "#D55E00",
    "vqvae2": "#CC79A7",
    "VQ-VAE-2": "#CC79A7",
    "autoencoder": "#009E73",
    "mean image": "#999999",
    "training slices": "#999999",
    "WebP": "#555555",
    "AVIF": "#111111",
    "JPEG 2000": "#AAAAAA",
}
DASHED = {"linestyle": "--", "linewidth": 1, "color": "0.5"}  # a level to compare with


def use_style() -> None:
    """Set the figure style; call it once, in the setup cell of a notebook."""
    plt.rcParams.update(
        {
            "figure.dpi": 90,
            "savefig.dpi": 90,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
            "axes.prop_cycle": plt.cycler(color=PALETTE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "figure.titlesize": 11,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.frameon": False,
        }
    )


def colours(names: Sequence[str]) -> list[str]:
    """A colour for each name: that of the model where it is one, else the next of the
    palette."""
    others = [name for name in names if name not in MODEL_COLOURS]
    spare = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(others)}
    return [MODEL_COLOURS.get(name) or spare[name] for name in names]


def panels(number: int, height: float = 3.0, **options) -> tuple[Figure, np.ndarray]:
    """A figure of full width and its axes in one row; ``options`` of `plt.subplots`."""
    size = {"figsize": (WIDTH, height), "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(1, number, **size, **options)
    return figure, axes[0]


def as_slices(images) -> np.ndarray:
    """Tensor or array `[H, W]`, `[N, H, W]` or `[N, 1, H, W]` → array `[N, H, W]`.

    Raises ValueError for other shapes.
    """
    if isinstance(images, torch.Tensor):
        images = images.detach().cpu().numpy()
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim == 2:
        images = images[None]
    if images.ndim != 3:
        raise ValueError(f"{images.shape} is not [H, W], [N, H, W] or [N, 1, H, W]")
    return images


def plain_log(which: str, axis, base: int = 2) -> None:
    """A logarithmic axis, ``"x"`` or ``"y"``, whose ticks are plain numbers."""
    getattr(axis, f"set_{which}scale")("log", base=base)
    getattr(axis, f"{which}axis").set_major_formatter(
        lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:.3g}"
    )
