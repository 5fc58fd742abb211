"""Every objective, each with its equation, and the SSIM.

An objective is a module around a model: called with a batch, it returns the ``loss`` to
minimise and numbers worth a curve. Training (`vqlib.training.fit`) knows nothing else,
so one loop serves all models. ``ssim_weight`` is w of the `distortion`.

| model                      | objective                                             |
| -------------------------- | ----------------------------------------------------- |
| `GlobalVAE`                | `ELBOObjective`: −ELBO                                |
| `VAE` (spatial)            | `RateConstrainedObjective`: distortion at a given KL  |
| `Autoencoder`              | `AutoencoderObjective`: distortion alone              |
| `VQVAE`, `VQVAE2`          | `VQVAEObjective`: distortion + codebook + commitment  |
| `SharpVAE`, `SharpVQVAE`   | `AdversarialObjective` around one of these            |
| `TransformerPrior`         | `PriorObjective`: −log p(codes)                       |
| `LatentFlow`               | `FlowObjective`: flow matching                        |
| `Segmenter`                | `SegmentationObjective`: cross-entropy + 1 − Dice     |

In mixed precision networks run in 16 bits, these losses in float32. Taught in notebooks
02 (ELBO, rate constraint), 03 (commitment) and 05 (negative log-likelihood).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.models.computing import (
    at_least_float32,
    full_precision,
    mean_over_processes,
    of_whole_batch,
    sharing,
)
from vqlib.models.sharp import one_hot

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


def gaussian_nll(reconstruction: Tensor, x: Tensor) -> Tensor:
    """−log p(x|z) in nats per slice for a Gaussian likelihood with the best shared σ.

    For a fixed reconstruction the likelihood is largest at σ² = mean squared error,
    which leaves P/2 · (log 2πσ² + 1) for P pixels (σ-VAE: Rybkin et al. 2021, arXiv
    2006.13202): nothing to tune by hand, and never a σ that is wrong for the data.
    [B, 1, H, W] twice -> scalar.
    """
    pixels = x[0].numel()
    variance = of_whole_batch(F.mse_loss(at_least_float32(reconstruction), x))
    variance = variance.clamp_min(1e-8)
    return 0.5 * pixels * (torch.log(2 * math.pi * variance) + 1)


def laplace_nll(reconstruction: Tensor, x: Tensor) -> Tensor:
    """−log p(x|z) in nats per slice for a Laplace likelihood with the best shared b.

    The width b of exp(−|x − x̂| / b) / 2b is best at the mean absolute error, which
    leaves P · (log 2b + 1) for P pixels. Under a Gaussian the best reconstruction is
    the mean of what z leaves open, here it is the median of each pixel.
    [B, 1, H, W] twice -> scalar.
    """
    pixels = x[0].numel()
    scale = of_whole_batch(F.l1_loss(at_least_float32(reconstruction), x))
    scale = scale.clamp_min(1e-4)
    return pixels * (torch.log(2 * scale) + 1)


def ssim(x: Tensor, y: Tensor, sigma: float = 1.5, window: int = 11) -> Tensor:
    """Mean structural similarity of [B, 1, H, W] images in [0, 1]: a scalar.

    Wang et al. 2004 (doi 10.1109/TIP.2003.819861), eq. 13, at each place where the
    Gaussian window fits. What is reported, `vqlib.metrics.ssim`, is made of the same
    maps, of images that are mirrored at their borders as torchmetrics does.

    >>> import torch
    >>> x = torch.rand(2, 1, 32, 16)
    >>> round(ssim(x, x).item(), 4)
    1.0
    """
    luminance, structure = similarity_maps(x, y, sigma, window)
    return (luminance * structure).mean()


def similarity_maps(
    x: Tensor, y: Tensor, sigma: float = 1.5, window: int = 11
) -> tuple[Tensor, Tensor]:
    """The two factors of SSIM at each place where the window fits: that of the mean,
    l, and that of contrast and structure together, cs; each [B, H', W']. The window is
    applied as two one-dimensional filters to all five moments at once."""
    t = torch.arange(window, device=x.device, dtype=x.dtype) - window // 2
    g = torch.exp(-0.5 * (t / sigma) ** 2)
    g = (g / g.sum()).expand(5, 1, window)
    moments = torch.cat([x, y, x * x, y * y, x * y], dim=1)  # [B, 5, H, W]
    moments = F.conv2d(moments, g.unsqueeze(3), groups=5)
    moments = F.conv2d(moments, g.unsqueeze(2), groups=5)
    mx, my, xx, yy, xy = moments.unbind(1)
    c1, c2 = 0.01**2, 0.03**2
    structure = (2 * (xy - mx * my) + c2) / (xx - mx * mx + yy - my * my + c2)
    return (2 * mx * my + c1) / (mx * mx + my * my + c1), structure


def distortion(reconstruction: Tensor, x: Tensor, ssim_weight: float) -> Tensor:
    """How far a reconstruction is from its slice: L1 + w · (1 − SSIM), a scalar.

    The same for every autoencoder that is compared (Zhao et al. 2017, arXiv 1511.08861,
    section III-D, measured it as the better of the plain choices).
    """
    # 16 bits are too few for SSIM, whose variances are differences of like numbers
    with full_precision(x.device):
        reconstruction = at_least_float32(reconstruction)
        loss = F.l1_loss(reconstruction, x)
        if ssim_weight:
            loss = loss + ssim_weight * (1 - ssim(reconstruction, x))
    return loss


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
        speed: how fast log β moves per step.
    """

    def __init__(
        self,
        model: nn.Module,
        target_bits: float,
        ssim_weight: float,
        speed: float = 0.05,
    ):
        super().__init__()
        self.model, self.ssim_weight = model, ssim_weight
        self.target_bits, self.speed = target_bits, speed
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
            self.log_beta.add_(self.speed * ratio).clamp_(-6, 5)
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


