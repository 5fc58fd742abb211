import math

import pytest
import torch
from slice_files import refusal

from vqlib.losses import FlowObjective
from vqlib.priors import LatentFlow

TWO = torch.tensor([0.2, 0.7])


def make(**how):
    torch.manual_seed(0)
    flow = LatentFlow(channels=2, grid=(4, 4), width=8, **how).eval()
    for block in (flow.leave, *(m.conv2 for m in (*flow.down, flow.middle, *flow.up))):
        torch.nn.init.normal_(block.weight, std=0.1)  # the start is a velocity of 0
    return flow


def test_latents_are_standardised_by_their_total_deviation():
    mu, logvar = torch.randn(500, 2, 4, 4), torch.full((500, 2, 4, 4), -2.0)
    mu[:, 1] = 0.01 * mu[:, 1] + 3  # a collapsed channel: its posterior is N(3, 1)
    logvar[:, 1] = 0
    flow = make()
    flow.use_latents(mu, logvar)
    z = flow.standardise(mu + (logvar / 2).exp() * torch.randn_like(mu))
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(2), atol=0.03, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(2), atol=0.03, rtol=0)


def test_log_prob_is_that_of_a_known_flow():
    """A velocity of −a z carries N(0, 1) to N(0, exp(−2 a)): exact in the limit."""
    flow, a = make(), 0.5
    flow.deviation.fill_(2.0)
    flow.mean.fill_(1.0)
    flow.forward = lambda z, t, position, context=None: -a * z
    z = 1 + 2 * torch.randn(2, 2, 4, 4)
    spread = 2 * math.exp(-a)  # of latents, in their own units
    truth = torch.distributions.Normal(1.0, spread).log_prob(z).flatten(1).sum(1)
    found = flow.log_prob(z, TWO, steps=200)
    torch.testing.assert_close(found, truth, atol=0.02, rtol=1e-3)
    drawn = flow.sample(torch.full((4000,), 0.5), steps=50)
    assert drawn.mean().item() == pytest.approx(1, abs=0.02)
    assert drawn.std().item() == pytest.approx(spread, abs=0.02)


def test_sampling_follows_the_seed_the_condition_and_guidance():
    flow, context = make(context_channels=3), torch.randn(2, 3, 4, 4)
    one, same, other = (flow.sample(TWO, context, 4, seed=s) for s in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)
    assert not torch.allclose(one, flow.sample(TWO, context + 1, 4, seed=3))
    assert not torch.allclose(one, flow.sample(TWO, context, 4, seed=3, guidance=2))
    refusal(flow.sample, TWO, match="pass its context")
    refusal(flow.sample, TWO + 1, context, match="position")


def test_the_later_a_walk_starts_the_less_it_changes():
    flow = make()
    flow.mean.fill_(3.0)
    starts = (flow.sample(TWO, start=t, seed=1) for t in (0.0, 0.5, 1.0))
    far, near, not_at_all = ((z - 3).abs().mean() for z in starts)
    assert far > 1.5 * near > not_at_all == 0


def test_the_objective_has_its_least_value_at_the_true_velocity():
    """For one latent, the line from noise z_0 to z_1 has the velocity z_1 − z_0, which
    is (z_1 − z_t) / (1 − t)."""
    target, flow = torch.randn(1, 2, 4, 4), make()
    batch = {
        "mu": target.expand(64, -1, -1, -1),
        "logvar": torch.full((64, 2, 4, 4), -40.0),
        "position": torch.rand(64),
    }
    flow.forward = lambda z, t, *_: (target - z) / (1 - t.view(-1, 1, 1, 1))
    objective = FlowObjective(flow).eval()
    assert objective(batch)["loss"].item() == pytest.approx(0, abs=1e-6)
    flow.forward = lambda z, t, *_: torch.zeros_like(z)
    assert objective(batch)["loss"].item() > 0.5
