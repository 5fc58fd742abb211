"""Slices made in memory, and experiments on them."""

import torch

from vqlib.data import SliceData, SliceDataset
from vqlib.experiment import Experiment

SMALL = {  # changes of the profile smoke
    f"{group}batch_size": 8 for group in ("", "generator_", "maps_", "prior_", "flow_")
}


class MadeIndex:
    """Stands in for the index of a folder."""

    def __init__(self, has_labels: bool):
        self.has_labels = has_labels


def bumps(n: int = 4, size=(32, 16), seed: int = 0, sharpness: float = 10):
    """Smooth bumps at random places: [n, 1, H, W] in [0, 1]."""
    random = torch.Generator().manual_seed(seed)
    place = torch.rand(n, 2, 1, 1, generator=random)
    h, w = size
    i, j = torch.meshgrid(torch.arange(h) / h, torch.arange(w) / w, indexing="ij")
    distance = (i - place[:, 0]).square() + (j - place[:, 1]).square()
    return torch.exp(-sharpness * distance).unsqueeze(1)


def slices(n: int, first_patient: int, seed: int, labels: bool = False) -> SliceDataset:
    """Two patients' smooth slices, [n, 1, 64, 32]; where they are bright is bladder."""
    images = bumps(n, (64, 32), seed, sharpness=6)
    return SliceDataset(
        images,
        torch.where(images[:, 0] > 0.5, 3, 1).byte() if labels else None,
        torch.linspace(0, 1, n),
        first_patient + torch.arange(n) * 2 // n,
        torch.zeros(n, dtype=torch.int64),
    )


def made_data(folder, labels: bool = False) -> SliceData:
    splits = (
        slices(24, 1, 0, labels),
        slices(8, 5, 1, labels),
        slices(8, 9, 2, labels),
    )
    return SliceData("made", folder, *splits, MadeIndex(labels), "these slices")


def lab_on(data: SliceData, run: str = "r", seed: int = 0, **changes) -> Experiment:
    lab = Experiment("smoke", None, run, seed, "cpu", **(SMALL | changes))
    lab.data = data
    return lab
