"""What trains sharp decoders, label maps and priors. Taught in notebook 05."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.losses.reconstruction import Losses
from vqlib.models.computing import at_least_float32
from vqlib.models.sharp import one_hot


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


def _read_step(objective: AdversarialObjective, _keys) -> None:
    objective._host_step = int(objective.step)