class AdversarialObjective(nn.Module):
    """The distortion of another objective, plus what a critic finds.

    The decoder minimises −D(x̂) and the L1 distance of the critic's features of x̂ and
    x; the critic minimises the hinge loss max(0, 1 − D(x)) + max(0, 1 + D(x̂)) (Lim &
    Ye 2017, arXiv 1705.02894). Both are one sum with one backward pass: the decoder's
    part goes through a critic whose weights are held constant, the critic's part sees
    a reconstruction without its graph. Neither begins before the autoencoder can
    reconstruct.

    Args:
        objective: of the autoencoder, which gets the batch and returns the
            reconstruction with its losses.
        critic: see `vqlib.models.critic.Critic`.
        weight: of −D(x̂).
        feature_weight: of the distance of features.
        start: training steps before the critic is asked.
    """

    def __init__(
        self,
        objective: nn.Module,
        critic: nn.Module,
        weight: float = 0.02,
        feature_weight: float = 1.0,
        start: int = 500,
    ):
        super().__init__()
        self.objective, self.critic = objective, critic
        self.weight, self.feature_weight, self.start = weight, feature_weight, start
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self._host_step = 0
        self.register_load_state_dict_post_hook(_read_step)

    @property
    def model(self) -> nn.Module:
        """The autoencoder."""
        return self.objective.model

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        given = []
        found = self.objective(batch, on_reconstruction=given.append)
        if not self.training:
            return found
        x, labels = batch["image"], batch.get("labels")
        since = self._host_step - self.start
        self.step += 1
        self._host_step += 1
        if since < 0:  # all weights have a gradient, as several processes demand
            idle = sum(p.sum() for p in self.critic.parameters())
            nothing = torch.zeros_like(idle)
            parts = {"features": nothing, "critic": nothing}
            return found | {"loss": found["loss"] + 0 * idle} | parts
        ramp = min(1.0, since / 200)
        fake, features = self._held_constant(given[0], labels)
        score, wanted = self.critic(x, labels)
        pairs = list(zip(features, wanted, strict=True))
        matching = sum(F.l1_loss(a, b.detach()) for a, b in pairs) / len(pairs)
        decoder = self.feature_weight * matching - self.weight * fake.mean()
        fake, _ = self.critic(given[0].detach(), labels)
        critic = F.relu(1 - score).mean() + F.relu(1 + fake).mean()
        loss = found["loss"] + ramp * decoder + critic
        parts = {"features": matching.detach(), "critic": critic.detach()}
        return found | {"loss": loss} | parts

    def _held_constant(self, x: Tensor, labels: Tensor | None):
        """The critic's answer, without gradients for its weights."""
        self.critic.requires_grad_(False)
        try:
            return self.critic(x, labels)
        finally:
            self.critic.requires_grad_(True)


class MapObjective(nn.Module):
    """Cross-entropy of every pixel's label plus β times the commitment loss, for a
    VQ-VAE over label maps, which it gets as one channel for each of ``labels``.

    Args:
        beta: weight of the commitment loss.
    """

    def __init__(self, model: nn.Module, labels: int, beta: float = 0.05):
        super().__init__()
        self.model, self.labels, self.beta = model, labels, beta

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        truth = batch["labels"].long()  # [B, H, W]
        out = self.model(one_hot(truth, self.labels))
        logits = at_least_float32(out.reconstruction)  # [B, labels, H, W]
        entropy = F.cross_entropy(logits, truth)
        loss = entropy + self.beta * out.commitment_loss + out.codebook_loss
        return {"loss": loss, "cross_entropy": entropy.detach()}


