"""What holds for both networks, and what is particular to each."""

import math

import pytest
import torch

from vqlib.errors import UserError
from vqlib.losses import PriorObjective
from vqlib.priors import PixelCNN, TransformerPrior

MIDDLE = torch.tensor([0.5])
KINDS = ("transformer", "pixelcnn")


@pytest.mark.parametrize("kind", [TransformerPrior, PixelCNN])
def test_an_untrained_prior_is_uniform(kind, codes):
    model = kind(7, (4, 3), dim=16, layers=2, code_dim=5).eval()
    nats = -model.log_prob(codes, torch.tensor([0.2, 0.7]))
    torch.testing.assert_close(nats, torch.full((2, 4, 3), math.log(7)))
    assert model.device == torch.device("cpu")


@pytest.mark.parametrize("grid", [(4, 3), (3, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_come_from_all_codes_before_and_from_no_other(make, kind, grid):
    """Causal, and no blind spot: with vectors that differ from place to place, the
    gradient of each answer with respect to each place's vector."""
    length = math.prod(grid)
    prior = make(kind, codebook_size=length, grid=grid, layers=6)
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


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_over_all_grids_sum_to_one(make, kind):
    model = make(kind, codebook_size=2, grid=(2, 3))
    every = torch.cartesian_prod(*[torch.arange(2)] * 6).view(-1, 2, 3)
    total = model.log_prob(every, torch.full((64,), 0.3)).sum((1, 2)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


def test_position_and_organs_matter_and_can_be_dropped(prior, codes):
    codes = codes[:1].expand(5, -1, -1)
    position = torch.tensor([0.1, 0.9, 0.1, 0.1, 0.1])
    organs = torch.tensor([[-1, -1], [-1, -1], [1, -1], [0, -1], [-1, 1]])
    answers = prior(codes, position, organs).flatten(1)
    for i in range(5):
        for j in range(i):
            assert not torch.allclose(answers[i], answers[j]), (i, j)
    torch.testing.assert_close(prior(codes, position)[0].flatten(), answers[0])
    free = prior(codes, position, organs, torch.ones(5, dtype=torch.bool)).flatten(1)
    torch.testing.assert_close(free, free[:1].expand(5, -1))
    assert not torch.allclose(free[0], answers[0])


@pytest.mark.parametrize("organs", [None, [[1, 0], [-1, -1]]])
def test_every_weight_has_a_gradient_whatever_is_known(prior, codes, organs):
    """Processes that train one model together wait for all of them."""
    batch = {"codes": codes, "position": torch.tensor([0.2, 0.7])}
    if organs is not None:
        batch["organs"] = torch.tensor(organs)
    PriorObjective(prior).train()(batch)["loss"].backward()
    without = [name for name, p in prior.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize(
    ("codes", "position", "organs", "message"),
    [
        (torch.zeros(1, 3, 4, dtype=torch.int64), 0.5, None, "must be numbers in"),
        (torch.full((1, 4, 3), 7), 0.5, None, "must be numbers in"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), 1.5, None, "position"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), math.nan, None, "position"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), 0.5, [[1]], "organ presence must"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), 0.5, [[2, 0]], "-1 .unknown"),
    ],
)
def test_what_does_not_fit_is_refused(prior, codes, position, organs, message):
    organs = None if organs is None else torch.tensor(organs)
    with pytest.raises(UserError, match=message) as fault:
        prior.log_prob(codes, torch.tensor([position]), organs)
    assert "\n" not in str(fault.value)


def test_the_heads_share_the_width_evenly():
    with pytest.raises(UserError, match="multiple"):
        TransformerPrior(7, (4, 3), dim=10, layers=1, heads=4, code_dim=5)
