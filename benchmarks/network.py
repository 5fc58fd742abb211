"""Which encoder and decoder? Validation SSIM of a VQ-VAE after equal CPU time.

Every candidate is trained on the same slices for the same processor time of one thread
(a schedule by time, so that each has its whole warm-up and cosine), and scored on the
validation patients. FLOPs are counted by torch, forward and backward.

    python benchmarks/network.py --data-dir DIR --store
"""

import click
import torch
from common import tell, train_for
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vqlib import losses, metrics, profiles, recipes
from vqlib.data import open_data
from vqlib.models import networks
from vqlib.models.vqvae import VQVAE


class NarrowBlock(nn.Module):
    """The residual block of the first VQ-VAE: 3x3 to a few channels, 1x1 back."""

    def __init__(self, width: int, hidden: int = 32):
        super().__init__()
        self.conv1 = nn.Conv2d(width, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, width, 1)

    forward = networks.ResidualBlock.forward


class NormedBlock(networks.ResidualBlock):
    """A block with group normalisation in front."""

    def __init__(self, width: int):
        super().__init__(width)
        self.norm = nn.GroupNorm(8, width)

    def forward(self, x):
        return x + self.conv2(self.conv1(self.norm(x).relu()).relu())


def unshuffled(width: int, blocks: int, dim: int):
    """Patches folded into channels at once, all convolutions on the code grid."""
    encoder = nn.Sequential(
        nn.PixelUnshuffle(4),
        nn.Conv2d(16, width, 3, padding=1),
        *(networks.ResidualBlock(width) for _ in range(blocks)),
        nn.ReLU(),
        nn.Conv2d(width, dim, 1),
    )
    decoder = nn.Sequential(
        nn.Conv2d(dim, width, 3, padding=1),
        *(networks.ResidualBlock(width) for _ in range(blocks)),
        nn.ReLU(),
        nn.Conv2d(width, 16, 3, padding=1),
        nn.PixelShuffle(4),
    )
    return encoder, decoder


