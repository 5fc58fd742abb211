"""Every model is built and found again here; autoencoders are trained and scored here,
priors in `vqlib.recipes.priors`."""

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vqlib import losses, metrics
from vqlib.data import LABEL_NAMES, Augment, SliceData, SliceDataset, make_loader
from vqlib.errors import UserError, unknown_name
from vqlib.models import (
    FSQ,
    VAE,
    VQVAE,
    VQVAE2,
    Autoencoder,
    Codes,
    GlobalVAE,
    Segmenter,
    VectorQuantizer,
    rotate,
    straight_through,
)
from vqlib.priors import CodePrior, PixelCNN, TransformerPrior
from vqlib.profiles import Profile
from vqlib.recipes.shared import claim, mean_losses
from vqlib.runs import Run, load_json, save_json
from vqlib.training import FitSettings, fit, load_weights, make_fabric

KINDS = ("vae_global", "vae", "autoencoder", "vqvae", "vqvae2")
MADE_BY = {  # which notebook, where one does
    "vae_global": "02_vae_baseline",
    "vae": "02_vae_baseline",
    "autoencoder": "02_vae_baseline",
    "vqvae": "03_vqvae_training",
    "vqvae2": None,
    "prior": "05_prior_generation",
    "prior_top": None,
    "prior_bottom": None,
    "segmenter": "05_prior_generation",
}
ORGANS = len(LABEL_NAMES) - 2  # every slice has background and body


