"""Tiny priors of both kinds, with weights that tell their inputs apart."""

import pytest
import torch

from vqlib.priors import PixelCNN, TransformerPrior

KINDS = ("transformer", "pixelcnn")


def make_prior(kind, codebook_size=7, grid=(4, 3), organs=2, **how):
    torch.manual_seed(0)
    size = {"dim": 16, "layers": 3, "code_dim": 5, "organs": organs} | how
    if kind == "transformer":
        model = TransformerPrior(codebook_size, grid, heads=2, **size)
    else:
        model = PixelCNN(codebook_size, grid, **size)
    books = 1 if model.top_grid is None else 2
    model.use_codebook(*torch.randn(books, codebook_size, size["code_dim"]))
    for layer in (model.head, model.output_embedding):  # the start is uniform
        torch.nn.init.normal_(layer.weight, std=0.2)
    return model.eval()


@pytest.fixture(params=KINDS)
def prior(request):
    return make_prior(request.param)


@pytest.fixture(params=KINDS)
def bottom(request):
    """A prior over bottom codes."""
    return make_prior(request.param, grid=(4, 6), top_grid=(2, 3))


@pytest.fixture
def make():
    return make_prior


@pytest.fixture
def codes():
    """Two grids."""
    return torch.randint(7, (2, 4, 3), generator=torch.Generator().manual_seed(1))
