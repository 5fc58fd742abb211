"""The quantizer alone: ours beside other people's, forward and forward + backward.

All see the same vectors and have an EMA codebook of the same size, without k-means
start or restarts. Runs are interleaved, and a ratio is that of the medians: the machine
may be noisy, the comparison is not.

    pip install -e ".[bench]"
    python benchmarks/quantizer.py --store
"""

import statistics
import time

import click
import torch
from common import tell
from monai.networks.layers.vector_quantizer import EMAQuantizer
from vector_quantize_pytorch import VectorQuantize

from vqlib.models.quantizers import VectorQuantizer

SHAPES = [(16, 64, 32, 16), (16, 64, 64, 32)]
SIZES = [512, 4096]


def contestants(size: int, dim: int) -> dict:
    """Name -> function of z_e [B, D, h, w] that returns z_q and a loss."""
    ours = VectorQuantizer(size, dim, kmeans_steps=0, patience=0).train()
    monai = EMAQuantizer(2, size, dim).train()
    theirs = VectorQuantize(dim, codebook_size=size, accept_image_fmap=True).train()

    def by_ours(z_e):
        out = ours(z_e)
        return out.z_q, out.commitment_loss

    def by_monai(z_e):
        z_q, loss, _ = monai(z_e)
        return z_q, loss

    def by_theirs(z_e):
        z_q, _, loss = theirs(z_e)
        return z_q, loss.sum()

    return {
        "vqlib": by_ours,
        "MONAI EMAQuantizer": by_monai,
        "vector-quantize-pytorch": by_theirs,
    }


def step(quantize, z_e: torch.Tensor, backward: bool) -> float:
    """Seconds of one call in training mode."""
    start = time.perf_counter()
    z_q, loss = quantize(z_e)
    if backward:
        (z_q.mean() + loss).backward()
    return time.perf_counter() - start


@click.command(help=__doc__)
@click.option("--repeats", default=30, show_default=True)
@click.option("--short", is_flag=True, help="One shape, one K, five repeats.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(repeats: int, short: bool, store: bool) -> None:
    cases = [(s, k, b) for s in SHAPES for k in SIZES for b in (False, True)]
    if short:
        cases, repeats = cases[:2], 5
    rows = []
    for shape, size, backward in cases:
        torch.manual_seed(0)
        z_e = torch.randn(shape, requires_grad=True)
        found = contestants(size, shape[1])
        times = {name: [] for name in found}
        for turn in range(repeats + 2):
            for name, quantize in found.items():
                seconds = step(quantize, z_e, backward)
                if turn >= 2:  # the first two warm up
                    times[name].append(seconds)
        medians = {name: statistics.median(values) for name, values in times.items()}
        ratios = {name: value / medians["vqlib"] for name, value in medians.items()}
        rows.append(
            {"shape": shape, "K": size, "backward": backward, "ratios": ratios}
            | {"vqlib_ms": 1000 * medians["vqlib"]}
        )
        what = "forward + backward" if backward else "forward"
        print(f"{shape!s:<18} K {size:<5} {what:<19}", end="")
        print("  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
    tell("quantizer", {"repeats": repeats, "rows": rows}, store)


if __name__ == "__main__":
    main()
