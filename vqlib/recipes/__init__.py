"""How each model of the tutorial is built from a profile, which objective trains it,
which settings make it another model, and how it is scored.

A recipe is data about one model; `vqlib.experiment.Experiment` carries it out.
"""
# ruff: noqa: F401 - the names that notebooks and benchmarks use

import torch
from torch import nn

from vqlib.errors import unknown_name
from vqlib.profiles import Profile
from vqlib.recipes.autoencoders import (
    AUTOENCODERS,
    build_quantizer,
    encode_codes,
    evaluate,
)
from vqlib.recipes.detail import add_detail
from vqlib.recipes.generators import GENERATORS
from vqlib.recipes.latents import (
    LABELS,
    Latents,
    code_nats,
    control_priors,
    encode,
    reconstruct,
)
from vqlib.recipes.maps import decode_maps, encode_maps
from vqlib.recipes.recipe import Recipe
from vqlib.recipes.segmenter import SEGMENTER, balanced

RECIPES: dict[str, Recipe] = {
    **AUTOENCODERS,
    **GENERATORS,
    "segmenter": SEGMENTER,
}


def find(kind: str) -> Recipe:
    """The recipe of a model; raises `UserError` with the nearest name."""
    if kind not in RECIPES:
        raise unknown_name("model", kind, RECIPES)
    return RECIPES[kind]


def build(kind: str, profile: Profile, seed: int = 0) -> nn.Module:
    """An untrained model; its initial weights follow from the seed. Channels lie last
    in memory, with which convolutions are faster."""
    torch.manual_seed(seed)
    model = find(kind).build(profile, seed)
    return model.to(memory_format=torch.channels_last)


def objective_for(kind: str, model: nn.Module, profile: Profile) -> nn.Module:
    """The objective that a model of this kind is trained with."""
    return find(kind).objective(model, profile)