def build(kind: str, profile: Profile, seed: int = 0) -> nn.Module:
    """An untrained model; its initial weights follow from the seed."""
    if kind not in MADE_BY:
        raise unknown_name("model", kind, MADE_BY)
    torch.manual_seed(seed)
    if kind == "segmenter":
        return Segmenter()
    if kind.startswith("prior"):
        return _build_prior(kind, profile)
    p = profile
    network = {"factor": p.shape[0] // p.grid_shape[0]}
    network |= {"width": p.width, "blocks": p.blocks}
    if kind == "autoencoder":
        return Autoencoder(p.code_dim, **network)
    if kind == "vae":
        return VAE(p.latent_channels, **network)
    if kind == "vae_global":
        return GlobalVAE(p.latent_dim, p.shape, **network)
    if kind == "vqvae":
        return VQVAE(quantizer=build_quantizer(profile, seed), **network)
    _ = p.top_grid_shape
    top, bottom = (build_quantizer(profile, seed + i) for i in range(2))
    return VQVAE2(quantizer=bottom, top_quantizer=top, **network)


def _build_prior(kind: str, profile: Profile) -> CodePrior:
    p = profile
    shared = {
        "codebook_size": p.codebook_size,
        "grid": p.top_grid_shape if kind == "prior_top" else p.grid_shape,
        "top_grid": p.top_grid_shape if kind == "prior_bottom" else None,
        "code_dim": len(p.levels) if p.quantizer == "fsq" else p.code_dim,
        "dropout": p.prior_dropout,
        "organs": ORGANS,
    }
    if p.prior == "pixelcnn":
        return PixelCNN(dim=p.pixelcnn_dim, layers=p.pixelcnn_layers, **shared)
    return TransformerPrior(
        dim=p.prior_dim, layers=p.prior_layers, heads=p.prior_heads, **shared
    )


def part_name(kind: str, profile: Profile) -> str:
    """The folder of a model within a run: its kind, and for a prior other than the
    transformer its name too, so that a run can hold both."""
    if kind.startswith("prior") and profile.prior != "transformer":
        return f"{kind}_{profile.prior}"
    return kind


def codebooks(kind: str, model: VQVAE | VQVAE2) -> tuple[Tensor, ...]:
    """What a prior of this kind must know of its autoencoder: the vectors of the codes
    that it is over, [K, D], and of the top codes that it is told."""
    if kind == "prior":
        return (model.quantizer.codebook.detach().cpu(),)
    top = model.top_quantizer.codebook.detach().cpu()
    if kind == "prior_top":
        return (top,)
    return model.quantizer.codebook.detach().cpu(), top


def build_quantizer(profile: Profile, seed: int = 0) -> VectorQuantizer | FSQ:
    """The quantizer of a VQ-VAE as the profile describes it, untrained."""
    p = profile
    if p.quantizer == "fsq":
        return FSQ(p.levels)
    return VectorQuantizer(
        p.codebook_size,
        p.code_dim,
        patience=p.restart_after if p.restarts else 0,
        kmeans_steps=10 if p.kmeans_start else 0,
        seed=seed,
        ema=p.quantizer != "gradient",
        cosine=p.quantizer == "cosine",
        estimator=rotate if p.gradient_estimator == "rotation" else straight_through,
    )


def objective_for(kind: str, model: nn.Module, profile: Profile) -> nn.Module:
    """The objective that a model of this kind is trained with."""
    if kind == "vae_global":
        return losses.ELBOObjective(model)
    if kind == "vae":
        return losses.RateConstrainedObjective(
            model, profile.nominal_bits, profile.ssim_weight
        )
    if kind == "autoencoder":
        return losses.AutoencoderObjective(model, profile.ssim_weight)
    if kind in ("vqvae", "vqvae2"):
        return losses.VQVAEObjective(
            model, profile.ssim_weight, profile.commitment_weight
        )
    if kind == "segmenter":
        return losses.SegmentationObjective(model)
    return losses.PriorObjective(model)


def train(
    kind: str,
    profile: Profile,
    data: SliceData,
    run: Run,
    seed: int = 0,
    device: str = "auto",
    on_epoch=None,
    fabric: Fabric | None = None,
    **computing,
) -> nn.Module:
    """Train one of `KINDS`, or load it where the run holds it with the same settings.

    ``fabric`` (see `make_fabric`) says where to train in place of ``device``;
    ``computing`` are ``compile`` and ``channels_last`` of `FitSettings`. Returns the
    best model by validation, in eval mode, and writes its test scores. Raises
    `UserError` where the run folder was made with other settings.
    """
    fabric = fabric or make_fabric(device)
    folder = run.part(kind)
    claim(folder, kind, profile, data, seed, fabric.is_global_zero)
    model = build(kind, profile, seed)
    objective = objective_for(kind, model, profile)
    fit(
        objective,
        data.train,
        folder,
        FitSettings(
            profile.training_epochs(len(data.train)),
            profile.batch_size,
            profile.learning_rate,
            weight_ema=profile.weight_ema,
            patience=profile.patience,
            seed=seed,
            **computing,
        ),
        validate=_autoencoder_validation(kind, data.validate, profile.codebook_size),
        fabric=fabric,
        description=f"training {kind}",
        augment=Augment(flip=profile.flip) if profile.augment else None,
        on_epoch=on_epoch,
    )
    if not (folder / "metrics.json").exists() and fabric.is_global_zero:
        save_json(folder / "metrics.json", evaluate(kind, model, data.test, seed))
    fabric.barrier()
    return model


def load(kind: str, profile: Profile, data: SliceData, run: Run, seed: int = 0):
    """A trained model from the run folder, in eval mode, on the CPU.

    Raises `UserError`, naming the notebook that makes it, where there is none; and
    where it was made with other settings.
    """
    folder = run.folder / part_name(kind, profile)
    if not (folder / "best.safetensors").exists():
        notebook = MADE_BY[kind]
        way = f"run notebook {notebook} first, or " if notebook else "run "
        raise UserError(
            f"{folder} holds no trained model; {way}"
            f"`vqlib train {kind} --run {run.name}`"
        )
    claim(folder, kind, profile, data, seed)
    model = build(kind, profile, seed)
    load_weights(objective_for(kind, model, profile), folder)
    if kind.startswith("prior"):
        source = "vqvae" if kind == "prior" else "vqvae2"
        vqvae = load(source, profile, data, run, seed)
        model.check_codebook(*codebooks(kind, vqvae))
    return model.eval()


@torch.no_grad()
def evaluate(kind: str, model: nn.Module, dataset: SliceDataset, seed: int = 0) -> dict:
    """Scores of a reconstruction model on a split, as `metrics.json` holds them.

    Every metric with its 95 % interval over patients, the rate in bits, and for a
    VQ-VAE the use of its codebook; for both codebooks of a VQ-VAE-2, whose bits are
    those of both levels.
    """
    device = next(model.parameters()).device
    torch.manual_seed(seed)  # a VAE reconstructs from draws
    scores = metrics.score(model.reconstruct, dataset, device=device)
    patients = dataset.patients.numpy()
    result = {
        name: metrics.patient_bootstrap(values, patients)._asdict()
        for name, values in scores.items()
    }
    result |= {"split": "test", "slices": len(dataset), "bits_per_slice": None}
    if kind in ("vqvae", "vqvae2"):
        levels = encode_levels(model, dataset)
        size = model.quantizer.codebook_size
        result |= _codebook_use(levels, size)
        result |= {
            "bits_per_slice": sum(
                metrics.nominal_bits(codes.shape[1:], size) for codes in levels.values()
            ),
            "order0_bits": sum(
                metrics.code_entropy_bits(codes, size) for codes in levels.values()
            ),
        }
    elif kind in ("vae", "vae_global"):
        bits = [
            metrics.kl_bits(*model.encode(batch["image"].to(device))).cpu()
            for batch in make_loader(dataset, 64)
        ]
        result["bits_per_slice"] = float(torch.cat(bits).mean())
    return result


@torch.no_grad()
def encode_levels(
    model: VQVAE | VQVAE2, dataset: SliceDataset, batch_size: int = 64
) -> dict[str, Tensor]:
    """Codes of every slice of a split, on the CPU, by the ending that tells the level:
    "" for the only one, [N, h, w] int64; "_top" and "_bottom" of a VQ-VAE-2."""
    device = next(model.parameters()).device
    parts = [
        model.encode(batch["image"].to(device))
        for batch in make_loader(dataset, batch_size)
    ]
    if not isinstance(parts[0], Codes):
        return {"": torch.cat([codes.cpu() for codes in parts])}
    return {
        f"_{level}": torch.cat([codes.cpu() for codes in of_level])
        for level, of_level in zip(Codes._fields, zip(*parts, strict=True), strict=True)
    }


def encode_codes(model: VQVAE, dataset: SliceDataset, batch_size: int = 64) -> Tensor:
    """Codes of every slice of a split: [N, h, w] int64, on the CPU."""
    return encode_levels(model, dataset, batch_size)[""]


def _codebook_use(levels: dict[str, Tensor], size: int) -> dict[str, float]:
    """Perplexity and number of codes used, for each level of `encode_levels`."""
    use = {}
    for ending, codes in levels.items():
        use[f"perplexity{ending}"] = metrics.perplexity(codes, size)
        use[f"codes_used{ending}"] = metrics.codes_used(codes, size)
    return use


def read_metrics(run: Run, kind: str) -> dict:
    """``metrics.json`` of one part of a run; raises `UserError` where it is missing."""
    return load_json(Path(run.folder) / kind / "metrics.json")


def _autoencoder_validation(kind: str, dataset: SliceDataset, codebook_size: int):
    """What is measured after each epoch: the mean losses, SSIM, and for a VQ-VAE the
    use of the codebook over the whole split (that of a batch depends on its size)."""

    def validate(objective: nn.Module) -> dict[str, float]:
        row = mean_losses(objective, dataset)
        model = objective.model
        device = next(model.parameters()).device
        scores = metrics.score(
            model.reconstruct, dataset, device=device, names=("ssim",)
        )
        row["ssim"] = float(scores["ssim"].mean())
        if kind in ("vqvae", "vqvae2"):
            row |= _codebook_use(encode_levels(model, dataset), codebook_size)
        return row

    return validate
