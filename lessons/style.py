"""One style for all figures: sizes, colours, and the geometry of a slice.

The colours are those of Okabe and Ito (2008), which readers with any form of colour
blindness can tell apart, also on grey.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import seaborn
import torch

from vqlib.data import LABEL_NAMES, NATIVE_SIZE, PIXEL_MM

WIDTH = 10.0  # inches, the widest figure; 900 pixels at the dpi below
SLICE_MM = tuple(n * mm for n, mm in zip(NATIVE_SIZE, PIXEL_MM, strict=True))
EXTENT = (0.0, SLICE_MM[0], 0.0, SLICE_MM[1])  # of an upright slice, in mm

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
    "WebP": "#555555",
    "AVIF": "#111111",
    "JPEG 2000": "#AAAAAA",
}


def use_style() -> None:
    """Set the figure style; call it once, in the setup cell of a notebook."""
    seaborn.set_theme(context="notebook", style="ticks", palette="colorblind")
    plt.rcParams.update(
        {
            "figure.dpi": 90,
            "savefig.dpi": 90,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
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


def colours(names) -> list[str]:
    """A colour for each name: that of the model where it is one, else the next of the
    palette."""
    spare = iter(seaborn.color_palette("colorblind", max(len(names), 1)).as_hex())
    return [MODEL_COLOURS.get(name) or next(spare) for name in names]


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


def mark_levels(axis, levels: Mapping[str, float]) -> None:
    """Dashed horizontal lines with their names: controls in a plot of scores."""
    for name, value in levels.items():
        axis.axhline(value, linestyle="--", linewidth=1, color="0.5")
        axis.annotate(
            name,
            (1.0, value),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color="0.35",
        )
