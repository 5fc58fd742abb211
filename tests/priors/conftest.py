"""A tiny prior, with weights that tell its inputs apart."""

import pytest
import torch

from vqlib.priors import TransformerPrior


def make_prior(codebook_size=7, grid=(4, 3), **how):
    torch.manual_seed(0)
    size = {"dim": 16, "layers": 3, "heads": 2, "code_dim": 5} | how
    model = TransformerPrior(codebook_size, grid, **size)
    model.use_codebook(torch.randn(codebook_size, size["code_dim"]))
    for layer in (model.head, model.output_embedding):  # the start is uniform
        torch.nn.init.normal_(layer.weight, std=0.2)
    return model.eval()


@pytest.fixture
def make():
    return make_prior


@pytest.fixture
def prior(make):
    return make()


@pytest.fixture
def given(make):
    """A prior that is given a context of 3 channels."""
    return make(context_channels=3)


@pytest.fixture
def codes():
    """Two grids."""
    return torch.randint(7, (2, 4, 3), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def context():
    return torch.randn(2, 3, 4, 3, generator=torch.Generator().manual_seed(2))
