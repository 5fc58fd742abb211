import math

import pytest
import torch
from slice_files import refusal

from vqlib.priors import draw
from vqlib.priors.sampling import gumbel

HALF = torch.full((3,), 0.5)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@torch.no_grad()
def test_cached_sampling_is_the_uncached_model(given, context, guidance):
    """With guidance, from the free logits to the conditional ones and beyond."""
    position = torch.tensor([0.0, 1.0])
    how = {"context": context, "guidance": guidance}
    codes = given.sample(position, temperature=0, **how)
    grown, without = torch.zeros_like(codes), torch.ones(2, dtype=torch.bool)
    for i in range(12):  # no cache: the whole pass for every code
        free, logits = (given(grown, position, context, w) for w in (without, None))
        logits = free + guidance * (logits - free)
        grown.view(2, -1)[:, i] = logits.flatten(1, 2)[:, i].argmax(-1)
    assert torch.equal(codes, grown)


def test_samples_have_the_probabilities_of_the_model(make):
    model = make(codebook_size=2, grid=(1, 3))
    drawn = model.sample(torch.full((20_000,), 0.3), seed=5).flatten(1)
    shares = (drawn @ torch.tensor([4, 2, 1])).bincount(minlength=8) / 20_000
    every = torch.cartesian_prod(*[torch.arange(2)] * 3).view(-1, 1, 3)
    p = model.log_prob(every, torch.full((8,), 0.3)).sum((1, 2)).exp()
    torch.testing.assert_close(shares, p.detach(), atol=0.015, rtol=0)


def test_draws_follow_temperature_top_k_and_top_p():
    logits = torch.log(torch.tensor([0.3, 0.5, 0.2])).expand(20_000, 3)
    noise = gumbel(logits.shape, torch.Generator().manual_seed(0))

    def shares(**how):
        return torch.bincount(draw(logits, noise, **how), minlength=3) / 20_000

    def expect(found, p):
        torch.testing.assert_close(found, torch.tensor(p), atol=0.02, rtol=0)

    expect(shares(), [0.3, 0.5, 0.2])
    expect(shares(temperature=0.5), [0.09 / 0.38, 0.25 / 0.38, 0.04 / 0.38])  # squared
    expect(shares(top_k=2), [0.375, 0.625, 0.0])
    expect(shares(top_k=99), [0.3, 0.5, 0.2])
    expect(shares(top_p=0.45), [0.0, 1.0, 0.0])
    expect(shares(top_p=0.55), [0.375, 0.625, 0.0])
    expect(shares(top_p=0.85), [0.3, 0.5, 0.2])
    # at ½ the first two have 0.89 of it: top_p looks at what temperature leaves
    expect(shares(temperature=0.5, top_p=0.85), [0.09 / 0.34, 0.25 / 0.34, 0.0])
    assert shares(temperature=0.0)[1] == 1


def test_inpainting_keeps_what_is_kept_and_draws_the_rest(prior):
    codes = torch.randint(7, (3, 4, 3))
    keep = torch.rand(3, 4, 3) < 0.5
    drawn = prior.sample(HALF, codes=codes, keep=keep)
    assert torch.equal(drawn[keep], codes[keep])
    assert not torch.equal(drawn[~keep], codes[~keep])
    for_all = torch.zeros(4, 3, dtype=torch.bool)
    for_all[:2] = True
    drawn = prior.sample(HALF, codes=codes, keep=for_all)
    assert torch.equal(drawn[:, :2], codes[:, :2])


CODES, KEEP = torch.zeros(3, 4, 3).long(), torch.ones(4, 3).bool()
REFUSED = [
    ({"temperature": -1}, "temperature"),
    ({"temperature": math.nan}, "temperature"),
    ({"top_k": 0}, "top_k"),
    ({"top_p": 0.0}, "top_p"),
    ({"keep": KEEP}, "belong together"),
    ({"codes": CODES, "keep": KEEP[:3]}, "a mask .* of shape"),
]


@pytest.mark.parametrize(("how", "message"), REFUSED)
def test_sampling_refuses_what_makes_no_sense_in_one_line(prior, how, message):
    refusal(lambda: prior.sample(HALF, **how), match=message)
