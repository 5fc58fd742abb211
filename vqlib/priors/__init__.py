"""Priors over the codes: a probability for every grid of codes, and draws from it.

`pixelcnn` and `transformer` are the two networks, on what they share (`base`);
`sampling` draws codes from either; `controls` are the models without any knowledge of
a code's neighbours. All of them have ``log_prob(codes, position)`` and
``sample(position, seed=...)``, so that one loop compares them; a prior over bottom
codes takes ``top=`` as well. Taught in notebook 05.
"""

from vqlib.priors.base import CodePrior
from vqlib.priors.controls import IndependentCodes, by_place, order0, uniform
from vqlib.priors.pixelcnn import GatedLayer, PixelCNN
from vqlib.priors.sampling import draw, sample, sample_levels
from vqlib.priors.transformer import Block, TransformerPrior

__all__ = [
    "Block",
    "CodePrior",
    "GatedLayer",
    "IndependentCodes",
    "PixelCNN",
    "TransformerPrior",
    "by_place",
    "draw",
    "order0",
    "sample",
    "sample_levels",
    "uniform",
]
