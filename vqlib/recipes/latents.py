"""Latents of a split, and priors over them: what they are trained on and scored by.
Taught in notebook 05."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vqlib import losses, metrics
from vqlib.data import LABEL_NAMES, SliceData, make_loader
from vqlib.errors import UserError
from vqlib.priors import (
    IndependentCodes,
    LatentFlow,
    TransformerPrior,
    by_place,
    map_planes,
    order0,
    uniform,
)
from vqlib.profiles import Profile
from vqlib.recipes.recipe import Splits

LABELS = len(LABEL_NAMES)
PLANES = 16 * LABELS  # channels of a label map as a context, see `map_planes`


class Latents(Dataset):
    """A split as a prior sees it: tensors that have a row for each slice (``codes``
    [N, h, w]; or ``mu`` and ``logvar`` [N, L, h, w]), the slice's relative position,
    and a ``context`` where there is one: of a label map or of the top codes.
    """

    def __init__(
        self,
        rows: dict[str, Tensor],
        positions: Tensor,
        patients: Tensor,
        labels: Tensor | None = None,
    ):
        self.rows, self.positions, self.patients = rows, positions, patients
        self.labels = labels  # [N, H, W]
        self.grid = tuple(next(iter(rows.values())).shape[-2:])

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        item = {name: values[i] for name, values in self.rows.items()}
        item["position"] = self.positions[i]
        if self.labels is not None:
            item["context"] = map_planes(self.labels[i : i + 1], self.grid, LABELS)[0]
        return item


def need_labels(data: SliceData, what: str) -> None:
    """Raise `UserError` where the data have no label maps."""
    if not data.has_labels:
        raise UserError(
            f"{data.folder} has no label maps, which {what} needs; set organs_first to "
            "false, and slices are drawn without them"
        )


@torch.no_grad()
def encode(
    model: nn.Module, dataset: Dataset, given_labels: bool = False
) -> list[Tensor]:
    """What ``model.encode`` gives for a split, on the CPU; with label maps where the
    model is conditioned on them."""
    parts: list[Any] = []
    for batch in make_loader(dataset, 64):
        given = [batch["image"].to(model.device)]
        if given_labels:
            given.append(batch["labels"].to(model.device))
        found = model.encode(*given)
        parts.append([found] if isinstance(found, Tensor) else found)
    return [torch.cat(part).cpu() for part in zip(*parts, strict=True)]


@torch.no_grad()
def reconstruct(model: nn.Module, dataset: Dataset) -> Tensor:
    """A split through an autoencoder and back: [N, 1, H, W] in [0, 1], on the CPU."""
    parts = []
    for batch in make_loader(dataset, 64):
        given = [batch["image"].to(model.device)]
        if model.decoder.labels:
            given.append(batch["labels"].to(model.device))
        parts.append(model.reconstruct(*given).clamp(0, 1).cpu())
    return torch.cat(parts)


def all_labels(dataset: Dataset) -> Tensor:
    """Label maps of a split, mirrored ones too: [N, H, W] uint8."""
    return torch.cat([batch["labels"] for batch in make_loader(dataset, 256)])


def build_prior(p: Profile, part: str, context_channels: int) -> TransformerPrior:
    """An untrained transformer over the codes of "generator" or "maps"."""
    codes, s = getattr(p, part), p.prior
    return TransformerPrior(
        codes.codebook_size,
        p.grid_of(part),
        s.dim,
        s.layers,
        s.heads,
        codes.code_dim,
        s.dropout,
        context_channels,
    )


def control_priors(train: Latents, codebook_size: int) -> dict[str, IndependentCodes]:
    """The priors that know nothing of how codes meet, from the train slices."""
    codes, positions = train.rows["codes"], train.positions
    return {
        "uniform": uniform(codes.shape[1:], codebook_size),
        "order0": order0(codes, codebook_size),
        "by_place": by_place(codes, positions, codebook_size, bins=1),
        "by_place_and_position": by_place(codes, positions, codebook_size),
    }


@torch.no_grad()
def score_prior(prior: TransformerPrior, splits: Splits, seed: int) -> dict:
    """Held-out negative log-likelihood, per code and per slice, for ``metrics.json``.

    ``uniform_bits`` is log2 K per code, ``order0_bits`` the entropy of these very
    codes: what order-0 coding would cost if their frequencies were known beforehand.
    The `control_priors` add a row each.
    """
    latents = splits.test
    codes = latents.rows["codes"]
    nats = code_nats(prior, latents).flatten(1).sum(1)
    per_slice = metrics.patient_bootstrap(
        (nats / math.log(2)).numpy(), latents.patients.numpy()
    )
    found = {
        "split": "test",
        "nats_per_code": float(nats.mean()) / math.prod(prior.grid),
        "bits_per_slice": per_slice.mean,
        "bits_interval": [per_slice.low, per_slice.high],
        "uniform_bits": metrics.nominal_bits(prior.grid, prior.codebook_size),
        "order0_bits": metrics.code_entropy_bits(codes, prior.codebook_size),
    }
    controls = control_priors(splits.train, prior.codebook_size)
    for name, control in controls.items():
        nats = -control.log_prob(codes, latents.positions).flatten(1).sum(1)
        found[f"control_{name}_bits_per_slice"] = float(nats.mean()) / math.log(2)
    return found


@torch.no_grad()
def code_nats(prior: TransformerPrior, latents: Latents) -> Tensor:
    """−log p of every code of a split, in nats: [N, h, w]. Also called surprisal."""
    parts = []
    for batch in make_loader(latents, 32):
        given = {k: v.to(prior.device) for k, v in batch.items()}
        parts.append(
            -prior.log_prob(given["codes"], given["position"], given.get("context"))
        )
    return torch.cat(parts).cpu()


@torch.no_grad()
def score_flow(flow: LatentFlow, splits: Splits, seed: int, most: int = 64) -> dict:
    """Bits per slice of ``most`` test slices, evenly through the split, by bits-back
    coding under the learned prior, E_q[log q(z|x) − log p(z|s)]; beside it the KL to
    N(0, I), which is the same for the prior that was not learned."""
    torch.manual_seed(seed)
    rows = torch.linspace(0, len(splits.test) - 1, min(most, len(splits.test))).long()
    bits, plain, patients = [], [], splits.test.patients[rows].numpy()
    for row in rows.split(32):
        items = [splits.test[int(i)] for i in row]
        given = {
            k: torch.stack([x[k] for x in items]).to(flow.device) for k in items[0]
        }
        mu, logvar = given["mu"], given["logvar"]
        noise = torch.randn_like(mu)
        z = mu + (0.5 * logvar).exp() * noise
        log_q = -0.5 * (noise.square() + logvar + math.log(2 * math.pi))
        log_p = flow.log_prob(z, given["position"], given.get("context"))
        bits.append((log_q.flatten(1).sum(1) - log_p).cpu() / math.log(2))
        plain.append(losses.gaussian_kl(mu, logvar).cpu() / math.log(2))
    per_slice = metrics.patient_bootstrap(torch.cat(bits).numpy(), patients)
    return {
        "split": "test",
        "bits_per_slice": per_slice.mean,
        "bits_interval": [per_slice.low, per_slice.high],
        "kl_bits": float(torch.cat(plain).mean()),
    }
