"""Slices made in memory, and experiments on them."""

import torch

from vqlib.data import SliceData, SliceDataset
from vqlib.experiment import Experiment

SMALL = {"batch_size": 8, "prior_batch_size": 8}  # changes of the profile smoke


class MadeIndex:
    """Stands in for the index of a folder."""

    def __init__(self, has_labels: bool):
        self.has_labels = has_labels


def slices(n: int, first_patient: int, seed: int, labels: bool = False) -> SliceDataset:
    """Two patients' smooth slices, [n, 1, 64, 32]; where they are bright is bladder."""
    random = torch.Generator().manual_seed(seed)
    place = torch.rand(n, 2, 1, 1, generator=random)
    i, j = torch.meshgrid(torch.arange(64) / 64, torch.arange(32) / 32, indexing="ij")
    images = torch.exp(-6 * ((i - place[:, 0]) ** 2 + (j - place[:, 1]) ** 2))
    return SliceDataset(
        images.unsqueeze(1),
        torch.where(images > 0.5, 3, 1).byte() if labels else None,
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
