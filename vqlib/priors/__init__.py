"""Priors over the codes: a probability for every grid of codes, and draws from it.

`transformer` and `pixelcnn` are the two networks, on what they share (`base`);
`sampling` draws codes from either; `controls` are the models that know nothing of how
codes meet. All of them have ``log_prob(codes, position)`` and ``sample(position,
seed=...)``, so that one loop compares them; a prior over bottom codes wants ``top=``.
Taught in notebook 05.
"""

from vqlib.priors.base import CodePrior
from vqlib.priors.controls import IndependentCodes, by_place, order0, uniform
from vqlib.priors.pixelcnn import GatedLayer, PixelCNN
from vqlib.priors.sampling import draw, sample, sample_levels, sample_volume
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
    "sample_volume",
    "uniform",
]
