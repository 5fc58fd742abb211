"""The priors over the codes: what they are trained on, how, and how they are scored.
Taught in notebook 05."""

import math

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vqlib import losses, metrics
from vqlib.data import LABEL_NAMES, SliceData, SliceDataset
from vqlib.models import VQVAE, VQVAE2
from vqlib.priors import (
    CodePrior,
    IndependentCodes,
    PixelCNN,
    TransformerPrior,
    by_place,
    order0,
    uniform,
)
from vqlib.profiles import Profile
from vqlib.recipes.autoencoders import AUTOENCODERS, encode_levels
from vqlib.recipes.recipe import Recipe, Splits, mean_losses

ORGANS = len(LABEL_NAMES) - 2  # every slice has background and body


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
        self.organs = torch.full((len(dataset), ORGANS), -1)
        if dataset.labels is not None:
            for n in range(ORGANS):  # bone, bladder, rectum, prostate
                held = (dataset.labels == 2 + n).flatten(1).any(1)
                self.organs[:, n] = held.long()

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        item = {"codes": self.codes[i], "position": self.positions[i]}
        item["organs"] = self.organs[i]
        return item if self.top is None else item | {"top": self.top[i]}


def _build(p: Profile, level: str) -> CodePrior:
    fsq = p.quantizer.kind == "fsq"
    shared = {
        "codebook_size": p.autoencoder.codebook_size,
        "grid": p.top_grid_shape if level == "_top" else p.grid_shape,
        "top_grid": p.top_grid_shape if level == "_bottom" else None,
        "code_dim": len(p.levels) if fsq else p.autoencoder.code_dim,
        "dropout": p.prior.dropout,
        "organs": ORGANS,
    }
    s = p.prior
    if s.network == "pixelcnn":
        return PixelCNN(dim=s.pixelcnn_dim, layers=s.pixelcnn_layers, **shared)
    return TransformerPrior(dim=s.dim, layers=s.layers, heads=s.heads, **shared)


def _codebooks(source: nn.Module, level: str) -> tuple[Tensor, ...]:
    """The vectors of the codes that the prior is over, [K, D], and those of the top
    codes on which it is conditioned."""
    own = source.top_quantizer if level == "_top" else source.quantizer
    used = (own, source.top_quantizer) if level == "_bottom" else (own,)
    return tuple(quantizer.codebook.detach() for quantizer in used)


def control_priors(
    train: CodeDataset, codebook_size: int
) -> dict[str, IndependentCodes]:
    """The priors that know nothing of how codes meet, from the train slices."""
    codes, positions = train.codes, train.positions
    return {
        "uniform": uniform(codes.shape[1:], codebook_size),
        "order0": order0(codes, codebook_size),
        "by_place": by_place(codes, positions, codebook_size, bins=1),
        "by_place_and_position": by_place(codes, positions, codebook_size),
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
    found = {
        "split": "test",
        "nats_per_code": float(nats.mean()) / math.prod(prior.grid),
        "bits_per_slice": per_slice.mean,
        "bits_interval": [per_slice.low, per_slice.high],
        "uniform_bits": metrics.nominal_bits(prior.grid, size),
        "order0_bits": metrics.code_entropy_bits(codes.codes, size),
    }
    others = {f"control_{name}": (c, False) for name, c in (controls or {}).items()}
    if (codes.organs >= 0).any():
        others["with_organs"] = (prior, True)
    for name, (other, organs) in others.items():
        mean = float(code_nats(other, codes, organs).mean())
        found[f"{name}_nats_per_code"] = mean
        found[f"{name}_bits_per_slice"] = mean * math.prod(prior.grid) / math.log(2)
    return found


@torch.no_grad()
def code_nats(prior: nn.Module, codes: CodeDataset, organs: bool = False) -> Tensor:
    """−log p of every code of a split, in nats: [N, h, w]. Also called surprisal.

    ``prior`` is a network or a control; with ``organs`` it is conditioned on them too.
    """
    device = next(iter(prior.state_dict().values())).device  # a control: of its table
    parts, over_bottom = [], getattr(prior, "top_grid", None) is not None
    for rows in torch.arange(len(codes)).split(32):
        given = {"codes": codes.codes, "position": codes.positions}
        if organs:
            given["organs"] = codes.organs
        if over_bottom:
            given["top"] = codes.top
        given = {name: values[rows].to(device) for name, values in given.items()}
        parts.append(-prior.log_prob(**given).cpu())
    return torch.cat(parts)


NETWORKS = {  # settings of one network, on which a prior of the other does not depend
    "transformer": ("prior_dim", "prior_layers", "prior_heads"),
    "pixelcnn": ("pixelcnn_dim", "pixelcnn_layers"),
}
_SETTINGS = ("prior", "prior_dropout", "prior_steps", "prior_epochs")
_SETTINGS += ("prior_batch_size", "prior_learning_rate", *sum(NETWORKS.values(), ()))


def _recipe(source: str, level: str = "", notebook: str | None = None) -> Recipe:
    def splits(data: SliceData, model: nn.Module) -> Splits:
        parts = (data.train, data.validate, data.test)
        return Splits(*(CodeDataset(model, part, level) for part in parts))

    def score(prior: CodePrior, splits: Splits, seed: int) -> dict:
        controls = control_priors(splits.train, prior.codebook_size)
        return evaluate_prior(prior, splits.test, controls)

    return Recipe(
        build=lambda p, _: _build(p, level),
        objective=lambda model, p: losses.PriorObjective(model),
        settings=(*AUTOENCODERS[source].settings, *_SETTINGS),
        splits=splits,
        score=score,
        validate=mean_losses,
        schedule="prior",
        notebook=notebook,
        source=source,
        codebooks=lambda model: _codebooks(model, level),
        weight_decay=0.05,
    )


PRIORS = {
    "prior": _recipe("vqvae", notebook="05_prior_generation"),
    "prior_top": _recipe("vqvae2", "_top"),
    "prior_bottom": _recipe("vqvae2", "_bottom"),
}
