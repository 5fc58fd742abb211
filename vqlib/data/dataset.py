"""The data sets of the three splits, and the batches that a training sees.

A folder of slices is decoded once (see `vqlib.data.decode`) and kept in a cache (see
`vqlib.data.cache`), from where later openings map it: whatever the size of the study,
opening it again takes no time and hardly any memory. Taught in notebook 01.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from vqlib.data.cache import open_stored
from vqlib.data.decode import decode, relative_positions
from vqlib.data.layout import SPLITS, SliceIndex, list_folder
from vqlib.data.stored import StoredRows, StoredSlices
from vqlib.errors import UserError
from vqlib.profiles import Profile
from vqlib.runs import load_json, project_root


class SliceDataset(Dataset):
    """The slices of one split, in the order of its index.

    H runs left–right and W inferior–superior: upright on screen is ``image.T`` with
    ``origin="lower"``. Make it by `open_data`, or by `SliceDataset.from_index`. Taught
    in notebook 01.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None,
        positions: Tensor,
        patients: Tensor,
        weeks: Tensor,
        index: SliceIndex | None = None,
        stored: StoredRows | None = None,
    ):
        self.images = images  # [N, 1, H, W] float32 in [0, 1]
        self.labels = labels  # [N, H, W] uint8, or None
        self.positions = positions  # [N] float32: 0 first slice of its volume, 1 last
        self.patients = patients  # [N] int64
        self.weeks = weeks  # [N] int64
        self.index = index
        self.stored = stored  # where the images come from a file
        self._opened = (images, images._version) if stored else None

    @classmethod
    def from_index(
        cls, index: SliceIndex, size: tuple[int, int], progress: bool = True
    ) -> "SliceDataset":
        """Read all slices of an index into memory, with a progress bar.

        A position is the rank of a slice within its volume divided by (slices − 1); the
        only slice of a volume lies at 0.5. Raises `UserError` as `decode` does.
        """
        n = len(index)
        images = torch.empty(n, 1, *size)
        labels = torch.empty(n, *size, dtype=torch.uint8) if index.has_labels else None

        def store(rows: list[int], pixels: np.ndarray, kinds: np.ndarray | None):
            images[rows, 0] = torch.from_numpy(pixels)
            if labels is not None:
                labels[rows] = torch.from_numpy(kinds)

        decode(index, size, store, progress)
        return cls(
            images,
            labels,
            torch.from_numpy(relative_positions(index)),
            torch.tensor([r.case for r in index.records]),
            torch.tensor([r.week for r in index.records]),
            index,
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict:
        """``image`` `[1, H, W]`, ``position`` (0-dimensional) and ``index``."""
        return {"image": self.images[i], "position": self.positions[i], "index": i}

    def __getitems__(self, rows: list[int]) -> list[dict]:
        """The items of a batch, as a `DataLoader` asks for them: read from the file
        behind ``images``, while nobody has changed those."""
        found = self.stored.read(rows) if self._as_opened() else None
        if found is None:
            return [self[row] for row in rows]
        images = torch.from_numpy(found)
        positions = self.positions[rows]
        batch = {"image": images, "position": positions, "index": torch.tensor(rows)}
        return _Batch(
            (
                {"image": image, "position": position, "index": row}
                for image, position, row in zip(images, positions, rows, strict=True)
            ),
            batch,
        )

    def _as_opened(self) -> bool:
        """Whether ``images`` are still what the file behind them holds."""
        if self._opened is None:
            return False
        images, version = self._opened
        return self.images is images and images._version == version


class _Batch(list):
    """Items that are a batch already, so that nobody needs to stack them again."""

    def __init__(self, items: Iterable[dict], whole: dict):
        super().__init__(items)
        self.whole = whole


def _collate(items: list[dict]) -> dict:
    return items.whole if isinstance(items, _Batch) else default_collate(items)


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
    data_dir: str | Path | None,
    profile: Profile,
    progress: bool = True,
    cache: bool = True,
) -> SliceData:
    """Open a data folder at the size of a profile.

    ``None`` means the phantom of the profile, ``data/phantom-NAME`` under the project
    root, made when missing. The slices are decoded the first time and kept (see
    `vqlib.data.cache`); without ``cache`` they are read into memory, and are the same.
    Raises `UserError` for whatever is wrong with the folder.
    """
    if data_dir is None:
        name, folder = "phantom", _phantom_folder(profile, progress)
    else:
        folder = Path(data_dir).expanduser()
        name = folder.resolve().name
    listing, size = list_folder(folder), profile.shape
    stored = open_stored(folder, listing, size, progress) if cache else None
    if stored is not None:
        index = SliceIndex(folder, listing)
        return SliceData(name, folder, *_stored_splits(stored, index), index)
    index = SliceIndex.from_listing(folder, listing)
    parts = [index.split(split) for split in SPLITS]
    datasets = [SliceDataset.from_index(part, size, progress) for part in parts]
    return SliceData(name, folder, *datasets, index)


def _stored_splits(stored: StoredSlices, index: SliceIndex) -> list[SliceDataset]:
    """The rows of each split, of everything that an entry of the cache holds."""
    facts = stored.facts
    ends = list(accumulate(facts["slices"]))
    datasets = []
    for split, start, end in zip(SPLITS, [0, *ends], ends, strict=False):
        rows = slice(start, end)
        with torch.inference_mode(False):  # else none could tell that it was written to
            table = torch.from_numpy(stored.table[rows])
            images = torch.from_numpy(stored.images[rows])
            labels = None
            if split in facts["labelled"]:
                labels = torch.from_numpy(stored.labels[rows])
        datasets.append(
            SliceDataset(
                images,
                labels,
                table[:, 2].float(),
                table[:, 0].long(),
                table[:, 1].long(),
                index.split(split),
                stored.rows(start, end),
            )
        )
    return datasets


def _phantom_folder(profile: Profile, progress: bool) -> Path:
    """The profile's phantom, made where it is missing; raises `UserError` where one
    made with other settings lies in its place."""
    phantom = import_module("pelvis.phantom.write")  # by name: imports go down only

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
        phantom.write_phantom(folder, patients, weeks, 0, slices, progress=progress)
    made = load_json(folder / "phantom.json")
    wanted = {
        "version": phantom.VERSION,
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
    processes: the slices are in memory, or one copy away from it.
    """
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(
        dataset, batch_size, shuffle, generator=generator, collate_fn=_collate
    )
