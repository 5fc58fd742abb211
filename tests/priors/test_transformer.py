import math

import pytest
import torch
from slice_files import refusal

from vqlib.priors import TransformerPrior, map_planes

MIDDLE, TWO = torch.tensor([0.5]), torch.tensor([0.2, 0.7])


def test_an_untrained_prior_is_uniform(codes):
    model = TransformerPrior(7, (4, 3), dim=16, layers=2, code_dim=5).eval()
    nats = -model.log_prob(codes, TWO)
    torch.testing.assert_close(nats, torch.full((2, 4, 3), math.log(7)))
    assert model.device == torch.device("cpu")


@pytest.mark.parametrize("grid", [(4, 3), (3, 5)])
def test_gradients_come_from_all_codes_before_and_from_no_other(make, grid):
    """Causal: with vectors that differ from place to place, the gradient of each answer
    with respect to each place's vector."""
    length = math.prod(grid)
    prior = make(codebook_size=length, grid=grid, layers=6)
    prior.vectors.requires_grad_()
    prior.output_embedding.requires_grad_(False).weight.zero_()  # meets them as answers
    codes = torch.arange(length).view(1, *grid)  # each place has a code of its own
    logits = prior(codes, MIDDLE).flatten(1, 2)[0]
    for i in range(length):
        (gradient,) = torch.autograd.grad(
            logits[i].square().sum(), prior.vectors, retain_graph=True
        )
        seen = gradient[:-1].abs().sum(1) > 0
        assert seen.tolist() == [j < i for j in range(length)], i


@torch.no_grad()
def test_position_and_context_matter_and_can_be_dropped(given, codes, context):
    before = given(codes, TWO, context)
    assert not torch.allclose(given(codes, TWO + 0.1, context), before)
    for row, column in ((0, 0), (3, 2)):
        other = context.clone()
        other[0, :, row, column] += 1
        moved = (given(codes, TWO, other) - before).abs().amax(-1) > 1e-6
        assert moved[0, row, column]
        assert not moved[1].any()  # another slice
    free = given(codes, TWO, context, torch.tensor([True, False]))
    torch.testing.assert_close(free[1], before[1])
    same = given(codes, TWO.flip(0), context.flip(0), torch.tensor([True, False]))
    torch.testing.assert_close(free[0], same[0])


GRID, KEEP = torch.zeros(1, 4, 3, dtype=torch.int64), torch.ones(4, 3).bool()
MISFITS = [  # codes, position, context, what is said
    (GRID.view(1, 3, 4), 0.5, None, "must be numbers in"),
    (GRID + 7, 0.5, None, "must be numbers in"),
    (GRID, 1.5, None, "position"),
    (GRID, math.nan, None, "position"),
    (GRID, 0.5, torch.zeros(1, 3, 4, 3), "without label maps or top codes"),
]


@pytest.mark.parametrize(("codes", "position", "context", "message"), MISFITS)
def test_what_does_not_fit_is_refused(prior, codes, position, context, message):
    position, how = torch.tensor([position]), {"codes": codes, "context": context}
    refusal(lambda: prior.log_prob(position=position, **how), match=message)
    refusal(lambda: prior.sample(position, keep=KEEP, **how), match=message)


def test_a_context_is_needed_and_heads_must_share_the_width_evenly(given, codes, make):
    refusal(given.log_prob, codes, TWO, match="pass its context")
    refusal(lambda: make(dim=10, heads=4), match="multiple")


def test_planes_of_a_map_say_where_each_label_is():
    labels = torch.zeros(1, 32, 16, dtype=torch.uint8)
    labels[0, 8:16] = 2  # the second of four rows of grid positions
    labels[0, 16:, 8:] = 3  # right in the two below
    planes = map_planes(labels, (4, 2), 6).view(6, 16, 4, 2)
    torch.testing.assert_close(planes.sum(0), torch.ones(16, 4, 2))
    for label, where in {2: ([1, 1], [0, 1]), 3: ([2, 3], [1, 1])}.items():
        organ = torch.zeros(4, 2)
        organ[where] = 1
        torch.testing.assert_close(planes[label], organ.expand(16, 4, 2))
