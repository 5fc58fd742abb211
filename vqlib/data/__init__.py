"""Where slices come from: the HipMRI layout, and the phantom that stands in for it."""

from vqlib.data.augment import Augment
from vqlib.data.dataset import SliceData, SliceDataset, make_loader, open_data
from vqlib.data.layout import (
    LABEL_NAMES,
    SPLITS,
    SliceIndex,
    SliceRecord,
    scan_folder,
)
from vqlib.data.nifti import read_label, read_slice
from vqlib.data.scaling import (
    NATIVE_SIZE,
    PIXEL_MM,
    center_on_grid,
    fit_to,
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
