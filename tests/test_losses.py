import math

import numpy as np
import pytest
import torch
from made_slices import bumps

from vqlib import losses
from vqlib.models import VAE, VQVAE, VectorQuantizer

PIXELS = 32 * 16


def tiny_vae():
    torch.manual_seed(0)
    return VAE(latent_channels=4, width=8)


BATCH = {"image": bumps()}


@pytest.mark.parametrize(
    ("nll", "density"),
    [
        (losses.gaussian_nll, torch.distributions.Normal),
        (losses.laplace_nll, torch.distributions.Laplace),
    ],
)
def test_a_likelihood_has_its_best_width(nll, density):
    x, r = torch.rand(2, 5, 1, 8, 4)

    def at(width):
        return -density(r, width).log_prob(x).flatten(1).sum(1).mean()

    gaussian = density is torch.distributions.Normal
    best = (x - r).square().mean().sqrt() if gaussian else (x - r).abs().mean()
    torch.testing.assert_close(nll(r, x), at(best))
    assert at(best) < min(at(0.9 * best), at(1.1 * best))


def test_each_vq_loss_has_its_weight_and_moves_its_own_side():
    # beta on the wrong term trains the codebook slowly and holds the encoder fast.
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 4, ema=False)
    model = VQVAE(width=8, quantizer=quantizer).eval()

    def gradients(beta):
        model.zero_grad()
        out = losses.VQVAEObjective(model, 0.1, beta)(BATCH)
        codebook_loss = model(BATCH["image"]).codebook_loss
        expected = out["distortion"] + beta * out["commitment"] + codebook_loss
        torch.testing.assert_close(out["loss"], expected)
        out["loss"].backward()
        return quantizer.codebook.grad, model.encoder.net[0].weight.grad

    (loose, encoder), (tight, held) = gradients(0.0), gradients(5.0)
    assert loose.abs().sum() > 0
    assert torch.equal(loose, tight)
    assert not torch.allclose(encoder, held)


def test_the_rate_constraint_brings_the_kl_to_its_target():
    target = 400.0
    objective = losses.RateConstrainedObjective(tiny_vae(), target, 0.0)
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    rates = []
    for _ in range(400):
        torch.manual_seed(len(rates))
        out = objective(BATCH)
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
        rates.append(out["bits"].item())
    assert np.mean(rates[-50:]) == pytest.approx(target, rel=0.15)
    assert abs(np.mean(rates[:10]) / target - 1) > 0.3  # it started elsewhere


def test_the_rate_constraint_is_a_lagrangian_and_validation_moves_no_multiplier():
    objective = losses.RateConstrainedObjective(tiny_vae(), 100.0, 0.0)
    before = objective.log_beta.clone()
    out = objective.eval()(BATCH)
    excess = (out["bits"] - 100) * math.log(2) / PIXELS
    torch.testing.assert_close(out["loss"], out["distortion"] + before.exp() * excess)
    assert torch.equal(objective.log_beta, before)
    objective.train()(BATCH)
    assert (objective.log_beta - before).sign() == excess.sign()


def kl_weight(out):
    kl = out["bits"] * math.log(2) / PIXELS
    return ((out["loss"].detach() - out["nll"]) / kl).item()


def test_elbo_phases_the_kl_in_and_is_the_full_bound_in_validation():
    objective = losses.ELBOObjective(tiny_vae(), warmup_steps=10)
    weights = [kl_weight(objective(BATCH)) for _ in range(12)]
    assert weights[0] == pytest.approx(0, abs=1e-3)
    assert weights[5] == pytest.approx(0.5, abs=1e-2)
    assert weights[11] == pytest.approx(1, abs=1e-2)
    assert kl_weight(objective.eval()(BATCH)) == pytest.approx(1, abs=1e-2)
    whole = losses.ELBOObjective(tiny_vae(), warmup_steps=0, beta=3.0)
    assert kl_weight(whole(BATCH)) == pytest.approx(3, abs=1e-2)


def test_free_bits_are_an_allowance_for_each_unit():
    # unit 0 costs 0 bits, unit 1 costs ½ · 3² nats = 6.5 bits, on average over slices
    mu = torch.tensor([[0.0, 3.0], [0.0, -3.0]])
    dear = 4.5 / math.log(2)
    for free, bits in {0: dear, 2: 2 + dear, 8: 16}.items():
        nats = losses.kl_with_free_bits(mu, torch.zeros(2, 2), free)
        assert nats.item() / math.log(2) == pytest.approx(bits)
    # in a grid a unit is a channel: its positions share the allowance
    grid = mu[:, :, None, None].expand(2, 2, 4, 2)
    nats = losses.kl_with_free_bits(grid, torch.zeros(2, 2, 4, 2), 2)
    assert nats.item() / math.log(2) == pytest.approx(2 + 8 * dear)


class Recording(torch.nn.Module):
    """A prior that records its inputs, and finds code 1 likelier than the others."""

    def forward(self, codes, position, organs=None, unconditional=None):
        self.given = (position, organs, unconditional)
        return torch.tensor([0.0, 1.0, 0.0]).expand(*codes.shape, 3)


def prior_batch(n):
    codes = torch.tensor([[0, 1], [1, 2]]).expand(n, 2, 2)
    return {"codes": codes, "position": torch.rand(n), "organs": torch.ones(n, 2)}


def test_the_priors_loss_is_the_mean_of_minus_log_p():
    out = losses.PriorObjective(Recording()).eval()(prior_batch(5))
    likely, other = (math.exp(x) / (2 + math.e) for x in (1, 0))
    expected = -(math.log(likely) + math.log(other)) / 2
    assert out["loss"].item() == pytest.approx(expected)


def test_the_condition_is_dropped_at_times_while_the_prior_trains():
    model = Recording()
    objective = losses.PriorObjective(model, drop_condition=0.1, drop_organs=0.4)
    torch.manual_seed(0)
    batch = prior_batch(4000)
    objective(batch)
    position, organs, unconditional = model.given
    assert torch.equal(position, batch["position"])
    assert unconditional.float().mean().item() == pytest.approx(0.1, abs=0.02)
    unknown = (organs == -1).all(1)
    assert torch.equal(unknown, (organs == -1).any(1))
    assert unknown.float().mean().item() == pytest.approx(0.4, abs=0.03)
    assert (organs[~unknown] == 1).all()
    assert (batch["organs"] == 1).all()
    objective.eval()(batch)
    assert model.given[1:] == (None, None)  # judged given the position alone


def test_the_segmenters_loss_is_lowest_for_the_truth_and_minds_small_organs():
    truth = torch.zeros(1, 16, 8, dtype=torch.int64)
    truth[:, 2:4, 2:4] = 3
    batch = {"image": torch.zeros(1, 1, 16, 8), "label": truth}

    def answer(labels):
        logits = 20 * torch.nn.functional.one_hot(labels, 6).movedim(-1, 1)
        model = torch.nn.Module()
        model.forward = lambda x: logits
        return losses.SegmentationObjective(model)(batch)

    right, blind = answer(truth), answer(torch.zeros_like(truth))
    assert right["loss"] == pytest.approx(0, abs=1e-4)
    assert right["dice"] == pytest.approx(1, abs=1e-4)
    assert blind["dice"] < 0.9
    assert blind["loss"] > 0.5
