"""The models that slices are drawn with: label maps and their prior, the sharp VAE and
VQ-VAE, and a learned prior for each. Taught in notebook 05."""

from functools import partial

import torch
from torch import nn
from torch.utils.data import Dataset

from vqlib import losses, metrics
from vqlib.data import Mirrored, SliceData
from vqlib.models import VQVAE, Critic, SharpVAE, SharpVQVAE, VectorQuantizer
from vqlib.priors import LatentFlow
from vqlib.profiles import Profile
from vqlib.recipes.detail import (
    build_detail,
    residual_splits,
    score_detail,
    use_residuals,
)
from vqlib.recipes.latents import (
    LABELS,
    PLANES,
    Latents,
    all_labels,
    build_prior,
    encode,
    need_labels,
    reconstruct,
    score_flow,
    score_prior,
)
from vqlib.recipes.maps import build_maps, map_latents, map_splits, score_maps
from vqlib.recipes.recipe import Recipe, Splits, mean_losses

NOTEBOOK = "05_prior_generation"


def _labels(p: Profile) -> int:
    return LABELS if p.organs_first else 0


def _factor(p: Profile) -> int:
    return p.shape[0] // p.grid_of("generator")[0]


def _slice_splits(data: SliceData, source: None, p: Profile) -> Splits:
    if p.organs_first:
        need_labels(data, "a generator with organs first")
    return Splits(Mirrored(data.train), data.validate, data.test)


def _build_vqvae(p: Profile, seed: int) -> SharpVQVAE:
    s = p.generator
    quantizer = VectorQuantizer(s.codebook_size, s.code_dim, patience=3, seed=seed)
    return SharpVQVAE(
        factor=_factor(p),
        width=s.width,
        labels=_labels(p),
        quantizer=quantizer,
    )


def _build_vae(p: Profile, seed: int) -> SharpVAE:
    s = p.generator
    return SharpVAE(s.latent_channels, _factor(p), s.width, _labels(p))


