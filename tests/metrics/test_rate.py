import pytest
import torch

from vqlib import metrics

CODES = [  # of 16, their entropy in bits, how many are in use
    (torch.arange(16).repeat(8).reshape(2, 8, 8), 4, 16),  # all alike: nominal
    (torch.tensor([0, 0, 1, 2]).reshape(1, 2, 2), 1.5, 3),
    (torch.full((3, 4, 4), 7), 0, 1),  # collapse
]


@pytest.mark.parametrize(("codes", "bits", "used"), CODES)
def test_entropy_perplexity_and_codes_in_use(codes, bits, used):
    places = codes[0].numel()
    assert metrics.code_entropy_bits(codes, 16) == pytest.approx(places * bits)
    assert metrics.perplexity(codes, 16) == pytest.approx(2**bits)
    assert metrics.codes_used(codes, 16) == used
    assert metrics.nominal_bits(codes.shape[1:], 16) == 4 * places


@pytest.mark.parametrize("codes", [[8], [-1], []])
def test_codes_outside_the_codebook(codes):
    with pytest.raises(ValueError, match="0 … 7"):
        metrics.perplexity(torch.tensor(codes, dtype=torch.int64), 8)


def test_units_are_active_where_their_mean_moves_over_slices():
    still = torch.full((50,), 7.0)
    moving = torch.linspace(-1, 1, 50)
    barely = moving / 10  # variance 0.003
    mu = torch.stack([still, moving, barely], dim=1)
    assert metrics.active_units(mu).tolist() == [False, True, False]
    assert metrics.active_units(mu, threshold=0.001).tolist() == [False, True, True]
    grid = mu[:, :, None, None] * torch.tensor([[1.0, 0.0]])  # silent on the right
    assert metrics.active_units(grid).shape == (3, 1, 2)
    assert metrics.active_units(grid)[1].tolist() == [[True, False]]
    with pytest.raises(ValueError, match="two or more"):
        metrics.active_units(mu[:1])
