"""What a decoder averages away, drawn by a flow: from a decoded slice to a slice.

A decoder that is trained on distances and a critic draws a texture that is right on
average, not one that could be: fibres of a muscle have no direction, fat has speckles.
So the residual, slice minus decoded slice, is drawn too: by the same flow that draws
latents (`vqlib.priors.flow`), on a grid of 2 x 2 pixels, given the decoded slice and
its label map. Codes for what is where and a diffusion for the rest: as in Preechakul et
al. 2022 (arXiv 2111.15640). Shown in notebook 05.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from vqlib import losses
from vqlib.data import Mirrored, SliceData
from vqlib.models import SharpVQVAE
from vqlib.models.sharp import map_channels
from vqlib.priors import LatentFlow
from vqlib.profiles import Profile
from vqlib.recipes.latents import LABELS, reconstruct
from vqlib.recipes.recipe import Splits, mean_losses

SIDE = 2  # pixels along a side of a grid position
# t where the flow begins: 0 varies most, later more bones stay whole. Chosen by the
# score card of the validation patients.
START = 0.1
KNOWN = -30.0  # log-variance of a residual: it is known


class Residuals(Dataset):
    """A split as the flow sees it: slice minus decoded slice, given the latter."""

    def __init__(self, dataset: Dataset, decoded: Tensor):
        self.dataset, self.decoded = dataset, decoded  # [N, 1, H, W]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        item, decoded = self.dataset[i], self.decoded[i : i + 1].float()
        labels = item["labels"][None] if "labels" in item else None
        residual = F.pixel_unshuffle(item["image"] - decoded[0], SIDE)
        return {
            "mu": residual,
            "logvar": torch.full_like(residual, KNOWN),
            "position": item["position"],
            "context": context_of(decoded, labels)[0],
        }


def context_of(decoded: Tensor, labels: Tensor | None) -> Tensor:
    """What the flow is given: decoded slices [B, 1, H, W] and, where there are any, the
    share of each label, [B, H, W] -> [B, 4 or 4 + labels, H/2, W/2]."""
    planes = F.pixel_unshuffle(decoded, SIDE)
    if labels is None:
        return planes
    shares = F.avg_pool2d(map_channels(labels, LABELS), SIDE)
    return torch.cat([planes, shares], dim=1)


def build_detail(p: Profile, seed: int) -> LatentFlow:
    grid = tuple(side // SIDE for side in p.shape)
    known = SIDE**2 + LABELS * p.organs_first
    return LatentFlow(SIDE**2, grid, p.detail.width, known)


def use_residuals(flow: LatentFlow, source: SharpVQVAE, splits: Splits) -> None:
    """Tell the flow how large residuals are, from some train slices."""
    rows = torch.linspace(0, len(splits.train) - 1, min(len(splits.train), 512)).long()
    residuals = torch.stack([splits.train[int(i)]["mu"] for i in rows])
    flow.use_latents(residuals, torch.full_like(residuals, KNOWN))


def residual_splits(data: SliceData, source: SharpVQVAE, p: Profile) -> Splits:
    torch.manual_seed(0)  # of the decoder's noise

    def residuals(dataset: Dataset) -> Residuals:
        return Residuals(dataset, reconstruct(source, dataset).half())

    return Splits(*map(residuals, (Mirrored(data.train), data.validate, data.test)))


@torch.no_grad()
def score_detail(flow: LatentFlow, splits: Splits, seed: int) -> dict:
    """The loss on test slices; how good the slices are says the score card."""
    torch.manual_seed(seed)
    objective = losses.FlowObjective(flow).eval()
    return {
        "split": "test",
        "velocity_error": mean_losses(objective, splits.test)["loss"],
    }


@torch.no_grad()
def add_detail(
    flow: LatentFlow,
    decoded: Tensor,
    labels: Tensor | None,
    positions: Tensor,
    seed: int = 0,
    steps: int = 6,
) -> Tensor:
    """Add drawn residuals to decoded slices: [B, 1, H, W] -> the same, in [0, 1]."""
    context = context_of(decoded, labels)
    residual = flow.sample(positions, context, steps, seed, start=START)
    return (decoded + F.pixel_shuffle(residual, SIDE)).clamp(0, 1)
