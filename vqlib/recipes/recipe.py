"""What a recipe says, and what all recipes share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn
from torch.utils.data import Dataset

from vqlib.data import SliceData, make_loader
from vqlib.profiles import Profile


class Splits(NamedTuple):
    """What a model is trained on, chosen by, and scored on."""

    train: Dataset
    validate: Dataset
    test: Dataset


@dataclass(frozen=True)
class Recipe:
    """How one model of the tutorial is built, trained and scored."""

    build: Callable[[Profile, int], nn.Module]  # untrained, from settings and seed
    objective: Callable[[nn.Module, Profile], nn.Module]  # that trains it
    settings: tuple[str, ...]  # that make it another model, by their flat names
    splits: Callable[[SliceData, nn.Module | None, Profile], Splits]  # given its source
    score: Callable[[nn.Module, Splits, int], dict]  # on test, for metrics.json
    validate: Callable[[nn.Module, Dataset], dict[str, float]]  # of the objective
    schedule: str  # settings of its training: a group of the profile
    notebook: str | None = None  # that makes it
    source: str | None = None  # the model whose latents it is over
    # tells an untrained prior of the latents that it is to learn
    attach: Callable[[nn.Module, nn.Module, Splits], None] | None = None
    augment: Callable[[Profile], Callable[[Tensor], Tensor] | None] = lambda _: None
    weight_decay: float = 0.0  # of AdamW
    betas: tuple[float, float] = (0.9, 0.99)  # of AdamW
    weight_ema: float | None = None  # None: that of the training settings
    keep_last: bool = False  # a critic's loss does not say which epoch is best


def mean_losses(objective: nn.Module, dataset: Dataset) -> dict[str, float]:
    """Mean over a split of everything that an objective returns."""
    device = next(objective.parameters()).device
    totals: dict[str, float] = {}
    for batch in make_loader(dataset, 32):
        size = len(next(iter(batch.values())))
        batch = {key: value.to(device) for key, value in batch.items()}
        for key, value in objective(batch).items():
            totals[key] = totals.get(key, 0.0) + float(value) * size
    return {key: total / len(dataset) for key, total in totals.items()}
