import math

import pytest
import torch

from vqlib.errors import UserError
from vqlib.models.priors import TransformerPrior, draw

GRID = (4, 3)


@pytest.fixture
def prior():
    torch.manual_seed(0)
    model = TransformerPrior(7, GRID, dim=16, layers=2, heads=2, code_dim=5)
    model.use_codebook(torch.randn(7, 5))
    for layer in (model.head, model.wish):  # the start is uniform
        torch.nn.init.normal_(layer.weight, std=0.5)
    return model.eval()


def some_codes(n=2):
    return torch.randint(7, (n, *GRID), generator=torch.Generator().manual_seed(1))


def test_an_untrained_prior_is_uniform():
    model = TransformerPrior(7, GRID, dim=16, layers=2, heads=2, code_dim=5).eval()
    nats = -model.log_prob(some_codes(), torch.tensor([0.2, 0.7]))
    torch.testing.assert_close(nats, torch.full((2, *GRID), math.log(7)))


def test_no_code_sees_itself_or_what_comes_after(prior):
    codes, position = some_codes(1), torch.tensor([0.5])
    before = prior(codes, position).flatten(1, 2)
    for i in range(codes.numel()):
        changed = codes.clone()
        changed.view(-1)[i] = (changed.view(-1)[i] + 1) % 7
        after = prior(changed, position).flatten(1, 2)
        torch.testing.assert_close(after[:, : i + 1], before[:, : i + 1])
        if i + 1 < codes.numel():
            assert not torch.allclose(after[:, i + 1], before[:, i + 1])


def test_every_code_sees_all_before_it(prior):
    codes, position = some_codes(1), torch.tensor([0.5])
    last = prior(codes, position)[0, -1, -1]
    for i in range(codes.numel() - 1):
        changed = codes.clone()
        changed.view(-1)[i] = (changed.view(-1)[i] + 1) % 7
        assert not torch.allclose(prior(changed, position)[0, -1, -1], last), i


def test_the_neighbours_shown_are_those_before_it(prior):
    codes = torch.arange(12).view(1, *GRID) % 7  # in raster order: 4 rows of 3
    around = prior.neighbours(codes)[0]
    assert around[7].tolist() == [6, 5, 5, 4, 3, 1]
    assert around[0].tolist() == [7] * 6  # the first knows nothing


def test_codes_with_like_vectors_are_alike_to_the_network(prior):
    book = torch.randn(7, 5)
    book[4] = book[2]
    prior.use_codebook(book)
    codes = some_codes(1)
    codes[0, 1, 1] = 2
    other = codes.clone()
    other[0, 1, 1] = 4
    position = torch.tensor([0.5])
    torch.testing.assert_close(prior(codes, position), prior(other, position))


def test_probabilities_over_all_grids_sum_to_one():
    torch.manual_seed(0)
    model = TransformerPrior(2, (2, 3), dim=8, layers=1, heads=2, code_dim=4).eval()
    model.use_codebook(torch.randn(2, 4))
    torch.nn.init.normal_(model.head.weight)
    every = torch.cartesian_prod(*[torch.arange(2)] * 6).view(-1, 2, 3)
    total = model.log_prob(every, torch.full((64,), 0.3)).sum((1, 2)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


def test_cached_sampling_is_the_uncached_model(prior):
    position = torch.tensor([0.0, 1.0])
    codes = prior.sample(position, temperature=0)
    grown = torch.zeros_like(codes)
    for i in range(codes[0].numel()):  # no cache: the whole pass for every code
        logits = prior(grown, position).flatten(1, 2)[:, i]
        grown.view(2, -1)[:, i] = logits.argmax(-1)
    assert torch.equal(codes, grown)


def test_the_slice_position_matters(prior):
    codes = some_codes(1)
    near, far = (prior(codes, torch.tensor([p])) for p in (0.1, 0.9))
    assert not torch.allclose(near, far)


def test_sampling_is_deterministic_in_the_seed(prior):
    position = torch.full((3,), 0.5)
    one, same, other = (prior.sample(position, seed=s) for s in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.shape == (3, *GRID)
    assert one.max() < 7


def test_draws_follow_temperature_and_top_k():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2])).expand(20_000, 3)
    random = torch.Generator().manual_seed(0)

    def shares(**how):
        how = {"temperature": 1.0, "top_k": None, **how}
        return torch.bincount(draw(logits, random=random, **how), minlength=3) / 20_000

    torch.testing.assert_close(shares(), logits[0].exp(), atol=0.02, rtol=0)
    sharp = torch.tensor([0.25, 0.09, 0.04]) / 0.38  # squared, at temperature ½
    torch.testing.assert_close(shares(temperature=0.5), sharp, atol=0.02, rtol=0)
    two = torch.tensor([0.625, 0.375, 0.0])
    torch.testing.assert_close(shares(top_k=2), two, atol=0.02, rtol=0)
    assert shares(temperature=0.0)[0] == 1


@pytest.mark.parametrize(
    ("codes", "position", "message"),
    [
        (torch.zeros(1, 3, 4, dtype=torch.int64), 0.5, "grid"),
        (torch.full((1, *GRID), 7), 0.5, "another codebook"),
        (torch.full((1, *GRID), -1), 0.5, "another codebook"),
        (torch.zeros(1, *GRID, dtype=torch.int64), 1.5, "position"),
    ],
)
def test_what_does_not_fit_is_refused(prior, codes, position, message):
    with pytest.raises(UserError, match=message):
        prior(codes, torch.tensor([position]))


def test_sampling_refuses_bad_settings(prior):
    with pytest.raises(UserError, match="temperature"):
        prior.sample(torch.tensor([0.5]), temperature=-1)
    with pytest.raises(UserError, match="top_k"):
        prior.sample(torch.tensor([0.5]), top_k=0)
    with pytest.raises(UserError, match="multiple"):
        TransformerPrior(7, GRID, dim=10, layers=1, heads=4, code_dim=5)
