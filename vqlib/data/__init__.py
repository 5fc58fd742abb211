"""Slices: how they lie in a folder, how they are read, and the data sets of a run.

Names load with their first use: only data sets and augmentation need PyTorch, so
processes that draw, convert, check or decode start at once and stay small.
"""

from importlib import import_module

_HOME = {
    "layout": "LABEL_NAMES NATIVE_SIZE PIXEL_MM SPLITS SliceIndex SliceRecord",
    "slices": "center_on_grid fit_to read_label read_slice scale_volume",
    "dataset": "Mirrored SliceData SliceDataset make_loader open_data",
    "augment": "Augment",
}
_MODULES = {name: module for module, names in _HOME.items() for name in names.split()}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
