import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from vqlib import losses
from vqlib.models.quantizers import VectorQuantizer
from vqlib.models.vae import VAE
from vqlib.models.vqvae import VQVAE


def tiny_vae():
    torch.manual_seed(0)
    return VAE(latent_channels=4, width=8)


def slices(n=4):
    """Smooth bumps at random places: [n, 1, 32, 16] in [0, 1]."""
    random = torch.Generator().manual_seed(0)
    place = torch.rand(n, 2, 1, 1, generator=random)
    i, j = torch.meshgrid(torch.arange(32) / 32, torch.arange(16) / 16, indexing="ij")
    distance = (i - place[:, 0]).square() + (j - place[:, 1]).square()
    return torch.exp(-10 * distance).unsqueeze(1)


def test_gaussian_kl_agrees_with_torch_distributions():
    mu, logvar = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    p = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(q, p).flatten(1).sum(1)
    torch.testing.assert_close(losses.gaussian_kl(mu, logvar), expected)


def test_gaussian_nll_is_the_likelihood_at_its_best_sigma():
    x, r = torch.rand(5, 1, 8, 4), torch.rand(5, 1, 8, 4)

    def nll(sigma):
        density = torch.distributions.Normal(r, sigma).log_prob(x)
        return -density.flatten(1).sum(1).mean()

    best = (x - r).square().mean().sqrt()
    torch.testing.assert_close(losses.gaussian_nll(r, x), nll(best))
    assert nll(best) < min(nll(0.9 * best), nll(1.1 * best))


def test_laplace_nll_is_the_likelihood_at_its_best_width():
    x, r = torch.rand(5, 1, 8, 4), torch.rand(5, 1, 8, 4)

    def nll(width):
        density = torch.distributions.Laplace(r, width).log_prob(x)
        return -density.flatten(1).sum(1).mean()

    best = (x - r).abs().mean()
    torch.testing.assert_close(losses.laplace_nll(r, x), nll(best))
    assert nll(best) < min(nll(0.9 * best), nll(1.1 * best))


def test_a_gaussian_asks_for_the_mean_and_a_laplacian_for_the_median():
    x = torch.zeros(5, 1, 1, 1)
    x[0] = 1  # mean 0.2, median 0
    guesses = torch.linspace(0, 1, 101)
    for nll, best in {losses.gaussian_nll: 0.2, losses.laplace_nll: 0.0}.items():
        found = torch.stack([nll(g.expand_as(x), x) for g in guesses]).argmin()
        assert guesses[found].item() == pytest.approx(best)


def test_ssim_loss_agrees_with_torchmetrics():
    x = slices(4)
    y = (
        x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    ).clamp(0, 1)
    whole = structural_similarity_index_measure(
        x, y, data_range=1.0, reduction="none", return_full_image=True
    )[1]
    inside = whole[:, :, 5:-5, 5:-5].mean()  # ours has no border
    torch.testing.assert_close(losses.ssim(x, y), inside, atol=1e-4, rtol=0)
    assert losses.ssim(x, x).item() == pytest.approx(1, abs=1e-5)


def test_distortion_is_l1_with_weighted_ssim():
    x, y = slices(2), 1 - slices(2)
    l1 = (x - y).abs().mean()
    torch.testing.assert_close(losses.distortion(y, x, 0.0), l1)
    with_ssim = losses.distortion(y, x, 0.3)
    torch.testing.assert_close(with_ssim, l1 + 0.3 * (1 - losses.ssim(y, x)))


def test_vqvae_objective_weighs_the_commitment():
    torch.manual_seed(0)
    model = VQVAE(codebook_size=8, dim=4, width=8)
    model.eval()
    batch = {"image": slices()}
    loose, tight = (losses.VQVAEObjective(model, 0.1, beta)(batch) for beta in (0, 2))
    torch.testing.assert_close(loose["loss"], loose["distortion"])
    torch.testing.assert_close(
        tight["loss"], tight["distortion"] + 2 * tight["commitment"]
    )


def test_each_vq_loss_moves_its_own_side():
    # beta on the wrong term trains the codebook slowly and holds the encoder fast.
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 4, ema=False)
    model = VQVAE(width=8, quantizer=quantizer).eval()
    batch = {"image": slices()}

    def gradients(beta):
        model.zero_grad()
        losses.VQVAEObjective(model, 0.0, beta)(batch)["loss"].backward()
        return quantizer.codebook.grad, model.encoder.net[0].weight.grad

    (loose, encoder), (tight, held) = gradients(0.0), gradients(5.0)
    assert loose.abs().sum() > 0
    assert torch.equal(loose, tight)
    assert not torch.allclose(encoder, held)