def half_unshuffled(width: int, blocks: int, dim: int):
    """Folded once, then one strided convolution; the decoder the other way round."""
    half = width // 2
    encoder = nn.Sequential(
        nn.PixelUnshuffle(2),
        nn.Conv2d(4, half, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(half, width, 4, stride=2, padding=1),
        *(networks.ResidualBlock(width) for _ in range(blocks)),
        nn.ReLU(),
        nn.Conv2d(width, dim, 1),
    )
    decoder = nn.Sequential(
        nn.Conv2d(dim, width, 3, padding=1),
        *(networks.ResidualBlock(width) for _ in range(blocks)),
        nn.ReLU(),
        nn.ConvTranspose2d(width, half, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(half, 4, 3, padding=1),
        nn.PixelShuffle(2),
    )
    return encoder, decoder


def strided(width: int, blocks: int, dim: int, block=networks.ResidualBlock):
    """The network of `vqlib`, or the same with another kind of block."""
    encoder = networks.Encoder(4, dim, width, blocks)
    decoder = networks.Decoder(4, dim, width, blocks)
    for net in (encoder.net, decoder.net):
        for i, layer in enumerate(net):
            if isinstance(layer, networks.ResidualBlock):
                net[i] = block(width)
    return encoder, decoder


def shallow(width: int, blocks: int, dim: int):
    """The network of `vqlib` without blocks in the encoder."""
    encoder = networks.Encoder(4, dim, width, 0)
    return encoder, networks.Decoder(4, dim, width, blocks)


CANDIDATES = {  # name: (network, width, blocks, changes of the training)
    "strided 64, 1 block (vqlib)": (strided, 64, 1, {}),
    "strided 64, 2 blocks": (strided, 64, 2, {}),
    "strided 64, 1 block in the decoder only": (shallow, 64, 1, {}),
    "strided 64, 3 blocks": (strided, 64, 3, {}),
    "strided 48, 1 block": (strided, 48, 1, {}),
    "strided 96, 1 block": (strided, 96, 1, {}),
    "strided 64, 1 normed block": (
        lambda w, b, d: strided(w, b, d, NormedBlock),
        64,
        1,
        {},
    ),
    "strided 128, 2 narrow blocks (habitual)": (
        lambda w, b, d: strided(w, b, d, NarrowBlock),
        128,
        2,
        {},
    ),
    "unshuffle by 2, 64, 1 block": (half_unshuffled, 64, 1, {}),
    "unshuffle by 4, 64, 1 block": (unshuffled, 64, 1, {}),
    "batch 2, learning rate 3e-3": (
        strided,
        64,
        1,
        {"batch_size": 2, "learning_rate": 3e-3},
    ),
    "batch 8": (strided, 64, 1, {"batch_size": 8}),
    "batch 16": (strided, 64, 1, {"batch_size": 16}),
    "batch 16, learning rate 2e-3": (
        strided,
        64,
        1,
        {"batch_size": 16, "learning_rate": 2e-3},
    ),
    "learning rate 2e-3": (strided, 64, 1, {"learning_rate": 2e-3}),
    "learning rate 8e-3": (strided, 64, 1, {"learning_rate": 8e-3}),
    "L1 without SSIM": (strided, 64, 1, {"ssim_weight": 0.0}),
    "SSIM weight 0.3": (strided, 64, 1, {"ssim_weight": 0.3}),
    "codes restarted after 10 steps": (strided, 64, 1, {"restart_after": 10}),
    "codes of 32 dimensions": (strided, 64, 1, {"code_dim": 32}),
}


def measure(name: str, data, seconds: float, seed: int) -> dict:
    """Train one candidate for so many processor seconds, and score it."""
    network, width, blocks, changes = CANDIDATES[name]
    profile = profiles.get("quick", **changes)
    torch.manual_seed(seed)
    encoder, decoder = network(width, blocks, profile.code_dim)
    quantizer = recipes.build_quantizer(profile, seed)
    model = VQVAE(encoder, quantizer, decoder)
    objective = losses.VQVAEObjective(model, profile.ssim_weight)
    objective.eval()  # a first training step would count the k-means start as well
    with FlopCounterMode(display=False) as counter:
        objective({"image": data.validate.images[:1]})["loss"].backward()
    objective.train()
    steps = train_for(
        seconds,
        objective,
        data.train.images,
        profile.batch_size,
        profile.learning_rate,
    )
    model.eval()
    scores = {
        split: metrics.score(model.reconstruct, getattr(data, split))
        for split in ("validate", "test")
    }
    return {
        "network": name,
        "gflop_per_slice": counter.get_total_flops() / 1e9,
        "parameters": sum(p.numel() for p in model.parameters()),
        "slices_seen": steps * profile.batch_size,
        "val_ssim": float(scores["validate"]["ssim"].mean()),
        "val_psnr": float(scores["validate"]["psnr"].mean()),
        "test_ssim": float(scores["test"]["ssim"].mean()),
    }


@click.command(help=__doc__)
@click.option("--data-dir", metavar="DIR", help="Slices; the phantom when left out.")
@click.option("--seconds", default=75.0, show_default=True, help="CPU time of each.")
@click.option("--seed", default=0, show_default=True)
@click.option("--only", multiple=True, help="Candidates whose name holds this text.")
@click.option("--short", is_flag=True, help="Two candidates, five seconds each.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(data_dir, seconds, seed, only, short, store) -> None:
    torch.set_num_threads(1)  # processor time is then comparable on a busy machine
    names = [n for n in CANDIDATES if not only or any(text in n for text in only)]
    if short:
        names, seconds = names[:2], 5.0
    data = open_data(data_dir, profiles.get("quick"))
    rows = []
    print(f"{'network':<42}{'GFLOP':>7}{'slices':>8}{'val SSIM':>10}{'PSNR':>7}")
    for name in names:
        row = measure(name, data, seconds, seed)
        rows.append(row)
        print(
            f"{name:<42}{row['gflop_per_slice']:>7.2f}{row['slices_seen']:>8}"
            f"{row['val_ssim']:>10.3f}{row['val_psnr']:>7.2f}",
            flush=True,
        )
    best = max(rows, key=lambda row: row["val_ssim"])
    result = {"data": data.name, "cpu_seconds": seconds, "rows": rows}
    result["best"] = best["network"]
    tell("network", result, store)


if __name__ == "__main__":
    main()
