"""The five autoencoders: how each is built, which objective trains it, how it is
scored. Taught in notebooks 02 (VAEs) and 03 (VQ-VAEs)."""

import torch
from torch import Tensor, nn

from vqlib import losses, metrics
from vqlib.data import Augment, SliceDataset
from vqlib.models import (
    FSQ,
    VAE,
    VQVAE,
    VQVAE2,
    Autoencoder,
    Codes,
    GlobalVAE,
    VectorQuantizer,
)
from vqlib.profiles import Profile
from vqlib.recipes.latents import encode
from vqlib.recipes.recipe import Recipe, mean_losses


def build_quantizer(profile: Profile, seed: int = 0) -> VectorQuantizer | FSQ:
    """The quantizer of a VQ-VAE as the profile describes it, untrained."""
    q = profile.quantizer
    if q.kind == "fsq":
        return FSQ(profile.levels)
    return VectorQuantizer(
        profile.autoencoder.codebook_size,
        profile.autoencoder.code_dim,
        patience=q.restart_after if q.restarts else 0,
        kmeans_steps=10 if q.kmeans_start else 0,
        seed=seed,
        ema=q.kind != "gradient",
        cosine=q.kind == "cosine",
    )


@torch.no_grad()
def validate(objective: nn.Module, dataset: SliceDataset) -> dict[str, float]:
    """After each epoch: the mean losses, SSIM, and for a VQ-VAE the use of the codebook
    over the whole split (that of a batch depends on its size)."""
    row, model = mean_losses(objective, dataset), objective.model
    names = ("ssim",)
    scores = metrics.score(model.reconstruct, dataset, device=model.device, names=names)
    row["ssim"] = float(scores["ssim"].mean())
    if isinstance(model, (VQVAE, VQVAE2)):
        row |= _codebook_use(model, encode_levels(model, dataset))
    return row


@torch.no_grad()
def evaluate(model: nn.Module, dataset: SliceDataset, seed: int = 0) -> dict:
    """Scores of an autoencoder on a split, as ``metrics.json`` holds them: every metric
    with its 95 % interval over patients, the rate in bits, and for a VQ-VAE the use of
    its codebook (of both codebooks of a VQ-VAE-2, whose bits are those of both
    levels)."""
    torch.manual_seed(seed)  # a VAE reconstructs from draws
    scores = metrics.score(model.reconstruct, dataset, device=model.device)
    patients = dataset.patients.numpy()
    found = {
        name: metrics.patient_bootstrap(values, patients)._asdict()
        for name, values in scores.items()
    }
    found |= {"split": "test", "slices": len(dataset), "bits_per_slice": None}
    if isinstance(model, (VQVAE, VQVAE2)):
        levels, size = encode_levels(model, dataset), model.quantizer.codebook_size
        found |= _codebook_use(model, levels)
        nominal = (metrics.nominal_bits(c.shape[1:], size) for c in levels.values())
        entropy = (metrics.code_entropy_bits(c, size) for c in levels.values())
        found |= {"bits_per_slice": sum(nominal), "order0_bits": sum(entropy)}
    elif isinstance(model, VAE):
        bits = metrics.kl_bits(*encode(model, dataset))
        found["bits_per_slice"] = float(bits.mean())
    return found


def encode_levels(model: VQVAE | VQVAE2, dataset: SliceDataset) -> dict[str, Tensor]:
    """Codes of every slice of a split, on the CPU, by the suffix of their level: "" for
    the only one, [N, h, w] int64; "_top" and "_bottom" of a VQ-VAE-2."""
    names = [""] if isinstance(model, VQVAE) else [f"_{n}" for n in Codes._fields]
    return dict(zip(names, encode(model, dataset), strict=True))


def encode_codes(model: VQVAE, dataset: SliceDataset) -> Tensor:
    """Codes of every slice of a split: [N, h, w] int64, on the CPU."""
    return encode_levels(model, dataset)[""]


def _codebook_use(model: VQVAE | VQVAE2, levels: dict[str, Tensor]) -> dict:
    """Perplexity and number of codes used, for each level of `encode_levels`."""
    use, size = {}, model.quantizer.codebook_size
    for suffix, codes in levels.items():
        use[f"perplexity{suffix}"] = metrics.perplexity(codes, size)
        use[f"codes_used{suffix}"] = metrics.codes_used(codes, size)
    return use


def _network(p: Profile) -> dict[str, int]:
    """Encoder and decoder, the same for all that are compared."""
    size = p.autoencoder
    return {"factor": p.factor, "width": size.width, "blocks": size.blocks}


def _build_vqvae2(p: Profile, seed: int) -> VQVAE2:
    _ = p.top_grid_shape  # raises where the grid cannot be halved
    top, bottom = (build_quantizer(p, seed + level) for level in range(2))
    return VQVAE2(quantizer=bottom, top_quantizer=top, **_network(p))


def _vqvae_objective(model: nn.Module, p: Profile) -> losses.VQVAEObjective:
    beta = p.quantizer.commitment_weight
    return losses.VQVAEObjective(model, p.autoencoder.ssim_weight, beta)


def _recipe(build, objective, settings: str, notebook: str | None = None) -> Recipe:
    """What all have in common; ``settings`` are those that not all depend on."""
    common = "size grid width blocks augment flip steps epochs batch_size learning_rate"
    return Recipe(
        build,
        objective,
        tuple(f"{common} weight_ema patience {settings}".split()),
        splits=lambda data, source, p: data,
        score=lambda model, data, seed: evaluate(model, data.test, seed),
        validate=validate,
        schedule="autoencoder",
        notebook=notebook,
        augment=lambda p: Augment(flip=p.flip) if p.augment else None,
    )


_CODEBOOK = (
    "codebook_size code_dim quantizer commitment_weight "
    "kmeans_start restarts restart_after fsq_levels ssim_weight"
)
AUTOENCODERS = {
    "vae_global": _recipe(
        lambda p, _: GlobalVAE(p.autoencoder.latent_dim, p.shape, **_network(p)),
        lambda model, p: losses.ELBOObjective(model),
        "latent_dim",
        "02_vae_baseline",
    ),
    "vae": _recipe(
        lambda p, _: VAE(p.autoencoder.latent_channels, **_network(p)),
        # held at the bits of the VQ-VAE that it is compared with
        lambda model, p: losses.RateConstrainedObjective(
            model, p.nominal_bits, p.autoencoder.ssim_weight
        ),
        "latent_channels codebook_size ssim_weight",
        "02_vae_baseline",
    ),
    "autoencoder": _recipe(
        lambda p, _: Autoencoder(p.autoencoder.code_dim, **_network(p)),
        lambda model, p: losses.AutoencoderObjective(model, p.autoencoder.ssim_weight),
        "code_dim ssim_weight",
        "02_vae_baseline",
    ),
    "vqvae": _recipe(
        lambda p, seed: VQVAE(quantizer=build_quantizer(p, seed), **_network(p)),
        _vqvae_objective,
        _CODEBOOK,
        "03_vqvae_training",
    ),
    "vqvae2": _recipe(_build_vqvae2, _vqvae_objective, _CODEBOOK),
}
