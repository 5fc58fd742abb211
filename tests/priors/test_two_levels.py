"""The prior over bottom codes is conditioned on the top codes of the slice."""

import pytest
import torch

from vqlib.errors import UserError
from vqlib.priors import sample_levels

POSITION = torch.tensor([0.2, 0.7])
GRID, TOP = (4, 6), (2, 3)


@pytest.fixture
def codes():
    random = torch.Generator().manual_seed(1)
    return (
        torch.randint(7, (2, *GRID), generator=random),
        torch.randint(7, (2, *TOP), generator=random),
    )


@torch.no_grad()
def test_every_top_code_matters_at_the_place_that_it_covers(bottom, codes):
    low, top = codes
    before = bottom(low, POSITION, top=top)
    for row in range(TOP[0]):
        for column in range(TOP[1]):
            other = top.clone()
            other[0, row, column] = (other[0, row, column] + 1) % 7
            changed = bottom(low, POSITION, top=other) - before
            moved = changed.abs().amax(-1) > 1e-6
            assert moved[0, 2 * row, 2 * column], (row, column)
            assert not moved[1].any()  # another slice


@torch.no_grad()
def test_cached_sampling_is_the_uncached_model(bottom, codes):
    low = bottom.sample(POSITION, temperature=0, top=codes[1])
    logits = bottom(low, POSITION, top=codes[1])  # causal: each sees those before
    assert torch.equal(logits.argmax(-1), low)


def test_both_levels_are_drawn_one_after_the_other(make, bottom):
    above = make("pixelcnn", grid=TOP)
    top, low = sample_levels(above, bottom, POSITION, seed=3, guidance=1.5)
    assert (top.shape, low.shape) == ((2, *TOP), (2, *GRID))
    assert torch.equal(top, above.sample(POSITION, seed=3, guidance=1.5))
    _, again = sample_levels(above, bottom, POSITION, seed=3, guidance=1.5)
    assert torch.equal(low, again)
    free = bottom.sample(POSITION, seed=4, guidance=1.5, top=(top + 1) % 7)
    assert not torch.equal(low, free)


def test_a_prior_of_bottom_codes_knows_both_codebooks(bottom):
    books = torch.randn(7, 5), torch.randn(7, 5)
    bottom.use_codebook(*books)
    bottom.check_codebook(*books)
    with pytest.raises(UserError, match="belongs to another codebook"):
        bottom.check_codebook(books[0], books[0])
    for half in (bottom.use_codebook, bottom.check_codebook):
        with pytest.raises(UserError, match="give it the top codes too"):
            half(books[0])


@pytest.mark.parametrize(
    ("top", "message"),
    [
        (None, "give it the top codes"),
        (torch.zeros(2, 3, 2, dtype=torch.int64), "must be numbers in"),
        (torch.zeros(1, 2, 3, dtype=torch.int64), "must be numbers in"),
        (torch.full((2, 2, 3), 7), "must be numbers in"),
    ],
)
def test_top_codes_that_do_not_fit_are_refused(bottom, codes, top, message):
    with pytest.raises(UserError, match=message):
        bottom.log_prob(codes[0], POSITION, top=top)
    with pytest.raises(UserError, match=message):
        bottom.sample(POSITION, top=top)


def test_a_prior_of_one_level_takes_no_top_codes(prior):
    with pytest.raises(UserError, match="takes no top codes"):
        prior.sample(POSITION, top=torch.zeros(2, 2, 3, dtype=torch.int64))
