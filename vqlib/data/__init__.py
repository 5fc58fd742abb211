"""Where slices come from: the HipMRI layout, and the phantom that stands in for it.

Only the data sets and the augmentation need PyTorch, which is loaded with the first of
them. Processes that draw, convert, check or decode do without: they start at once, and
take a fraction of the memory.
"""

from importlib import import_module

from vqlib.data.layout import (
    LABEL_NAMES,
    NATIVE_SIZE,
    PIXEL_MM,
    SPLITS,
    SliceIndex,
    SliceRecord,
    scan_folder,
)
from vqlib.data.slices import (
    center_on_grid,
    fit_to,
    read_label,
    read_slice,
    scale_volume,
)

__all__ = [
    "LABEL_NAMES",
    "NATIVE_SIZE",
    "PIXEL_MM",
    "SPLITS",
    "Augment",
    "SliceData",
    "SliceDataset",
    "SliceIndex",
    "SliceRecord",
    "center_on_grid",
    "fit_to",
    "make_loader",
    "open_data",
    "read_label",
    "read_slice",
    "scale_volume",
    "scan_folder",
]

_WITH_TORCH = {
    "Augment": "augment",
    "SliceData": "dataset",
    "SliceDataset": "dataset",
    "make_loader": "dataset",
    "open_data": "dataset",
}


def __getattr__(name: str):
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WITH_TORCH})
