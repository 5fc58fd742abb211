"""Draw the VAE: encoder, latent with its two forms, decoder and training signal.

    python resources/draw_vae.py [FILE]

The evidence lower bound and the reparameterisation are those of Kingma and Welling
(2014), arXiv 1312.6114, equations 3 and 4.
"""

import sys
from pathlib import Path

from drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, Canvas, shades

LEVEL = 38  # height of the data flow
TOP = 55  # height of the gradient's way back


def draw() -> Canvas:
    """The whole drawing."""
    page = Canvas(124, 62)
    _data_flow(page)
    _two_forms(page)
    _training_signal(page)
    return page


def _data_flow(page: Canvas) -> None:
    page.slice(8, LEVEL, 13)
    page.text(8, LEVEL - 5.6, "slice $x$", 12)
    page.arrow((15, LEVEL), (19, LEVEL))
    page.funnel(26, LEVEL, 13, 19, 9, BLUE, "Encoder")

    page.arrow((33, LEVEL + 2), (37.5, LEVEL + 4.2))
    page.arrow((33, LEVEL - 2), (37.5, LEVEL - 4.2))
    page.grid(43.5, LEVEL + 5, shades(3, 4, seed=1))
    page.text(51, LEVEL + 5, r"$\mu$", 14)
    page.grid(43.5, LEVEL - 5, shades(3, 4, 2, "#fbe9c6", ORANGE))
    page.text(52, LEVEL - 5, r"$\sigma$", 14)
    page.text(43.5, LEVEL - 11.2, r"$q(z\,|\,x)$", 12)

    page.arrow((53, LEVEL + 4.4), (57, LEVEL + 2.4))
    page.arrow((53.8, LEVEL - 4.4), (57, LEVEL - 2.4))
    page.box(66, LEVEL, 17, 15, PURPLE, "#faf3f7", lw=1.6)
    page.text(66, LEVEL + 4, "sampling", 13, weight="bold")
    page.text(66, LEVEL - 0.2, r"$z=\mu+\sigma\odot\varepsilon$", 12.5)
    page.text(66, LEVEL - 4.4, r"$\varepsilon\sim\mathcal{N}(0, I)$", 12, GREY)
    page.arrow((75, LEVEL), (79, LEVEL))
    page.grid(84.6, LEVEL, shades(3, 4, 3, "#d5efe6", GREEN))
    page.text(84.6, LEVEL - 7, "$z$", 13)
    page.arrow((90.3, LEVEL), (94, LEVEL))
    page.funnel(101, LEVEL, 13, 9, 19, BLUE, "Decoder")
    page.arrow((108, LEVEL), (111, LEVEL))
    page.slice(116.8, LEVEL, 10.4, blurred=True)
    page.text(116.8, LEVEL - 5.6, r"$\hat{x}$", 13)


def _two_forms(page: Canvas) -> None:
    x, y = 40, 11.5
    page.box(x, y, 77, 20, GREEN, "#f1faf6", lw=1.6)
    page.text(x, y + 7, "latent $z$, in two forms", 13, weight="bold")
    page.grid(x - 19, y + 0.3, shades(1, 8, 4, "#d5efe6", GREEN))
    page.text(
        x - 19, y - 5.4, "one vector for the whole slice:\nthe textbook's VAE", 10.5
    )
    page.grid(x + 19, y + 0.6, shades(2, 4, 5, "#d5efe6", GREEN))
    page.text(
        x + 19, y - 5.4, "a vector at each position:\nsame rate as the VQ-VAE", 10.5
    )
    page.axes.plot([x, x], [y - 8, y + 4], color=GREY, lw=1, ls=(0, (1, 2)))


def _training_signal(page: Canvas) -> None:
    x, y = 101, 11.5
    page.box(x, y, 40, 20, VERMILION, "#fdf1ea", lw=1.6)
    page.text(x, y + 7, "training signal (ELBO)", 13, weight="bold")
    page.text(x, y + 2.4, r"error of the reconstruction, $x$ and $\hat{x}$", 10.5)
    rate = r"+ $\beta\;\mathrm{KL}\left(\,q(z\,|\,x)\;\Vert\;\mathcal{N}(0,I)\,\right)$"
    page.text(x, y - 2, rate, 11.5)
    page.text(x, y - 6.4, "the KL is the rate: nats per slice", 10, GREY)
    page.path([(116.8, LEVEL - 8), (116.8, y + 10.5)], "#222222", dashed=False)

    # back through the decoder, through the sampling, into the encoder
    corner = [(x + 20.2, y), (123.2, y), (123.2, TOP), (101, TOP)]
    page.path([*corner, (101, LEVEL + 8)], VERMILION, width=2)
    page.text(112, TOP + 2.2, "gradient", 12, VERMILION)
    page.arrow((94.3, LEVEL + 2.9), (90.2, LEVEL + 2.9), VERMILION, True, width=2)
    # the noise comes in from outside, so the draw has a derivative for both μ and σ
    over = [(84.6, LEVEL + 4.5), (84.6, TOP), (66, TOP), (66, LEVEL + 8.2)]
    page.path(over, VERMILION, dashed=False, width=3)
    for side in (-1, 1):
        inner, outer = (57, LEVEL + side * 5.6), (53.4, LEVEL + side * 7.4)
        page.arrow(inner, outer, VERMILION, width=3)
        inner, outer = (37, LEVEL + side * 7.6), (32.6, LEVEL + side * 5.4)
        page.arrow(inner, outer, VERMILION, True, width=2)
    page.text(51, TOP + 2.4, "reparameterisation", 13, VERMILION, weight="bold")
    why = "the noise comes from outside, so the\ngradient reaches $\\mu$ and $\\sigma$"
    page.text(50, TOP - 1.8, why, 10.5, VERMILION)


if __name__ == "__main__":
    default = Path(__file__).with_name("vae.svg")
    draw().save(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
