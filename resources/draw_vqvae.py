"""Draw the VQ-VAE: its five components and the path of the training signal.

    python resources/draw_vqvae.py [FILE]

The objective and the straight-through estimator are those of van den Oord, Vinyals and
Kavukcuoglu (2017), arXiv 1711.00937, section 3.2; the moving average that updates the
codebook is their appendix A.1.
"""

import sys
from pathlib import Path

import numpy as np
from drawing import (
    BLACK,
    BLUE,
    CODES,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    Canvas,
    shades,
)

LEVEL = 38  # height of the data flow
TOP = 55  # height of the gradient's way back
SIDE = 4  # positions of the code grid along each side


def draw() -> Canvas:
    """The whole drawing."""
    page = Canvas(124, 62)
    chosen = np.random.default_rng(3).integers(len(CODES), size=(SIDE, SIDE))
    _data_flow(page, chosen)
    _codebook(page)
    _training_signal(page)
    return page


def _data_flow(page: Canvas, chosen: np.ndarray) -> None:
    page.slice(8, LEVEL, 13)
    page.text(8, LEVEL - 5.6, "slice $x$", 12)
    page.arrow((15, LEVEL), (19, LEVEL))
    page.funnel(26, LEVEL, 13, 19, 9, BLUE, "Encoder")
    page.arrow((33, LEVEL), (37, LEVEL))
    page.grid(43, LEVEL, shades(SIDE, SIDE, seed=1))
    page.text(43, LEVEL - 8, "$z_e$  $[D, h, w]$", 12)
    page.arrow((49, LEVEL), (53, LEVEL))

    page.box(63.5, LEVEL + 0.5, 20, 21, PURPLE, "#faf3f7", lw=1.6)
    page.text(63.5, LEVEL + 8.2, "quantization", 13, weight="bold")
    names = [*"1234", "K"]
    numbers = [[names[k] for k in row] for row in chosen]
    page.grid(63.5, LEVEL, [["#ead3e0"] * SIDE] * SIDE, 2.7, numbers)
    page.text(63.5, LEVEL - 7.7, r"$k=\mathrm{argmin}_j\,\Vert z_e-e_j\Vert^2$", 10.5)

    page.arrow((74, LEVEL), (78, LEVEL))
    page.grid(84, LEVEL, [[CODES[k] for k in row] for row in chosen])
    page.text(84, LEVEL - 8, "$z_q = e_k$", 12)
    page.arrow((90, LEVEL), (94, LEVEL))
    page.funnel(101, LEVEL, 13, 9, 19, BLUE, "Decoder")
    page.arrow((108, LEVEL), (111, LEVEL))
    page.slice(116.8, LEVEL, 10.4, blurred=True)
    page.text(116.8, LEVEL - 5.6, r"$\hat{x}$", 13)


def _codebook(page: Canvas) -> None:
    x, y = 63.5, 12
    page.box(x, y, 38, 19, ORANGE, "#fdf8ec", lw=1.6)
    page.text(x, y + 6.6, "embedding space (codebook)", 13, weight="bold")
    for k, color in enumerate(CODES):
        left = x - 12 + 6 * k
        page.grid(left, y - 0.3, [[color]] * 3, 2.6)
        name = f"$e_{k + 1}$" if k < len(CODES) - 1 else "$e_K$"
        page.text(left, y - 6.4, name, 12)
    page.text(x + 9, y - 0.3, "…", 13)
    page.arrow((x, y + 10), (x, LEVEL - 10.6))
    page.text(x + 1.2, y + 12.4, "the nearest\ncode vector", 10, GREY, ha="left")
    # the codebook follows what the encoder puts out, without a gradient
    page.path([(43, LEVEL - 10.2), (43, y), (44, y)], GREEN, dashed=False, width=2)
    page.text(
        41.6,
        y + 4,
        "EMA update:\neach code vector\nmoves to the mean\nof the $z_e$ that\nchose it",
        10.5,
        GREEN,
        ha="right",
    )


def _training_signal(page: Canvas) -> None:
    x, y = 104, 12
    page.box(x, y, 34, 19, VERMILION, "#fdf1ea", lw=1.6)
    page.text(x, y + 6.6, "training signal", 13, weight="bold")
    page.text(x, y + 1.6, r"error of the reconstruction, $x$ and $\hat{x}$", 10.5)
    page.text(
        x, y - 2.3, r"+ commitment  $\alpha\,\Vert z_e-\mathrm{sg}[e_k]\Vert^2$", 10.5
    )
    page.text(x, y - 6.4, "sg: stop-gradient", 10, GREY)
    page.path([(116.8, LEVEL - 8), (116.8, y + 10)], BLACK, dashed=False)

    # back into the decoder, over the quantization, into the encoder
    corner = [(x + 17.2, y), (123.2, y), (123.2, TOP), (101, TOP)]
    page.path([*corner, (101, LEVEL + 8)], VERMILION, width=2)
    page.text(112, TOP + 2.2, "gradient", 12, VERMILION)
    page.arrow((94.3, LEVEL + 3.2), (90, LEVEL + 3.2), VERMILION, True, width=2)
    over = [(84, LEVEL + 5.8), (84, TOP), (43, TOP), (43, LEVEL + 5.8)]
    page.path(over, VERMILION, width=3)  # dashed: not a derivative, a copy
    page.arrow((37.3, LEVEL + 3.2), (33, LEVEL + 3.2), VERMILION, True, width=2)
    page.text(
        63.5, TOP + 2.6, "straight-through estimator", 13, VERMILION, weight="bold"
    )
    copy = r"$\partial L/\partial z_e\;\leftarrow\;\partial L/\partial z_q$"
    page.text(63.5, TOP - 2.8, copy, 12, VERMILION)


if __name__ == "__main__":
    default = Path(__file__).with_name("vqvae.svg")
    draw().save(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
