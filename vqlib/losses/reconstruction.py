"""What trains the autoencoders. Taught in notebooks 02 (ELBO, rate constraint) and 03
(commitment)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vqlib.losses.distortion import distortion, gaussian_nll
from vqlib.models.computing import at_least_float32, mean_over_processes, of_whole_batch

SPEED = 0.05  # of log β per step, where a rate is held
Losses = dict[str, Tensor]  # "loss" and scalars to log, detached


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) ‖ N(0, I)) in nats per slice: [B, ...] -> [B].

    ½ Σ (μ² + σ² − log σ² − 1): Kingma & Welling 2014 (arXiv 1312.6114), appendix B.

    >>> import torch
    >>> gaussian_kl(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.zeros(2, 2))
    tensor([0.0000, 0.5000])
    """
    return _kl_of_each(mu, logvar).flatten(1).sum(1)


def kl_with_free_bits(mu: Tensor, logvar: Tensor, free_bits: float) -> Tensor:
    """The mean KL in nats per slice with an allowance for each latent unit: a scalar.

    Σ_j max(λ, mean over the batch of KL_j), with λ = ``free_bits`` · log 2: below λ a
    unit saves nothing by carrying less (free bits: Kingma et al. 2016, arXiv
    1606.04934, appendix C.8). A unit is a number of a vector [B, L] or a channel of a
    grid [B, L, h, w].
    """
    units = of_whole_batch(_kl_of_each(mu, logvar).mean(0))  # [L] or [L, h, w]
    units = units.reshape(len(units), -1).sum(1)
    return units.clamp(min=free_bits * math.log(2)).sum()


class AutoencoderObjective(nn.Module):
    """Distortion alone: the control without a rate."""

    def __init__(self, model: nn.Module, ssim_weight: float):
        super().__init__()
        self.model, self.ssim_weight = model, ssim_weight

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        loss = distortion(self.model(batch["image"]), batch["image"], self.ssim_weight)
        return {"loss": loss, "distortion": loss.detach()}


class ELBOObjective(nn.Module):
    """The negative evidence lower bound of a VAE, in nats per pixel.

    −ELBO = −E_q log p(x|z) + β · KL(q(z|x) ‖ p(z)) with β = 1: Kingma & Welling 2014,
    eq. 3. Another β weighs the rate anew (Higgins et al. 2017). Two aids keep q from
    collapsing onto the prior before the decoder has learned to use z: the KL is phased
    in over the first steps (Bowman et al. 2016, arXiv 1511.06349), and the first bits
    of each unit may be free. Both belong to training; validation sees the bound.

    Args:
        warmup_steps: training steps over which the weight of the KL rises to β, or 0.
        beta: weight of the KL.
        free_bits: of each latent unit, see `kl_with_free_bits`.
        likelihood: −log p(x|z) in nats per slice of a reconstruction and its slices.
    """

    def __init__(
        self,
        model: nn.Module,
        warmup_steps: int = 200,
        beta: float = 1.0,
        free_bits: float = 0.0,
        likelihood: Callable[[Tensor, Tensor], Tensor] = gaussian_nll,
    ):
        super().__init__()
        self.model, self.warmup_steps, self.beta = model, warmup_steps, beta
        self.free_bits, self.likelihood = free_bits, likelihood
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        x = batch["image"]
        out = self.model(x)
        kl = gaussian_kl(out.mu, out.logvar).mean()
        nll = self.likelihood(out.reconstruction, x)
        weight, charged = self.beta, kl
        if self.training:
            if self.warmup_steps:
                weight = self.beta * (self.step / self.warmup_steps).clamp(max=1)
            if self.free_bits:
                charged = kl_with_free_bits(out.mu, out.logvar, self.free_bits)
            self.step += 1
        pixels, bits = x[0].numel(), kl.detach() / math.log(2)
        loss = (nll + weight * charged) / pixels
        return {"loss": loss, "nll": nll.detach() / pixels, "bits": bits}


class RateConstrainedObjective(nn.Module):
    """A VAE held at a chosen rate: minimise distortion while KL ≤ R.

    The Lagrangian is distortion + β · (KL − R), and β is no longer chosen by hand: it
    rises while the KL is above the target and falls while it is below (the multiplier
    of GECO, Rezende & Viola 2018, arXiv 1810.00597, with rate and distortion in each
    other's place). That makes "at equal bits" a setting rather than a lucky β.

    Args:
        target_bits: R, in bits per slice.
    """

    def __init__(self, model: nn.Module, target_bits: float, ssim_weight: float):
        super().__init__()
        self.model, self.ssim_weight = model, ssim_weight
        self.target_bits = target_bits
        self.register_buffer("log_beta", torch.tensor(-3.0))

    def forward(self, batch: dict[str, Tensor], on_reconstruction=None) -> Losses:
        x = batch["image"]
        out = _call(self.model, batch, on_reconstruction)
        d = distortion(out.reconstruction, x, self.ssim_weight)
        kl = gaussian_kl(out.mu, out.logvar).mean()
        bits = kl.detach() / math.log(2)
        excess = (kl - self.target_bits * math.log(2)) / x[0].numel()
        loss = d + self.log_beta.exp() * excess
        if self.training:
            ratio = (mean_over_processes(bits) / self.target_bits).log().clamp(-1, 1)
            self.log_beta.add_(SPEED * ratio).clamp_(-6, 5)
        return {"loss": loss, "distortion": d.detach(), "bits": bits}


class VQVAEObjective(nn.Module):
    """Distortion plus ‖sg[z_e] − e‖² + β ‖z_e − sg[e]‖².

    van den Oord et al. 2017, eq. 3. The middle term moves the codebook; it is 0 where
    moving averages inside `VectorQuantizer` do that, or there is no codebook. The last
    one is the commitment loss. Everything is a mean over elements, so that β keeps its
    meaning at any size.

    Args:
        beta: weight of the commitment loss.
    """

    def __init__(self, model: nn.Module, ssim_weight: float, beta: float = 0.05):
        super().__init__()
        self.model, self.ssim_weight, self.beta = model, ssim_weight, beta

    def forward(self, batch: dict[str, Tensor], on_reconstruction=None) -> Losses:
        out = _call(self.model, batch, on_reconstruction)
        d = distortion(out.reconstruction, batch["image"], self.ssim_weight)
        return {
            "loss": d + self.beta * out.commitment_loss + out.codebook_loss,
            "distortion": d.detach(),
            "commitment": out.commitment_loss.detach(),
        }


def _call(model: nn.Module, batch: dict[str, Tensor], on_reconstruction):
    """The model's output for a batch; the reconstruction is handed on where asked."""
    maps = getattr(getattr(model, "decoder", None), "labels", 0)
    out = model(batch["image"], batch["labels"]) if maps else model(batch["image"])
    if on_reconstruction is not None:
        on_reconstruction(out.reconstruction)
    return out


def _kl_of_each(mu: Tensor, logvar: Tensor) -> Tensor:
    """The KL of each latent number: [B, ...] -> [B, ...]."""
    mu, logvar = at_least_float32(mu), at_least_float32(logvar)
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1)
