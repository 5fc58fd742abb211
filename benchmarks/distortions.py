"""Which distortion? A VQ-VAE trained with each, for equal processor time.

Same network, slices and schedule; only the distance between a slice and its
reconstruction differs. A term that costs time has to pay for it, since fewer steps are
left. Scored on the validation patients by SSIM, PSNR and sharpness: the share of edges
that comes back in place, and the Gaussian blur that does as much harm to them. Added
terms are weighted so that each is about as large as L1 at the errors of a trained
network; no weight was tuned.

    python benchmarks/distortions.py --data-dir DIR --store
"""

from collections.abc import Callable

import click
import torch
import torch.nn.functional as F
from common import over_seeds, tell, train_for
from torch import Tensor, nn

from vqlib import losses, metrics, profiles, recipes
from vqlib.data import open_data
from vqlib.metrics.sharpness import edge_recovery, equivalent_blur
from vqlib.models.networks import Decoder, Encoder
from vqlib.models.vae import Autoencoder

Distortion = Callable[[Tensor, Tensor], Tensor]
SCORES = ("ssim", "psnr", "ms_ssim", "edges", "blur")
SCALES = 3  # at 128 x 64 the window of SSIM fits into three


def ms_ssim(r: Tensor, x: Tensor) -> Tensor:
    """∏_j (mean cs_j)^w_j · (mean l_M cs_M)^w_M over M scales, each half as large as
    the one before: Wang et al. 2003 (doi 10.1109/ACSSC.2003.1292216), eq. 7, with their
    weights of the scales that fit, made to sum to 1."""
    weights = metrics.reconstruction.MS_SSIM_BETAS[:SCALES]
    product = 1.0
    for scale, weight in enumerate(weights, start=1):
        luminance, similarity = losses.similarity_maps(r, x)
        if scale == SCALES:
            similarity = luminance * similarity
        mean = similarity.mean((1, 2)).clamp_min(1e-4)  # [B]
        product = product * mean ** (weight / sum(weights))
        r, x = F.avg_pool2d(r, 2), F.avg_pool2d(x, 2)
    return product.mean()


def gradients(r: Tensor, x: Tensor) -> Tensor:
    """Σ_s mean |∂_h d_s| + mean |∂_w d_s| with d = r − x, averaged over squares of 2^s
    pixels: the multi-scale gradient matching of Li & Snavely 2018 (arXiv 1804.00607,
    section 4.1), on grey values."""
    d, total = r - x, 0.0
    for _ in range(SCALES):
        total = total + d.diff(dim=2).abs().mean() + d.diff(dim=3).abs().mean()
        d = F.avg_pool2d(d, 2)
    return total


def haar(r: Tensor, x: Tensor) -> Tensor:
    """Σ_s mean |W_s (r − x)|: L1 of the details of an orthonormal Haar transform
    (Mallat 1989, doi 10.1109/34.192463), along h, along w and diagonal, on each of a
    few scales."""
    d, total = r - x, 0.0
    for _ in range(SCALES):
        a, b = d[..., ::2, ::2], d[..., 1::2, ::2]
        c, e = d[..., ::2, 1::2], d[..., 1::2, 1::2]
        for detail in (a + b - c - e, a - b + c - e, a - b - c + e):
            total = total + (detail / 2).abs().mean()
        d = (a + b + c + e) / 2
    return total


