import math

import numpy as np
import pytest
import torch
from made_slices import bumps

from vqlib import losses
from vqlib.models import VAE, VQVAE, Critic, VectorQuantizer
from vqlib.models.vqvae import VQVAEOutput

PIXELS = 32 * 16


def tiny_vae():
    torch.manual_seed(0)
    return VAE(latent_channels=4, width=8)


BATCH = {"image": bumps()}
DENSITIES = [  # and the power whose mean gives the best width
    (losses.gaussian_nll, torch.distributions.Normal, 2),
    (losses.laplace_nll, torch.distributions.Laplace, 1),
]


@pytest.mark.parametrize(("nll", "density", "power"), DENSITIES)
def test_a_likelihood_has_its_best_width(nll, density, power):
    x, r = torch.rand(2, 5, 1, 8, 4)

    def at(width):
        return -density(r, width).log_prob(x).flatten(1).sum(1).mean()

    best = (x - r).abs().pow(power).mean() ** (1 / power)
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
    optimizer = torch.optim.Adam(objective.parameters(), lr=8e-3)
    rates = []
    for _ in range(200):
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

    def forward(self, codes, position, context=None, unconditional=None):
        self.given = (position, context, unconditional)
        return torch.tensor([0.0, 1.0, 0.0]).expand(*codes.shape, 3)


def test_the_priors_loss_is_the_mean_of_minus_log_p_and_drops_the_condition_at_times():
    model = Recording()
    objective = losses.PriorObjective(model, drop_condition=0.1)
    torch.manual_seed(0)
    codes = torch.tensor([[0, 1], [1, 2]]).expand(4000, 2, 2)
    batch = {"codes": codes, "position": torch.rand(4000)}
    objective(batch)
    position, context, unconditional = model.given
    assert torch.equal(position, batch["position"])
    assert context is None
    assert unconditional.float().mean().item() == pytest.approx(0.1, abs=0.02)
    likely, other = (math.exp(x) / (2 + math.e) for x in (1, 0))
    expected = -(math.log(likely) + math.log(other)) / 2
    assert objective.eval()(batch)["loss"].item() == pytest.approx(expected)
    assert model.given[1:] == (None, None)


def test_the_segmenters_loss_is_lowest_for_the_truth_and_minds_small_organs():
    truth = torch.zeros(1, 16, 8, dtype=torch.int64)
    truth[:, 2:4, 2:4] = 3
    batch = {"image": torch.zeros(1, 1, 16, 8), "labels": truth}

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


class Stub(torch.nn.Module):
    """An autoencoder of one number, and the critic's input layer made visible."""

    def __init__(self):
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(0.3))
        self.decoder = torch.nn.Identity()

    def forward(self, x):
        return VQVAEOutput(x * 0 + self.level, x, self.level * 0)


def adversarial(start=0, **how):
    torch.manual_seed(0)
    inner = losses.VQVAEObjective(Stub(), ssim_weight=0.0)
    return losses.AdversarialObjective(inner, Critic(width=4), start=start, **how)


def test_decoder_and_critic_have_gradients_of_their_own_parts_alone():
    """One backward pass gives what two, each with the other held constant, give."""
    objective = adversarial(weight=0.5, feature_weight=2.0).train()
    objective._host_step = 1000  # past the ramp
    found = objective(BATCH)
    found["loss"].backward()
    model, critic = objective.model, objective.critic.eval()
    x, fake = BATCH["image"], torch.full_like(BATCH["image"], 0.3).requires_grad_()
    score, features = critic(fake)
    wanted = critic(x)[1]
    pairs = list(zip(features, wanted, strict=True))
    matching = sum((a - b.detach()).abs().mean() for a, b in pairs) / len(pairs)
    part = (fake - x).abs().mean() - 0.5 * score.mean() + 2.0 * matching
    (gradient,) = torch.autograd.grad(part, fake)
    torch.testing.assert_close(model.level.grad, gradient.sum(), rtol=1e-3, atol=1e-5)
    hinge = (1 - critic(x)[0]).relu().mean() + (1 + critic(fake.detach())[0]).relu()
    parameters = list(critic.parameters())
    wanted = torch.autograd.grad(hinge.mean(), parameters)
    for parameter, gradient in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-2, atol=1e-3)


def test_the_critic_waits_and_is_no_part_of_validation():
    objective = adversarial(start=2).train()
    for _ in range(2):
        found = objective(BATCH)
        assert found["critic"] == 0  # a column of the history from the first epoch on
        found["loss"].backward()
        assert all((p.grad == 0).all() for p in objective.critic.parameters())
    assert objective(BATCH)["critic"] > 0
    before = objective.state_dict()["step"].item()
    assert "critic" not in objective.eval()(BATCH)
    assert objective.state_dict()["step"].item() == before == 3
    again = adversarial(start=2).train()
    again.load_state_dict(objective.state_dict())
    assert again(BATCH)["critic"] > 0  # a training that goes on knows where it was


def test_label_maps_are_learned_by_cross_entropy():
    labels = torch.randint(0, 3, (2, 16, 16))

    class Echo(torch.nn.Module):
        def forward(self, x):
            return VQVAEOutput(20 * x, None, torch.tensor(0.5))

    found = losses.MapObjective(Echo(), labels=3, beta=0.1)({"labels": labels})
    assert found["cross_entropy"].item() == pytest.approx(0, abs=1e-6)
    assert found["loss"].item() == pytest.approx(0.05)