@pytest.mark.parametrize("target", [40.0, 400.0])
def test_the_rate_constraint_brings_the_kl_to_its_target(target):
    objective = losses.RateConstrainedObjective(tiny_vae(), target, 0.0)
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    rates = []
    for _ in range(600):
        torch.manual_seed(len(rates))
        out = objective({"image": slices()})
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
        rates.append(out["bits"].item())
    assert np.mean(rates[-50:]) == pytest.approx(target, rel=0.15)
    assert abs(np.mean(rates[:10]) / target - 1) > 0.3  # it started elsewhere


def test_the_rate_constraint_is_a_lagrangian_and_looking_moves_no_multiplier():
    objective = losses.RateConstrainedObjective(tiny_vae(), 100.0, 0.0)
    batch, pixels = {"image": slices()}, 32 * 16
    before = objective.log_beta.clone()
    out = objective.eval()(batch)
    excess = (out["bits"] - 100) * math.log(2) / pixels
    torch.testing.assert_close(out["loss"], out["distortion"] + before.exp() * excess)
    assert torch.equal(objective.log_beta, before)
    objective.train()(batch)
    moved = objective.log_beta - before
    assert moved.sign() == excess.sign()


def test_elbo_phases_the_kl_in_and_is_the_full_bound_in_validation():
    objective = losses.ELBOObjective(tiny_vae(), warmup_steps=10)
    batch = {"image": slices()}
    pixels = 32 * 16

    def kl_weight(out):
        kl = out["bits"] * math.log(2) / pixels
        return ((out["loss"].detach() - out["nll"]) / kl).item()

    weights = [kl_weight(objective(batch)) for _ in range(12)]
    assert weights[0] == pytest.approx(0, abs=1e-3)
    assert weights[5] == pytest.approx(0.5, abs=1e-2)
    assert weights[11] == pytest.approx(1, abs=1e-2)
    assert kl_weight(objective.eval()(batch)) == pytest.approx(1, abs=1e-2)


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


def test_elbo_without_warmup_weighs_the_whole_kl_from_the_first_step():
    out = losses.ELBOObjective(tiny_vae(), warmup_steps=0, beta=3.0)(
        {"image": slices()}
    )
    kl = out["bits"] * math.log(2) / (32 * 16)
    torch.testing.assert_close(out["loss"].detach(), out["nll"] + 3 * kl)


def test_elbo_takes_another_likelihood():
    model, batch = tiny_vae(), {"image": slices()}
    objective = losses.ELBOObjective(model, likelihood=losses.laplace_nll).eval()
    torch.manual_seed(0)
    out = objective(batch)
    torch.manual_seed(0)
    nll = losses.laplace_nll(model(batch["image"]).reconstruction, batch["image"])
    torch.testing.assert_close(out["nll"], nll.detach() / (32 * 16))


def test_free_bits_are_an_allowance_for_each_unit():
    # unit 0 costs 0 bits, unit 1 costs ½ · 3² nats = 6.5 bits, on average over slices
    mu = torch.tensor([[0.0, 3.0], [0.0, -3.0]])
    logvar = torch.zeros(2, 2)
    dear = 4.5 / math.log(2)
    for free, bits in {0: dear, 2: 2 + dear, 8: 16}.items():
        nats = losses.kl_with_free_bits(mu, logvar, free)
        assert nats.item() / math.log(2) == pytest.approx(bits)
    # in a grid a unit is a channel: its positions share the allowance
    grid = mu[:, :, None, None].expand(2, 2, 4, 2)
    nats = losses.kl_with_free_bits(grid, torch.zeros(2, 2, 4, 2), 2)
    assert nats.item() / math.log(2) == pytest.approx(2 + 8 * dear)


def test_free_bits_stop_the_pull_on_silent_units_in_training_alone():
    model, batch = tiny_vae(), {"image": slices()}
    objective = losses.ELBOObjective(
        model, warmup_steps=0, free_bits=1e4, likelihood=lambda r, x: 0 * r.sum()
    )
    objective(batch)["loss"].backward()
    assert all(p.grad is None or not p.grad.any() for p in model.encoder.parameters())
    out = objective.eval()(batch)
    kl = out["bits"] * math.log(2) / (32 * 16)
    torch.testing.assert_close(out["loss"].detach(), kl)
