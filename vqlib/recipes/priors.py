"""The prior over the codes: what it is trained on, how, and how it is scored."""

import math

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import Dataset

from vqlib import losses, metrics
from vqlib.data import SliceData, SliceDataset
from vqlib.models.vqvae import VQVAE
from vqlib.models.vqvae2 import VQVAE2
from vqlib.priors import CodePrior, IndependentCodes, by_place, order0, uniform
from vqlib.profiles import Profile
from vqlib.recipes.models import (
    ORGANS,
    build,
    codebooks,
    encode_levels,
    load,
    part_name,
)
from vqlib.recipes.shared import claim, mean_losses
from vqlib.runs import Run, save_json
from vqlib.training import FitSettings, fit, make_fabric


class CodeDataset(Dataset):
    """A split as the prior sees it: codes [h, w], the slice's relative position, and
    which organs it holds [ORGANS], 1 or 0 from its label map, -1 where it has none.

    Of a VQ-VAE-2 a ``level``, "_top" or "_bottom"; to the bottom codes belong the top
    ones, [h/2, w/2].
    """

    def __init__(self, model: VQVAE | VQVAE2, dataset: SliceDataset, level: str = ""):
        levels = encode_levels(model, dataset)
        self.codes = levels[level]
        self.top = levels["_top"] if level == "_bottom" else None
        self.positions, self.patients = dataset.positions, dataset.patients
        self.organs = _presence(dataset.labels, len(dataset))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        item = {
            "codes": self.codes[i],
            "position": self.positions[i],
            "organs": self.organs[i],
        }
        return item if self.top is None else item | {"top": self.top[i]}


def _presence(labels: Tensor | None, slices: int) -> Tensor:
    """Bone, bladder, rectum, prostate: which of them each slice holds, [N, ORGANS]."""
    if labels is None:
        return torch.full((slices, ORGANS), -1)
    held = [(labels == 2 + n).flatten(1).any(1) for n in range(ORGANS)]
    return torch.stack(held, dim=1).long()


def train_prior(
    profile: Profile,
    data: SliceData,
    run: Run,
    seed: int = 0,
    device: str = "auto",
    on_epoch=None,
    fabric: Fabric | None = None,
    kind: str = "prior",
    **computing,
) -> CodePrior:
    """Train the prior over the codes of the run's VQ-VAE, or load it when finished;
    as ``kind`` "prior_top" or "prior_bottom" one of the two over those of its VQ-VAE-2.

    Which network is the profile's ``prior``: the transformer lies in the run's part
    ``prior`` (or ``kind``), the PixelCNN in ``prior_pixelcnn``. Arguments as of
    `vqlib.recipes.train`. Raises `UserError` as it does, and where the prior in the
    folder was trained on another codebook than the run's.
    """
    fabric = fabric or make_fabric(device)
    level = kind.removeprefix("prior")
    vqvae = load("vqvae2" if level else "vqvae", profile, data, run, seed)
    folder = run.part(part_name(kind, profile))
    claim(folder, kind, profile, data, seed, fabric.is_global_zero)
    vqvae.to(fabric.device)
    codes = {
        name: CodeDataset(vqvae, getattr(data, name), level)
        for name in ("train", "validate", "test")
    }
    vectors = codebooks(kind, vqvae)
    prior = build(kind, profile, seed)
    prior.use_codebook(*vectors)
    p = profile
    fit(
        losses.PriorObjective(prior),
        codes["train"],
        folder,
        FitSettings(
            p.prior_training_epochs(len(data.train)),
            p.prior_batch_size,
            p.prior_learning_rate,
            weight_decay=0.05,
            weight_ema=p.weight_ema,
            patience=p.patience,
            seed=seed,
            **computing,
        ),
        validate=lambda objective: mean_losses(objective, codes["validate"]),
        fabric=fabric,
        description=f"training {kind}",
        on_epoch=on_epoch,
    )
    prior.check_codebook(*(x.to(fabric.device) for x in vectors))
    if not (folder / "metrics.json").exists() and fabric.is_global_zero:
        controls = control_priors(codes["train"], profile.codebook_size)
        found = evaluate_prior(prior, codes["test"], controls)
        save_json(folder / "metrics.json", found)
    fabric.barrier()
    return prior


def control_priors(
    train: CodeDataset, codebook_size: int
) -> dict[str, IndependentCodes]:
    """The priors that know nothing of how codes meet, from the train slices."""
    codes, positions, size = train.codes, train.positions, codebook_size
    return {
        "uniform": uniform(codes.shape[1:], size),
        "order0": order0(codes, size),
        "by_place": by_place(codes, positions, size, bins=1),
        "by_place_and_position": by_place(codes, positions, size),
    }


@torch.no_grad()
def evaluate_prior(
    prior: CodePrior,
    codes: CodeDataset,
    controls: dict[str, IndependentCodes] | None = None,
) -> dict:
    """Held-out negative log-likelihood, per code and per slice, given the position
    alone; and given the organs too, where any are known.

    ``uniform_bits`` is log2 K per code, ``order0_bits`` the entropy of these very
    codes: what order-0 coding would cost if their frequencies were known beforehand.
    ``controls`` (from the train slices, so held-out as the prior is) add a row each.
    """
    nats = code_nats(prior, codes).flatten(1).sum(1)
    bits = (nats / math.log(2)).numpy()
    per_slice = metrics.patient_bootstrap(bits, codes.patients.numpy())
    size = prior.codebook_size
    result = {
        "split": "test",
        "nats_per_code": float(nats.mean()) / math.prod(prior.grid),
        "bits_per_slice": per_slice.mean,
        "bits_interval": [per_slice.low, per_slice.high],
        "uniform_bits": metrics.nominal_bits(prior.grid, size),
        "order0_bits": metrics.code_entropy_bits(codes.codes, size),
    }
    if (codes.organs >= 0).any():
        nats = float(code_nats(prior, codes, organs=True).mean())
        result |= _cost("with_organs", nats, prior.grid)
    for name, control in (controls or {}).items():
        nats = float(code_nats(control, codes).mean())
        result |= _cost(f"control_{name}", nats, prior.grid)
    return result


def _cost(name: str, nats: float, grid: tuple[int, int]) -> dict[str, float]:
    bits = nats * math.prod(grid) / math.log(2)
    return {f"{name}_nats_per_code": nats, f"{name}_bits_per_slice": bits}


@torch.no_grad()
def code_nats(
    prior: nn.Module, codes: CodeDataset, batch_size: int = 32, organs: bool = False
) -> Tensor:
    """−log p of every code of a split, in nats: [N, h, w]. Also called surprisal.

    ``prior`` is a network or a control; with ``organs`` it is told them too.
    """
    device = next(iter(prior.state_dict().values())).device
    parts, told_top = [], getattr(prior, "top_grid", None) is not None
    for rows in torch.arange(len(codes)).split(batch_size):
        given = [codes.codes[rows], codes.positions[rows]]
        if organs:
            given.append(codes.organs[rows])
        top = {"top": codes.top[rows].to(device)} if told_top else {}
        parts.append(-prior.log_prob(*(x.to(device) for x in given), **top).cpu())
    return torch.cat(parts)
