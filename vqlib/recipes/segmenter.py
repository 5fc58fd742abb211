"""The segmenter: the instrument by which the score card finds organs in slices that
have no labels. Taught in notebook 06."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, Subset

from vqlib import losses
from vqlib.data import SliceData
from vqlib.errors import UserError
from vqlib.metrics import dice
from vqlib.models import Segmenter
from vqlib.profiles import Profile
from vqlib.recipes.recipe import Recipe, Splits, mean_losses


def balanced(slices: Dataset, labels: Tensor) -> Subset:
    """The slices to train on, with their ``labels`` `[N, H, W]`, each as often as its
    rarest organ is rare: one that every fifth slice holds brings its slices five times,
    up to eight. Of batches that seldom show a small organ a short training learns that
    there is none (oversampling, as in Isensee et al. 2021, doi
    10.1038/s41592-020-01008-z)."""
    copies = torch.ones(len(slices), dtype=torch.int64)
    for organ in labels.unique():
        held = (labels == organ).flatten(1).any(1)
        often = round(min(8, 1 / float(held.float().mean())))
        copies[held] = copies[held].clamp(min=often)
    rows = torch.arange(len(slices)).repeat_interleave(copies)
    return Subset(slices, rows.tolist())


def soften(images: Tensor, most: float) -> Tensor:
    """Blur slices `[B, 1, H, W]`, every second one by lot, each by a Gaussian of its
    own width, up to ``most`` pixels.

    Decoders smooth. A network that has seen sharp slices alone takes smoothness for
    another tissue: in held-out slices that went through the quick profile's VQ-VAE it
    found a tenth of the bone, and samples with anatomy could not be told from samples
    without.
    """
    n, reach = len(images), max(1, round(3 * most))
    width = most * torch.rand(n) * (torch.rand(n) < 0.5) + 1e-3
    places = torch.arange(-reach, reach + 1.0)
    kernels = torch.exp(-0.5 * (places / width[:, None]) ** 2)  # [B, 2 reach + 1]
    kernels = (kernels / kernels.sum(1, keepdim=True)).to(images)
    wide = F.pad(images, (reach,) * 4, mode="replicate").transpose(0, 1)
    down = F.conv2d(wide, kernels[:, None, :, None], groups=n)  # a kernel each
    return F.conv2d(down, kernels[:, None, None], groups=n).transpose(0, 1)


def _splits(data: SliceData, source: None, p: Profile) -> Splits:
    """Raises `UserError` where the data have no labels."""
    if not data.has_labels:
        raise UserError(
            f"{data.folder} has no labels to train a segmenter on; score slices "
            "without it, by texture alone"
        )
    train = balanced(data.train, data.train.labels)
    return Splits(train, data.validate, data.test)


def _score(model: Segmenter, splits: Splits, seed: int) -> dict:
    images, labels = splits.test.images, splits.test.labels
    found = model.segment(images.to(model.device)).cpu()
    return {"split": "test", "dice": dice(found, labels)}


SEGMENTER = Recipe(
    build=lambda p, _: Segmenter(),
    objective=lambda model, p: losses.SegmentationObjective(model),
    settings=(
        *("size", "segmenter_steps", "segmenter_epochs", "segmenter_batch_size"),
        *("segmenter_learning_rate", "segmenter_blur"),
    ),
    splits=_splits,
    score=_score,
    validate=mean_losses,
    schedule="segmenter",
    notebook="06_judging_samples",
    weight_ema=0.0,
    augment=lambda p: (
        (lambda x: soften(x, p.segmenter.blur)) if p.segmenter.blur else None
    ),
)
