"""From files to tensors: scaling, size, and the data sets of the three splits.

Each volume (patient and week) is divided by the 99.5th percentile of its own non-zero
pixels, at native resolution, and clipped to [0, 1]: scanners give arbitrary units, and
one bright coil spot must not darken a whole scan. Then every slice is cropped or
padded about its centre to 256 x 128 and area-averaged down to the size of the profile.
All slices are read once and kept in memory as one tensor: 1.7 GB for the whole of
HipMRI at full size, 60 MB for the phantom of the quick profile.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2.functional import center_crop
from tqdm.auto import tqdm

from vqlib.data.layout import LABEL_NAMES, SPLITS, SliceIndex
from vqlib.data.nifti import read_label, read_slice
from vqlib.errors import UserError
from vqlib.profiles import Profile
from vqlib.runs import load_json, project_root

NATIVE_SIZE = (256, 128)  # left–right x inferior–superior
PIXEL_MM = (1.68, 1.56)  # of a slice at native size
PERCENTILE = 99.5


def scale_volume(slices: np.ndarray) -> np.ndarray:
    """Scale a volume `[S, X, Z]` of arbitrary units to [0, 1].

    Divides by the 99.5th percentile of the volume's non-zero pixels and clips. What is
    blank stays 0.
    """
    slices = np.asarray(slices, dtype=np.float32)
    seen = slices[slices != 0]
    bright = np.percentile(seen, PERCENTILE) if seen.size else 0.0
    if bright <= 0:
        return np.zeros_like(slices)
    return np.clip(slices / np.float32(bright), 0.0, 1.0)


def fit_to(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring `[..., X, Z]` to a size `[..., H, W]`.

    Crops or pads (with 0) about the centre to 256 x 128, then shrinks both sides by one
    whole number. Floating-point images are area-averaged. Integer tensors are label
    maps: each block takes its most frequent label, and the higher one of a tie, so that
    a small organ does not lose to the body around it. Raises `UserError` for a size
    that is not 256 x 128 divided by a whole number.
    """
    factor = NATIVE_SIZE[0] // size[0] if size[0] > 0 else 0
    if factor < 1 or (size[0] * factor, size[1] * factor) != NATIVE_SIZE:
        raise UserError(
            f"size {size[0]}x{size[1]} is not 256x128 divided by a whole number; "
            "choose 256x128, 128x64, 64x32 or 32x16"
        )
    image = center_crop(image, list(NATIVE_SIZE))  # pads what is smaller
    if factor == 1:
        return image
    flat = image.reshape(-1, 1, *NATIVE_SIZE)  # [N, 1, 256, 128]
    if image.is_floating_point():
        small = avg_pool2d(flat, factor)  # [N, 1, H, W]
    else:
        small = _majority(flat, factor)
    return small.reshape(*image.shape[:-2], *size)


def _majority(labels: Tensor, factor: int) -> Tensor:
    winner = torch.zeros_like(labels[:, :, ::factor, ::factor])
    votes = torch.zeros(winner.shape)
    for value in range(len(LABEL_NAMES)):
        share = avg_pool2d((labels == value).float(), factor)
        winner = torch.where(share >= votes, value, winner).to(labels.dtype)
        votes = torch.maximum(share, votes)
    return winner