class Features(nn.Module):
    """Σ_l mean |φ_l(r) − φ_l(x)| with φ_l the activations of an autoencoder's encoder
    after each of its halvings (Johnson et al. 2016, arXiv 1603.08155, eq. 2, with L1).
    The autoencoder was trained here, on the same slices; nothing is downloaded."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        layers = list(encoder.net)
        self.stages = nn.ModuleList([nn.Sequential(*layers[:2]), layers[2]])
        self.requires_grad_(False)

    def forward(self, r: Tensor, x: Tensor) -> Tensor:
        total = 0.0
        for stage in self.stages:
            r, x = stage(r), stage(x)
            total = total + F.l1_loss(r, x) / x.abs().mean().clamp_min(1e-6)
        return total


def train_features(images: Tensor, seconds: float) -> Features:
    """The network whose features are compared, and its own training."""
    torch.manual_seed(0)
    model = Autoencoder(Encoder(4, 8, 32, 1), Decoder(4, 8, 32, 1))
    train_for(seconds, losses.AutoencoderObjective(model, 0.1), images, 4, 4e-3)
    return Features(model.encoder)


def similar(r: Tensor, x: Tensor, weight: float = 0.1) -> Tensor:
    """What `vqlib` trains with: L1 + w · (1 − SSIM)."""
    return losses.distortion(r, x, weight)


DISTORTIONS: dict[str, Distortion] = {
    "L1 + 0.1 (1 − SSIM) (vqlib)": similar,
    "L1": F.l1_loss,
    "10 L2": lambda r, x: 10 * F.mse_loss(r, x),
    "L1 + 0.3 (1 − SSIM)": lambda r, x: similar(r, x, 0.3),
    "L1 + 0.5 (1 − MS-SSIM)": lambda r, x: F.l1_loss(r, x) + 0.5 * (1 - ms_ssim(r, x)),
    "vqlib's + 0.2 gradients": lambda r, x: similar(r, x) + 0.2 * gradients(r, x),
    "vqlib's + 0.1 Haar": lambda r, x: similar(r, x) + 0.1 * haar(r, x),
}
FEATURES = "vqlib's + 0.2 features"


class Objective(nn.Module):
    """A VQ-VAE's objective with any distortion."""

    def __init__(self, model: nn.Module, distortion: Distortion, beta: float):
        super().__init__()
        self.model, self.distortion, self.beta = model, distortion, beta

    def forward(self, batch: dict[str, Tensor]) -> losses.Losses:
        out = self.model(batch["image"])
        distance = self.distortion(out.reconstruction, batch["image"])
        return {"loss": distance + self.beta * out.commitment_loss}


def measure(name: str, distortion: Distortion, data, seconds: float, seed: int) -> dict:
    """Train with one distortion for so many processor seconds, and score."""
    profile = profiles.get("quick")
    model = recipes.build("vqvae", profile, seed)
    objective = Objective(model, distortion, profile.commitment_weight)
    torch.manual_seed(seed)
    images, batch_size = data.train.images, profile.batch_size
    steps = train_for(seconds, objective, images, batch_size, profile.learning_rate)
    model.eval()
    scores = metrics.score(model.reconstruct, data.validate)
    truth = data.validate.images
    with torch.no_grad():
        ours = torch.cat([model.reconstruct(x) for x in truth.split(64)])
    found = {
        "edges": edge_recovery(ours, truth).mean(),
        "blur": equivalent_blur(ours, truth).mean(),
    }
    found |= {score: scores[score].mean() for score in ("ssim", "psnr", "ms_ssim")}
    row = {"distortion": name, "seed": seed, "slices_seen": steps * batch_size}
    return row | {score: float(found[score]) for score in SCORES}


@click.command(help=__doc__)
@click.option("--data-dir", metavar="DIR", help="Slices; the phantom when left out.")
@click.option("--seconds", default=30.0, show_default=True, help="CPU time of each.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--only", multiple=True, help="Distortions whose name holds this text.")
@click.option("--short", is_flag=True, help="Three seconds each, one seed.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(data_dir, seconds: float, seeds: int, only, short: bool, store: bool) -> None:
    torch.set_num_threads(1)  # processor time is then comparable on a busy machine
    seconds, seeds = (3.0, 1) if short else (seconds, seeds)
    data = open_data(data_dir, profiles.get("quick"))
    compared = {
        name: distortion
        for name, distortion in (DISTORTIONS | {FEATURES: None}).items()
        if not only or any(text in name for text in only)
    }
    if FEATURES in compared:
        features = train_features(data.train.images, seconds)
        compared[FEATURES] = lambda r, x: similar(r, x) + 0.2 * features(r, x)
    rows = []
    try:
        for seed in range(seeds):
            for name, distortion in compared.items():
                rows.append(measure(name, distortion, data, seconds, seed))
                values = "  ".join(f"{key} {rows[-1][key]:.3f}" for key in SCORES)
                print(f"seed {seed}  {name:<30}{values}", flush=True)
    except KeyboardInterrupt:  # the seeds that are complete count
        seeds = len(rows) // len(compared)
        rows = rows[: seeds * len(compared)]
    table = over_seeds(rows, "distortion", ("slices_seen", *SCORES))
    print(f"{'':<30}{'slices':>8}" + "".join(f"{score:>18}" for score in SCORES))
    for line in table:
        cells = (f"{line[s]:.3f} ± {line[f'{s}_sd']:.3f}" for s in SCORES)
        print(
            f"{line['distortion']:<30}{line['slices_seen']:>8.0f}"
            + "".join(f"{cell:>18}" for cell in cells)
        )
    result = {"data": data.name, "cpu_seconds": seconds, "seeds": seeds}
    tell("distortions", result | {"rows": rows, "table": table}, store)


if __name__ == "__main__":
    main()
