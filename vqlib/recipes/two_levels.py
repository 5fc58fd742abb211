"""The priors over the two levels of a VQ-VAE-2: the top codes, and the bottom codes
given them (Razavi et al. 2019, arXiv 1906.00446, section 3.2)."""

import torch.nn.functional as F
from torch import Tensor, nn

from vqlib import losses
from vqlib.data import SliceData, SliceDataset
from vqlib.models import VQVAE2
from vqlib.priors import TransformerPrior
from vqlib.profiles import Profile
from vqlib.recipes.autoencoders import AUTOENCODERS, encode_levels
from vqlib.recipes.generators import PRIOR_SETTINGS
from vqlib.recipes.latents import Latents, score_prior
from vqlib.recipes.recipe import Recipe, Splits, mean_losses


class BottomCodes(Latents):
    """Bottom codes with the vectors of the top codes above each place as a context."""

    def __init__(self, model: VQVAE2, levels: dict[str, Tensor], dataset: SliceDataset):
        super().__init__(
            {"codes": levels["_bottom"]}, dataset.positions, dataset.patients
        )
        self.top, self.vectors = levels["_top"], model.top_quantizer.codebook.cpu()

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return super().__getitem__(i) | {
            "context": top_planes(self.vectors, self.top[i : i + 1], self.grid)[0]
        }


def top_planes(vectors: Tensor, top: Tensor, grid: tuple[int, int]) -> Tensor:
    """Top codes [B, h/2, w/2] as a context for bottom codes: [B, D, h, w]."""
    return F.interpolate(vectors.detach()[top].movedim(-1, 1), grid)


def _splits(level: str):
    def splits(data: SliceData, source: VQVAE2, p: Profile) -> Splits:
        def latents(dataset: SliceDataset) -> Latents:
            levels = encode_levels(source, dataset)
            if level == "bottom":
                return BottomCodes(source, levels, dataset)
            codes = {"codes": levels["_top"]}
            return Latents(codes, dataset.positions, dataset.patients)

        return Splits(*map(latents, (data.train, data.validate, data.test)))

    return splits


def _build(p: Profile, level: str) -> TransformerPrior:
    s, dim = p.prior, p.autoencoder.code_dim
    if p.quantizer.kind == "fsq":
        dim = len(p.levels)
    bottom = level == "bottom"
    grid = p.grid_shape if bottom else p.top_grid_shape
    size = (p.autoencoder.codebook_size, grid, s.dim, s.layers, s.heads, dim)
    return TransformerPrior(*size, s.dropout, dim if bottom else 0)


def _recipe(level: str) -> Recipe:
    def attach(prior: nn.Module, source: VQVAE2, splits: Splits) -> None:
        own = source.quantizer if level == "bottom" else source.top_quantizer
        prior.use_codebook(own.codebook.detach().cpu())

    return Recipe(
        build=lambda p, _: _build(p, level),
        objective=lambda model, p: losses.PriorObjective(model),
        settings=(*AUTOENCODERS["vqvae2"].settings, *PRIOR_SETTINGS),
        splits=_splits(level),
        score=score_prior,
        validate=mean_losses,
        schedule="prior",
        source="vqvae2",
        attach=attach,
        weight_decay=0.05,
    )


TWO_LEVELS = {f"prior_{level}": _recipe(level) for level in ("top", "bottom")}
