"""The data sets of the three splits, and the batches that a training sees.

A folder of slices is decoded once (see `vqlib.data.cache`), and mapped into memory when
it is opened again: whatever the size of the study, that takes no time and hardly any
memory. Taught in notebook 01.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vqlib import profiles
from vqlib.data.cache import Decoded, decode, load_slices
from vqlib.data.layout import SPLITS, SliceIndex
from vqlib.errors import UserError
from vqlib.profiles import Profile
from vqlib.runs import load_json, project_root


@dataclass(eq=False, repr=False)
class SliceDataset(Dataset):
    """The slices of one split, in the order of its index.

    H runs left–right and W inferior–superior: upright on screen is ``image.T`` with
    ``origin="lower"``. Make it by `open_data`, or by `SliceDataset.from_index`.
    """

    images: Tensor  # [N, 1, H, W] float32 in [0, 1]
    labels: Tensor | None  # [N, H, W] uint8
    positions: Tensor  # [N] float32: 0 first slice of its volume, 1 last
    patients: Tensor  # [N] int64
    weeks: Tensor  # [N] int64
    index: SliceIndex | None = None

    @classmethod
    def from_index(cls, index: SliceIndex, size: tuple[int, int]) -> "SliceDataset":
        """Read all slices of an index into memory; raises `UserError` as
        `vqlib.data.cache.decode` does."""
        return cls.from_decoded(index, decode(index, size))

    @classmethod
    def from_decoded(
        cls, index: SliceIndex, decoded: Decoded, rows: slice = slice(None)
    ) -> "SliceDataset":
        """Some rows of what was decoded, without a copy of the images."""
        images, table = (torch.from_numpy(x[rows]) for x in decoded[::2])
        labels = torch.from_numpy(decoded.labels[rows]) if index.has_labels else None
        _, patients, weeks, positions = table.T
        return cls(
            *(images, labels, positions.float()),
            *(patients.long(), weeks.long(), index),
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict:
        """``image`` `[1, H, W]`, ``position`` (0-dimensional) and ``index``; where
        there are label maps, ``labels`` `[H, W]` uint8."""
        item = {"image": self.images[i], "position": self.positions[i], "index": i}
        return item if self.labels is None else item | {"labels": self.labels[i]}


class Mirrored(Dataset):
    """The slices of a split, and each a second time with left and right exchanged: a
    pelvis is nearly symmetric, and generators need many. For training only."""

    def __init__(self, dataset: SliceDataset):
        self.dataset = dataset
        self.positions = dataset.positions.repeat(2)
        self.patients = dataset.patients.repeat(2)

    def __len__(self) -> int:
        return 2 * len(self.dataset)

    def __getitem__(self, i: int) -> dict:
        item = self.dataset[i % len(self.dataset)]
        if i >= len(self.dataset):
            item["image"] = item["image"].flip(1)
            if "labels" in item:
                item["labels"] = item["labels"].flip(0)
        return item


@dataclass(frozen=True)
class SliceData:
    """The three splits of one data folder."""

    name: str  # "phantom", or the name of the folder
    folder: Path
    train: SliceDataset
    validate: SliceDataset
    test: SliceDataset
    index: SliceIndex  # of the whole folder
    fingerprint: str  # SHA-256 over names and bytes of all files

    @property
    def has_labels(self) -> bool:
        """Whether every slice of every split has a label map."""
        return self.index.has_labels


def open_data(
    data_dir: str | Path | None, profile: Profile | str, progress: bool = True
) -> SliceData:
    """Open a data folder at the size of a profile (or of the one with this name).

    ``None`` means the phantom of the profile, ``data/phantom-NAME`` under the project
    root, made when missing. A relative folder that is not below the current one is
    looked for below the project root: papermill runs a notebook in a folder of its own.
    Raises `UserError` for whatever is wrong with the folder.
    """
    if isinstance(profile, str):
        profile = profiles.get(profile)
    if data_dir is None:
        name, folder = "phantom", _phantom_folder(profile, progress)
    else:
        folder = Path(data_dir).expanduser()
        if not folder.exists() and (project_root() / folder).is_dir():
            folder = project_root() / folder
        name = folder.resolve().name
    index = SliceIndex.from_folder(folder)
    parts = [index.split(split) for split in SPLITS]
    decoded = load_slices(index, profile.shape, progress)
    ends = np.searchsorted(decoded.table[:, 0], range(len(SPLITS) + 1))
    datasets = [
        SliceDataset.from_decoded(part, decoded, slice(*ends[number : number + 2]))
        for number, part in enumerate(parts)
    ]
    return SliceData(name, folder, *datasets, index, decoded.fingerprint)


def make_loader(
    dataset: Dataset, batch_size: int, shuffle: bool = False, seed: int = 0
) -> DataLoader:
    """Batches of a data set: of a `SliceDataset`, ``image`` `[B, 1, H, W]`,
    ``position`` `[B]` and ``index`` `[B]` int64.

    The order depends on the seed alone, and differs from epoch to epoch. No worker
    processes: the slices are in memory, or mapped into it.
    """
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(dataset, batch_size, shuffle, generator=generator)


def _phantom_folder(profile: Profile, progress: bool) -> Path:
    """The profile's phantom, made where it is missing; raises `UserError` where one
    made with other settings lies in its place."""
    phantom = import_module("pelvis.phantom")  # by name: imports go down only
    folder, p = project_root() / "data" / f"phantom-{profile.name}", profile.data
    patients = tuple(int(n) for n in p.phantom_patients.split(","))
    wanted = {"version": phantom.VERSION, "seed": 0, "weeks": p.phantom_weeks}
    wanted["slices"] = p.phantom_slices
    wanted["patients"] = dict(zip(SPLITS, patients, strict=True))
    if not folder.exists():
        how = (p.phantom_weeks, 0, p.phantom_slices)
        phantom.write_phantom(folder, patients, *how, progress=progress)
    made = load_json(folder / "phantom.json")
    for key, value in wanted.items():
        if made.get(key) != value:
            raise UserError(
                f"{folder} was made with other settings ({key}: {made.get(key)!r} "
                f"there, {value!r} now); delete it to have it made again"
            )
    return folder
