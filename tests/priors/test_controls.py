import math

import pytest
import torch

from vqlib.priors import by_place, controls, order0, uniform

K, GRID = 4, (2, 3)
POSITIONS = torch.tensor([0.0, 0.1, 0.9, 1.0])


@pytest.fixture
def codes():
    """Place by place another code; at the end of the volume one more everywhere."""
    grid = torch.tensor([[0, 0, 1], [1, 2, 0]])
    return torch.stack([grid, grid, grid + 1, grid + 1])


def test_uniform_codes_cost_log_k_and_others_what_the_counts_say(codes):
    nats = -uniform(GRID, K).log_prob(codes, POSITIONS)
    torch.testing.assert_close(nats, torch.full((4, *GRID), math.log(K)))
    p = (codes.flatten().bincount(minlength=K) + 1) / (codes.numel() + K)
    nats = -order0(codes, K).log_prob(codes, POSITIONS)
    torch.testing.assert_close(nats, -p[codes].log())


def test_by_place_pulls_towards_the_coarser_table(codes, monkeypatch):
    monkeypatch.setattr(controls, "WEIGHT", 3)
    overall = (codes.flatten().bincount(minlength=K) + 1) / (codes.numel() + K)
    place = torch.nn.functional.one_hot(codes, K).sum(0)  # [2, 3, K]
    place = (place + 3 * overall) / (4 + 3)
    found = by_place(codes, POSITIONS, K, bins=1)
    torch.testing.assert_close(found.table[0].exp(), place)
    start = torch.nn.functional.one_hot(codes[:2], K).sum(0)
    start = (start + 3 * place) / (2 + 3)
    found = by_place(codes, POSITIONS, K, bins=2)
    torch.testing.assert_close(found.table[0].exp(), start)
    torch.testing.assert_close(found.table.exp().sum(-1), torch.ones(2, *GRID))


def test_draws_have_the_tables_frequencies_and_their_own_seed(codes):
    control = by_place(codes, POSITIONS, K, bins=2)
    position = torch.full((4000,), 0.05)
    drawn = control.sample(position, seed=3)
    assert drawn.shape == (4000, *GRID)
    shares = torch.nn.functional.one_hot(drawn, K).float().mean(0)
    torch.testing.assert_close(shares, control.table[0].exp(), atol=0.04, rtol=0)
    assert torch.equal(drawn, control.sample(position, seed=3))
    assert not torch.equal(drawn, control.sample(position, seed=4))