class FlowObjective(nn.Module):
    """Flow matching (Lipman et al. 2023, arXiv 2210.02747, eq. 23; rectified flow: Liu
    et al. 2023, arXiv 2209.03003): the mean squared error of the velocity v(z_t, t)
    beside z_1 − z_0, on the straight line z_t = (1 − t) z_0 + t z_1 from noise z_0 to a
    draw z_1 of the posterior. t is logit-normal, denser in the middle (Esser et al.
    2024, arXiv 2403.03206, section 3.1).

    Args:
        drop_condition: share of the slices without condition, for guidance.
    """

    def __init__(self, model: nn.Module, drop_condition: float = 0.1):
        super().__init__()
        self.model, self.drop_condition = model, drop_condition

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        mu, logvar = batch["mu"], batch["logvar"]
        z = self.model.standardise(mu + (0.5 * logvar).exp() * torch.randn_like(mu))
        noise = torch.randn_like(z)
        t = torch.sigmoid(torch.randn(len(z), device=z.device))
        line = t.view(-1, 1, 1, 1)
        unconditional = None
        if self.training:
            unconditional = torch.rand(len(z), device=z.device) < self.drop_condition
        velocity = self.model(
            (1 - line) * noise + line * z,
            t,
            batch["position"],
            batch.get("context"),
            unconditional,
        )
        return {"loss": F.mse_loss(at_least_float32(velocity), z - noise)}


class PriorObjective(nn.Module):
    """Negative log-likelihood of the codes, in nats per code: the mean cross-entropy
    −1/N Σ log p(c_i | c_<i, s). log K means that nothing has been learned.

    While training, the condition s is dropped for some slices (Ho & Salimans 2022,
    arXiv 2207.12598, algorithm 1), so that guidance has a network without condition to
    start from.

    Args:
        drop_condition: share of the slices without condition.
    """

    def __init__(self, model: nn.Module, drop_condition: float = 0.1):
        super().__init__()
        self.model, self.drop_condition = model, drop_condition

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        codes, unconditional = batch["codes"], None
        if self.training:
            chance = torch.rand(len(codes), device=codes.device)
            unconditional = chance < self.drop_condition
        logits = self.model(
            codes, batch["position"], batch.get("context"), unconditional
        )
        logits = at_least_float32(logits).flatten(0, 2)  # [B h w, K]
        return {"loss": F.cross_entropy(logits, codes.flatten())}


class SegmentationObjective(nn.Module):
    """Weighted cross-entropy plus 1 − soft Dice, as segmenters are trained (Isensee
    et al. 2021, doi 10.1038/s41592-020-01008-z). A label's weight is its rarity in
    the batch to the power of 3/4: a short training finds the small organs sooner by it.
    Dice ``2 Σ p t / Σ (p + t)`` is taken over the whole batch, since many slices lack
    an organ, and averaged over labels but the background.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        logits = at_least_float32(self.model(batch["image"]))  # [B, C, H, W]
        truth = batch["label"].long()  # [B, H, W]
        labels = torch.arange(logits.shape[1], device=truth.device)[:, None, None]
        t = truth[:, None] == labels  # [B, C, H, W]
        share = of_whole_batch(t.mean((0, 2, 3), dtype=logits.dtype))
        weight = (share + 1e-4) ** -0.75
        rarity = weight[truth].mean()  # cross_entropy divides by it, per process
        entropy = F.cross_entropy(logits, truth, weight)
        entropy = entropy * (rarity / of_whole_batch(rarity))
        p, n = logits.softmax(1), sharing()
        shared = n * of_whole_batch((p * t).sum((0, 2, 3)))
        total = n * of_whole_batch((p + t).sum((0, 2, 3)))
        dice = ((2 * shared + 1) / (total + 1))[1:].mean()
        return {"loss": entropy + 1 - dice, "dice": dice.detach()}


def _call(model: nn.Module, batch: dict[str, Tensor], on_reconstruction):
    """The model's output for a batch; the reconstruction is handed on where asked."""
    maps = getattr(model.decoder, "labels", 0)
    out = model(batch["image"], batch["labels"]) if maps else model(batch["image"])
    if on_reconstruction is not None:
        on_reconstruction(out.reconstruction)
    return out


def _read_step(objective: AdversarialObjective, _keys) -> None:
    objective._host_step = int(objective.step)


def _kl_of_each(mu: Tensor, logvar: Tensor) -> Tensor:
    """The KL of each latent number: [B, ...] -> [B, ...]."""
    mu, logvar = at_least_float32(mu), at_least_float32(logvar)
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1)