class SliceDataset(Dataset):
    """The slices of one split, in memory, in the order of its index.

    H runs left–right and W inferior–superior: upright on screen is ``image.T`` with
    ``origin="lower"``. Make it by `SliceDataset.from_index`. Taught in notebook 01.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None,
        positions: Tensor,
        patients: Tensor,
        weeks: Tensor,
        index: SliceIndex | None = None,
    ):
        self.images = images  # [N, 1, H, W] float32 in [0, 1]
        self.labels = labels  # [N, H, W] uint8, or None
        self.positions = positions  # [N] float32: 0 first slice of its volume, 1 last
        self.patients = patients  # [N] int64
        self.weeks = weeks  # [N] int64
        self.index = index

    @classmethod
    def from_index(
        cls, index: SliceIndex, size: tuple[int, int], progress: bool = True
    ) -> "SliceDataset":
        """Read all slices of an index, with a progress bar.

        A position is the rank of a slice within its volume divided by (slices − 1); the
        only slice of a volume lies at 0.5. Raises `UserError` for a file that
        `read_slice` or `read_label` refuses, for slices of one volume that differ in
        shape and for a label of another shape than its image.
        """
        n = len(index)
        images = torch.empty(n, 1, *size)
        labels = torch.empty(n, *size, dtype=torch.uint8) if index.has_labels else None
        positions = torch.empty(n)

        def load(rows: list[int]) -> None:
            records = [index.records[row] for row in rows]
            pixels = scale_volume(_stack(records))  # [S, X, Z]
            images[rows, 0] = fit_to(torch.from_numpy(pixels), size)
            if labels is not None:
                labels[rows] = fit_to(_stack_labels(records, pixels.shape[1:]), size)
            ranks = torch.arange(len(rows)) / max(len(rows) - 1, 1)
            positions[rows] = ranks if len(rows) > 1 else 0.5

        fit_to(torch.zeros(1, *NATIVE_SIZE), size)  # refuse a size before reading
        volumes = list(index.volumes.values())
        pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
        name = index.records[0].split if index.records else "no"
        try:
            for _ in tqdm(
                pool.map(load, volumes),
                total=len(volumes),
                desc=f"reading {name} volumes",
                disable=not progress,
                leave=False,
            ):
                pass
        finally:  # an error or an interrupt must not wait for the volumes in the queue
            pool.shutdown(cancel_futures=True)
        return cls(
            images,
            labels,
            positions,
            torch.tensor([r.case for r in index.records]),
            torch.tensor([r.week for r in index.records]),
            index,
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict:
        """``image`` `[1, H, W]`, ``position`` (0-dimensional) and ``index``."""
        return {"image": self.images[i], "position": self.positions[i], "index": i}


def _stack(records) -> np.ndarray:
    slices = [read_slice(record.path) for record in records]
    for record, pixels in zip(records, slices, strict=True):
        if pixels.shape != slices[0].shape:
            raise UserError(
                f"{record.path} is {_by(pixels.shape)}, but its volume begins with "
                f"{_by(slices[0].shape)} slices; convert the volume again"
            )
    return np.stack(slices)


def _stack_labels(records, shape) -> Tensor:
    labels = [read_label(record.label_path) for record in records]
    for record, values in zip(records, labels, strict=True):
        if values.shape != shape:
            raise UserError(
                f"{record.label_path} is {_by(values.shape)}, but its image is "
                f"{_by(shape)}; export both on the same grid"
            )
    return torch.from_numpy(np.stack(labels))


def _by(shape) -> str:
    return "x".join(map(str, shape))


@dataclass(frozen=True)
class SliceData:
    """The three splits of one data folder."""

    name: str  # "phantom", or the name of the folder
    folder: Path
    train: SliceDataset
    validate: SliceDataset
    test: SliceDataset
    index: SliceIndex  # of the whole folder

    @property
    def has_labels(self) -> bool:
        """Whether every slice of every split has a label map."""
        return self.index.has_labels

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over file names and sizes of all splits."""
        return self.index.fingerprint()


def open_data(
    data_dir: str | Path | None, profile: Profile, progress: bool = True
) -> SliceData:
    """Read a data folder at the size of a profile.

    ``None`` means the phantom of the profile, ``data/phantom-NAME`` under the project
    root, made when missing. Raises `UserError` for whatever is wrong with the folder.
    """
    if data_dir is None:
        name, folder = "phantom", _phantom_folder(profile, progress)
    else:
        folder = Path(data_dir).expanduser()
        name = folder.resolve().name
    index = SliceIndex.from_folder(folder)
    parts = [index.split(split) for split in SPLITS]
    datasets = [SliceDataset.from_index(p, profile.shape, progress) for p in parts]
    return SliceData(name, folder, *datasets, index)


def _phantom_folder(profile: Profile, progress: bool) -> Path:
    """The profile's phantom, made where it is missing; raises `UserError` where one
    made with other settings lies in its place."""
    from vqlib.data.phantom.write import VERSION, write_phantom  # rarely needed

    folder = project_root() / "data" / f"phantom-{profile.name}"
    try:
        patients = tuple(int(n) for n in profile.phantom_patients.split(","))
        split_counts = dict(zip(SPLITS, patients, strict=True))
    except ValueError:
        raise UserError(
            f"phantom_patients {profile.phantom_patients!r} is not three whole "
            "numbers; give for example 16,4,5"
        ) from None
    weeks, slices = profile.phantom_weeks, profile.phantom_slices
    if not folder.exists():
        write_phantom(folder, patients, weeks, 0, slices, progress=progress)
    made = load_json(folder / "phantom.json")
    wanted = {
        "version": VERSION,
        "seed": 0,
        "patients": split_counts,
        "weeks": weeks,
        "slices": slices,
    }
    for key, value in wanted.items():
        if made.get(key) != value:
            raise UserError(
                f"{folder} was made with other settings ({key}: {made.get(key)!r} "
                f"there, {value!r} now); delete it to have it made again"
            )
    return folder


def make_loader(
    dataset: Dataset, batch_size: int, shuffle: bool = False, seed: int = 0
) -> DataLoader:
    """Batches of a data set: of a `SliceDataset`, ``image`` `[B, 1, H, W]`,
    ``position`` `[B]` and ``index`` `[B]` int64.

    The order depends on the seed alone, and differs from epoch to epoch. No worker
    processes: the slices are in memory already.
    """
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(dataset, batch_size, shuffle=shuffle, generator=generator)