def _with_critic(objective: nn.Module, p: Profile) -> losses.AdversarialObjective:
    s = p.generator
    return losses.AdversarialObjective(
        objective,
        Critic(_labels(p), max(8, s.width // 24 * 8)),
        s.critic_weight,
        s.feature_weight,
        s.critic_start,
    )


def _vqvae_objective(model: nn.Module, p: Profile) -> losses.AdversarialObjective:
    beta = p.quantizer.commitment_weight
    inner = losses.VQVAEObjective(model, p.generator.ssim_weight, beta)
    return _with_critic(inner, p)


def _vae_objective(model: nn.Module, p: Profile) -> losses.AdversarialObjective:
    bits = metrics.nominal_bits(p.grid_of("generator"), p.generator.codebook_size)
    inner = losses.RateConstrainedObjective(model, bits, p.generator.ssim_weight)
    return _with_critic(inner, p)


@torch.no_grad()
def _score_slices(model: SharpVAE | SharpVQVAE, splits: Splits, seed: int) -> dict:
    torch.manual_seed(seed)  # a VAE reconstructs from draws
    test, patients = splits.test, splits.test.patients.numpy()
    found = metrics.slice_scores(
        reconstruct(model, test), test.images, metrics.body_masks(test)
    )
    scores = {
        name: metrics.patient_bootstrap(values.numpy(), patients)._asdict()
        for name, values in found.items()
    }
    latents = encode(model, test, bool(model.decoder.labels))
    if isinstance(model, SharpVAE):
        scores["bits_per_slice"] = float(metrics.kl_bits(*latents).mean())
    else:
        size, codes = model.quantizer.codebook_size, latents[0]
        scores["bits_per_slice"] = metrics.nominal_bits(codes.shape[1:], size)
        scores["order0_bits"] = metrics.code_entropy_bits(codes, size)
        scores["perplexity"] = metrics.perplexity(codes, size)
        scores["codes_used"] = metrics.codes_used(codes, size)
    return {"split": "test", "slices": len(test)} | scores


def _latents(names: tuple[str, ...], data: SliceData, source, p: Profile) -> Splits:
    given = bool(source.decoder.labels)

    def latents(dataset: Dataset) -> Latents:
        rows = dict(zip(names, encode(source, dataset, given), strict=True))
        labels = all_labels(dataset) if given else None
        return Latents(rows, dataset.positions, dataset.patients, labels)

    return Splits(*map(latents, (Mirrored(data.train), data.validate, data.test)))


def _use_codebook(prior: nn.Module, source: VQVAE, splits: Splits) -> None:
    prior.use_codebook(source.quantizer.codebook.detach().cpu())


def _use_latents(flow: LatentFlow, source: SharpVAE, splits: Splits) -> None:
    flow.use_latents(**splits.train.rows)


def _build_flow(p: Profile, seed: int) -> LatentFlow:
    s, planes = p.generator, PLANES if p.organs_first else 0
    return LatentFlow(s.latent_channels, p.grid_of("generator"), p.flow.width, planes)


def _names(group: str, text: str) -> tuple[str, ...]:
    return tuple(f"{group}_{name}" for name in text.split())


_TRAINING = "steps epochs batch_size learning_rate"
_MAPS = ("size", *_names("maps", f"grid codebook_size code_dim width {_TRAINING}"))
_PRIOR = _names("prior", f"dropout dim layers heads {_TRAINING}")
_WEIGHTS = "ssim_weight critic_weight feature_weight critic_start"
_SHARP = (
    *("size", "organs_first"),
    *_names("generator", f"grid codebook_size width {_WEIGHTS} {_TRAINING}"),
)
_SHARP_VQVAE = (*_SHARP, "generator_code_dim", "commitment_weight")
_SHARP_VAE = (*_SHARP, "generator_latent_channels")
_sharp = partial(
    Recipe,
    splits=_slice_splits,
    score=_score_slices,
    validate=mean_losses,
    schedule="generator",
    notebook=NOTEBOOK,
    betas=(0.5, 0.95),  # a critic's target moves, so old gradients mislead
    weight_ema=0.995,
    keep_last=True,
)
_prior = partial(
    Recipe,
    objective=lambda model, p: losses.PriorObjective(model),
    score=score_prior,
    validate=mean_losses,
    schedule="prior",
    notebook=NOTEBOOK,
    attach=_use_codebook,
    weight_decay=0.05,
)
GENERATORS = {
    "maps": Recipe(
        build_maps,
        lambda model, p: losses.MapObjective(model, LABELS),
        _MAPS,
        splits=map_splits,
        score=score_maps,
        validate=mean_losses,
        schedule="maps",
        notebook=NOTEBOOK,
    ),
    "maps_prior": _prior(
        build=lambda p, _: build_prior(p, "maps", 0),
        settings=(*_MAPS, *_PRIOR),
        splits=map_latents,
        source="maps",
    ),
    "sharp_vqvae": _sharp(_build_vqvae, _vqvae_objective, _SHARP_VQVAE),
    "sharp_vae": _sharp(_build_vae, _vae_objective, _SHARP_VAE),
    "prior": _prior(
        build=lambda p, _: build_prior(p, "generator", PLANES * p.organs_first),
        settings=(*_SHARP_VQVAE, *_PRIOR),
        splits=partial(_latents, ("codes",)),
        source="sharp_vqvae",
    ),
    "flow": Recipe(
        _build_flow,
        lambda model, p: losses.FlowObjective(model),
        (*_SHARP_VAE, *_names("flow", f"width {_TRAINING}")),
        splits=partial(_latents, ("mu", "logvar")),
        score=score_flow,
        validate=mean_losses,
        schedule="flow",
        notebook=NOTEBOOK,
        source="sharp_vae",
        attach=_use_latents,
        weight_ema=0.999,
    ),
    "detail": Recipe(
        build_detail,
        lambda model, p: losses.FlowObjective(model),
        (*_SHARP_VQVAE, *_names("detail", f"width {_TRAINING}")),
        splits=residual_splits,
        score=score_detail,
        validate=mean_losses,
        schedule="detail",
        source="sharp_vqvae",
        attach=use_residuals,
        weight_ema=0.999,
    ),
}
