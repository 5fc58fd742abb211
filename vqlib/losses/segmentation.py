"""What trains the segmenter. Taught in notebook 06."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.losses.reconstruction import Losses
from vqlib.models.computing import at_least_float32, of_whole_batch, sharing


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
        truth = batch["labels"].long()  # [B, H, W]
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
