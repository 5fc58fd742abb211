"""Shapes that the project's drawings share: boxes, grids of vectors, arrows.

Text becomes paths, so that a drawing looks the same everywhere. Colours are those of
Okabe and Ito, told apart by colour-blind readers too; each path of the training signal
has its own colour *and* its own dash.
"""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import (
    Ellipse,
    FancyArrowPatch,
    FancyBboxPatch,
    Polygon,
    Rectangle,
)

BLACK, GREY, PALE = "#222222", "#777777", "#f4f4f2"
BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
ORANGE, VERMILION, PURPLE, YELLOW = "#E69F00", "#D55E00", "#CC79A7", "#F0E442"
CODES = (SKY, ORANGE, GREEN, YELLOW, PURPLE)  # the code vectors of a small codebook


class Canvas:
    """A white page of ``width x height`` units; one unit is a tenth of an inch."""

    def __init__(self, width: float, height: float):
        self.figure = Figure(figsize=(width / 10, height / 10), facecolor="white")
        FigureCanvasSVG(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        self.axes.axis("off")

    def text(self, x, y, words, size=11, color=BLACK, **style):
        style = {"ha": "center", "va": "center", "linespacing": 1.35} | style
        self.axes.text(x, y, words, fontsize=size, color=color, **style)

    def box(self, x, y, width, height, edge=GREY, face=PALE, **style):
        """A box with round corners; ``x, y`` is its middle."""
        corner = (x - width / 2 + 1, y - height / 2 + 1)
        shape = "round,pad=1,rounding_size=1.2"
        style = {"lw": 1.2} | style
        self.axes.add_patch(
            FancyBboxPatch(
                corner, width - 2, height - 2, shape, ec=edge, fc=face, **style
            )
        )

    def funnel(self, x, y, width, left, right, color, words):
        """An encoder or a decoder: a side of height ``left`` narrows to ``right``."""
        corners = [
            (x - width / 2, y - left / 2),
            (x - width / 2, y + left / 2),
            (x + width / 2, y + right / 2),
            (x + width / 2, y - right / 2),
        ]
        self.axes.add_patch(
            Polygon(corners, fc=color, ec="none", joinstyle="round", zorder=2)
        )
        self.text(x, y, words, 13, "white", weight="bold", zorder=3)

    def grid(self, x, y, colors, cell=2.6, words=None):
        """Cells of a feature map; ``colors`` is a list of rows, ``words`` goes in."""
        rows, columns = len(colors), len(colors[0])
        left, top = x - columns * cell / 2, y + rows * cell / 2
        for i, row in enumerate(colors):
            for j, color in enumerate(row):
                corner = (left + j * cell, top - (i + 1) * cell)
                self.axes.add_patch(
                    Rectangle(corner, cell, cell, fc=color, ec="white", lw=1.2)
                )
                if words is not None:
                    middle = (corner[0] + cell / 2, corner[1] + cell / 2)
                    self.text(*middle, words[i][j], 9)

    def slice(self, x, y, width, blurred=False):
        """A stylised coronal slice of a pelvis, twice as wide as it is high; or a
        reconstruction of it, smooth and without its small parts."""
        height = 0.47 * width
        corner = (x - width / 2, y - height / 2)
        frame = Rectangle(corner, width, height, fc="#111111", ec="none")
        self.axes.add_patch(frame)
        shapes = []
        for rim, color in (0.0, "#b0b0b0"), (0.05, "#5d5d5d"):  # fat, then muscle
            shapes += [(0, 0.5, 0.74 - rim, 2.2, color)]  # trunk, cut by the frame
            shapes += [(s * 0.23, -0.5, 0.44 - rim, 1.3, color) for s in (-1, 1)]
        shapes += [(0, -0.62, 0.05, 0.5, "#111111")]  # between the thighs
        for side in (-1, 1):
            shapes += [
                (side * 0.26, 0.26, 0.1, 0.44, "#c4c4c4"),  # ilium
                (side * 0.23, -0.08, 0.12, 0.26, "#e4e4e4"),  # head of the femur
                (side * 0.3, -0.36, 0.07, 0.44, "#d2d2d2"),  # its shaft
            ]
        shapes += [(0, 0.08, 0.2, 0.3, "#f4f4f4")]  # bladder
        shapes += [(0, -0.22, 0.1, 0.18, "#8f8f8f")]  # prostate
        small = [(side * 0.26, 0.26, 0.05, 0.3, "#7d7d7d") for side in (-1, 1)]
        small += [(side * 0.23, -0.08, 0.06, 0.13, "#ffffff") for side in (-1, 1)]
        small += [(0, -0.22, 0.04, 0.07, "#d0d0d0"), (0.05, 0.38, 0.06, 0.1, "#c9c9c9")]
        for u, v, w, h, color in shapes + ([] if blurred else small):
            # a soft edge is several outlines on top of each other
            for grow in (1.3, 1.15, 1.0, 0.85, 0.7) if blurred else (1.0,):
                wide, high = w * width * grow, h * height * grow
                patch = Ellipse(
                    (x + u * width, y + v * height), wide, high, fc=color, ec="none"
                )
                patch.set_alpha(0.3 if blurred else 1.0)
                self.axes.add_patch(patch).set_clip_path(frame)

    def arrow(self, start, end, color=BLACK, dashed=False, bend=0.0, width=1.6):
        self.axes.add_patch(
            FancyArrowPatch(
                start,
                end,
                arrowstyle="-|>",
                mutation_scale=13,
                color=color,
                lw=width,
                linestyle=(0, (4, 2)) if dashed else "solid",
                connectionstyle=f"arc3,rad={bend}",
                shrinkA=0,
                shrinkB=0,
                zorder=4,
            )
        )

    def path(self, points, color, dashed=True, width=1.6):
        """A line round corners that ends in an arrow."""
        x, y = zip(*points[:-1], strict=True)
        style = (0, (4, 2)) if dashed else "solid"
        if len(x) > 1:
            self.axes.plot(x, y, color=color, lw=width, ls=style, zorder=4)
        self.arrow(points[-2], points[-1], color, dashed, width=width)

    def save(self, path: Path) -> None:
        """Write an SVG, the same bytes for the same matplotlib, or a PNG to look at."""
        with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": path.stem}):
            if path.suffix == ".svg":
                self.figure.savefig(path, metadata={"Date": None})
            else:
                self.figure.savefig(path, dpi=110)


def shades(rows: int, columns: int, seed: int, low="#cfe6f5", high=BLUE) -> list[list]:
    """Colours between two, as a feature map of real numbers has them."""
    mix = np.random.default_rng(seed).random((rows, columns))
    ends = [np.array(matplotlib.colors.to_rgb(c)) for c in (low, high)]
    return [
        [tuple(ends[0] * (1 - m) + ends[1] * m) for m in row] for row in mix.round(3)
    ]
