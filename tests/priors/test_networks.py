"""What holds for both networks, and what is particular to each."""

import math

import pytest
import torch

from vqlib.errors import UserError
from vqlib.losses import PriorObjective
from vqlib.priors import PixelCNN, TransformerPrior

MIDDLE = torch.tensor([0.5])


def other_code(codes, i):
    changed = codes.clone()
    changed.view(-1)[i] = (changed.view(-1)[i] + 1) % 7
    return changed


@pytest.mark.parametrize("kind", [TransformerPrior, PixelCNN])
def test_an_untrained_prior_is_uniform(kind, codes):
    heads = {"heads": 2} if kind is TransformerPrior else {}
    model = kind(7, (4, 3), dim=16, layers=2, code_dim=5, **heads).eval()
    nats = -model.log_prob(codes, torch.tensor([0.2, 0.7]))
    torch.testing.assert_close(nats, torch.full((2, 4, 3), math.log(7)))


def test_no_code_sees_itself_or_what_comes_after(prior, codes):
    codes = codes[:1]
    before = prior(codes, MIDDLE).flatten(1, 2)
    for i in range(12):
        after = prior(other_code(codes, i), MIDDLE).flatten(1, 2)
        torch.testing.assert_close(after[:, : i + 1], before[:, : i + 1])


@pytest.mark.parametrize("grid", [(4, 3), (3, 5)])
@pytest.mark.parametrize("kind", ["transformer", "pixelcnn"])
def test_gradients_come_from_all_codes_before_and_from_no_other(make, kind, grid):
    """No blind spot: with vectors that differ from place to place, the gradient of each
    answer with respect to each place's vector."""
    length = math.prod(grid)
    prior = make(kind, codebook_size=length, grid=grid, layers=6)
    prior.vectors.requires_grad_()
    prior.output_embedding.requires_grad_(
        False
    ).weight.zero_()  # it meets the vectors as answers
    codes = torch.arange(length).view(1, *grid)  # each place has a code of its own
    logits = prior(codes, MIDDLE).flatten(1, 2)[0]
    for i in range(length):
        (gradient,) = torch.autograd.grad(
            logits[i].square().sum(), prior.vectors, retain_graph=True
        )
        seen = gradient[:-1].abs().sum(1) > 0
        assert seen.tolist() == [j < i for j in range(length)], i


def test_codes_with_like_vectors_are_alike_to_the_network(prior, codes):
    book = torch.randn(7, 5)
    book[4] = book[2]
    prior.use_codebook(book)
    codes[1] = codes[0]
    codes[:, 1, 1] = torch.tensor([2, 4])
    one, other = prior(codes, torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", ["transformer", "pixelcnn"])
def test_probabilities_over_all_grids_sum_to_one(make, kind):
    model = make(kind, codebook_size=2, grid=(2, 3))
    every = torch.cartesian_prod(*[torch.arange(2)] * 6).view(-1, 2, 3)
    total = model.log_prob(every, torch.full((64,), 0.3)).sum((1, 2)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("organs", [None, [[1, 0], [-1, 1]]])
def test_step_by_step_is_the_whole_pass(prior, codes, organs):
    position = torch.tensor([0.0, 1.0])
    organs = None if organs is None else torch.tensor(organs)
    hidden = torch.tensor([False, True])
    with torch.no_grad():
        whole = prior(codes, position, organs, hidden).flatten(1, 2)
        state = prior.start(prior.conditions(position, organs, hidden))
        known = state.lay(torch.full((2, 13), 7))
        for i in range(12):
            step = torch.as_tensor(prior.step(state, known, i))
            torch.testing.assert_close(step, whole[:, i], atol=1e-5, rtol=1e-4)
            known[:, i] = codes.flatten(1)[:, i]


@pytest.mark.parametrize("batch", [1, 5])  # few slices on a CPU go another way
def test_the_pixelcnn_remembers_all_the_rows_that_its_skips_reach(make, batch):
    model = make("pixelcnn", grid=(20, 2), layers=2)
    codes = torch.randint(7, (batch, 20, 2))
    position = torch.linspace(0, 1, batch)
    with torch.no_grad():
        whole = model(codes, position).flatten(1, 2)
        state = model.start(model.conditions(position, None))
        known = state.lay(torch.full((batch, 41), 7))
        for i in range(40):
            step = torch.as_tensor(model.step(state, known, i))
            torch.testing.assert_close(step, whole[:, i], atol=1e-5, rtol=1e-4)
            known[:, i] = codes.flatten(1)[:, i]
        for row, seen in ((2, False), (3, True), (18, True)):  # 1 + 1 + 2 + 4 + 8 up
            changed = codes.clone()
            changed[:, row] = (changed[:, row] + 1) % 7
            same = torch.allclose(model(changed, position)[:, 19], whole[:, -2:])
            assert same != seen, row


def test_position_and_organs_matter_and_can_be_hidden(prior, codes):
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


def test_a_prior_knows_its_codebook(prior):
    book = torch.randn(7, 5)
    prior.use_codebook(book)
    prior.check_codebook(book.clone())
    for wrong in (book.flip(0), torch.randn(9, 5)):
        with pytest.raises(UserError, match="belongs to another codebook"):
            prior.check_codebook(wrong)


@pytest.mark.parametrize(
    ("codes", "position", "organs", "message"),
    [
        (torch.zeros(1, 3, 4, dtype=torch.int64), 0.5, None, "made for"),
        (torch.zeros(2, 4, 3, dtype=torch.int64), 0.5, None, "as many grids"),
        (torch.full((1, 4, 3), 7), 0.5, None, "another codebook"),
        (torch.full((1, 4, 3), -1), 0.5, None, "another codebook"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), 1.5, None, "position"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), -0.1, None, "position"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), math.nan, None, "position"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), 0.5, [[1]], "organ presence of"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), 0.5, [[2, 0]], "-1 .unknown"),
    ],
)
def test_what_does_not_fit_is_refused(prior, codes, position, organs, message):
    organs = None if organs is None else torch.tensor(organs)
    with pytest.raises(UserError, match=message) as fault:
        prior(codes, torch.tensor([position]), organs)
    assert "\n" not in str(fault.value)


def test_the_neighbours_shown_are_those_before_it(make):
    codes = torch.arange(12).view(1, 4, 3) % 7  # in raster order: 4 rows of 3
    around = make("transformer").neighbours(codes)[0]
    assert around[7].tolist() == [6, 5, 5, 4, 3, 1]
    assert around[0].tolist() == [7] * 6  # the first knows nothing


def test_the_heads_share_the_width_evenly():
    with pytest.raises(UserError, match="multiple"):
        TransformerPrior(7, (4, 3), dim=10, layers=1, heads=4, code_dim=5)
