"""How long each widget takes to redraw: from a press or a moved slider to the new
picture, in the kernel, with networks of the quick profile. Of the sampler the whole
slice counts, drawn code by code.

Weights are random, since a trained network takes as long. The way to the browser and
back comes on top. Besides the five widgets, one slice drawn with matplotlib, for
comparison.

    python benchmarks/widgets.py --store
"""

import statistics
import time

import click
import ipywidgets
import torch
from common import tell

from lessons import boards, browser, explorer, images, painter
from lessons.touch import Touch
from vqlib import profiles, recipes
from vqlib.data import SliceDataset
from vqlib.metrics import atlas


def leaves(widget) -> list:
    if not isinstance(widget, ipywidgets.Box):
        return [widget]
    return [leaf for child in widget.children for leaf in leaves(child)]


def named(widget, name: str):
    """The control or picture of this name."""
    return next(
        w
        for w in leaves(widget)
        if name in (w.label if isinstance(w, Touch) else w.description)
    )


def redraws(profile_name: str) -> dict:
    """Name → a function that makes the n-th change."""
    profile = profiles.get(profile_name)
    vqvae, vae, prior = (
        recipes.build(kind, profile, 0).eval()
        for kind in ("vqvae", "vae_global", "prior")
    )
    n, (h, w), k = 12, profile.grid_shape, profile.codebook_size
    random = torch.Generator().manual_seed(0)
    slices = torch.rand(n, 1, *profile.shape, generator=random)
    codes = torch.randint(k, (n, h, w), generator=random)
    labels = torch.randint(6, (n, *profile.shape), generator=random).to(torch.uint8)
    numbers = torch.zeros(n, dtype=torch.int64)
    data = SliceDataset(slices, labels, torch.zeros(n), numbers, numbers)
    patches, groups = torch.rand(k, 12, 12, generator=random), {"all": list(range(k))}
    titles = [f"slice {i}" for i in range(n)]
    decode = torch.no_grad()(vqvae.decode)
    push = torch.no_grad()(vae.decode)
    zero, spread = (
        {"zero": torch.zeros(profile.latent_dim)},
        torch.ones(profile.latent_dim),
    )

    leafing = browser.live_browser(data, {0: {0: list(range(n))}}, (0.0, 1.0))
    painting = painter.live_painter(
        codes, decode, patches, groups, titles, 0, 1, (slice(4, 8), slice(2, 6))
    )
    exploring = explorer.live_explorer(
        slices,
        codes,
        patches,
        groups,
        titles * k,
        titles,
        0,
        lambda code: atlas.example_patches(slices, codes, code),
    )
    board = boards.live_board(push, zero, list(range(8)), spread)

    def press(widget, name: str, cell: list[int]) -> None:
        named(widget, name)._handle_custom_msg({"press": cell, "first": True}, [])

    def draw(temperature, position, seed, on_row):
        return prior.sample(
            torch.tensor([position]), temperature, seed=seed, on_row=on_row
        )

    drawing = boards.live_sampler(draw, decode, 1.0, 0.5, 0)

    def sample(i: int) -> None:
        named(drawing, "seed").value = i

    def paint(i: int) -> None:
        named(painting, "palette of codes").cursor = [i % 16, 0]
        press(painting, "slice to paint", [i % h, i % w])

    return {
        "slice browser": lambda i: setattr(named(leafing, "slice"), "value", 1 + i % n),
        "code painter": paint,
        "codebook explorer": lambda i: setattr(
            named(exploring, "palette of codes"), "cursor", [i % 16, i % 8]
        ),
        "latent board": lambda i: setattr(named(board, "unit 3"), "value", i % 30 / 10),
        "sampler": sample,
        "one slice with matplotlib": lambda i: images.show_slices(
            slices[i % n]
        ).canvas.draw(),
    }


@click.command(help=__doc__)
@click.option("--redraws", "times", default=50, show_default=True)
@click.option("--profile", default="quick", show_default=True)
@click.option("--short", is_flag=True, help="Ten redraws each: seconds.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(times: int, profile: str, short: bool, store: bool) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    times, table = 10 if short else times, {}
    print(f"{'redraw in ms':>28}{'median':>9}{'worst':>9}{'CPU':>9}")
    for name, redraw in redraws(profile).items():
        for i in range(1, 4):
            redraw(i)  # warm
        seconds, used = [], time.process_time()
        for i in range(4, 4 + times):
            started = time.perf_counter()
            redraw(i)
            seconds.append(time.perf_counter() - started)
            plt.close("all")
        row = {
            "median_ms": 1000 * statistics.median(seconds),
            "worst_ms": 1000 * max(seconds),
            "cpu_ms": 1000 * (time.process_time() - used) / times,
        }
        table[name] = {key: round(value, 1) for key, value in row.items()}
        print(f"{name:>28}" + "".join(f"{value:9.1f}" for value in row.values()))
    tell("widgets", {"profile": profile, "redraws": times, "table": table}, store)


if __name__ == "__main__":
    main()
