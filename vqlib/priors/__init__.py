"""Priors over latents: a probability for every slice, and draws from it.

`transformer` is over codes and autoregressive, drawn from by `sampling`; `flow` is over
the latents of a VAE; `conditioning` is what both are given. `controls` are priors over
codes without any knowledge of a code's neighbours. Taught in notebook 05.
"""
# ruff: noqa: F401

from vqlib.priors.conditioning import Conditioning, map_planes
from vqlib.priors.controls import IndependentCodes, by_place, order0, uniform
from vqlib.priors.flow import LatentFlow
from vqlib.priors.sampling import draw, sample
from vqlib.priors.transformer import Block, TransformerPrior
