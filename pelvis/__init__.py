"""Where slices come from: the phantom, conversion of scans, download, and a check.

`pelvis.check`, `pelvis.convert` and `pelvis.fetch` are modules of their own. Everything
here writes and reads files in the layout of `vqlib.data.layout`, without PyTorch.

>>> import pelvis
>>> image, labels = pelvis.make_volume(patient_seed=4, slices=2)
>>> image.shape, image.dtype.name, labels.dtype.name
((2, 256, 128), 'float32', 'uint8')
"""

from importlib import import_module

__all__ = ["PHANTOM_VERSION", "make_volume", "write_phantom"]

_PLACES = {
    "PHANTOM_VERSION": ("pelvis.phantom.write", "VERSION"),
    "make_volume": ("pelvis.phantom.volume", "make_volume"),
    "write_phantom": ("pelvis.phantom.write", "write_phantom"),
}


def __getattr__(name: str):
    """Imported when it is asked for, so that commands start at once."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _PLACES[name]
    return getattr(import_module(module), there)
