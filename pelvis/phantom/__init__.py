"""A synthetic male pelvis, cut coronally into the files and folders of HipMRI.

It stands in for HipMRI, which may not be redistributed. Read ``shapes`` (signed
distances), ``patient`` (what varies),
``bones``, ``muscles``, ``organs`` and ``vessels`` (the anatomy), ``tissue`` (signal,
texture, coil, noise), ``volume`` (painting a slice), ``write`` (the files).

>>> image, labels = make_volume(patient_seed=4, slices=2)
>>> image.shape, image.dtype.name, labels.dtype.name
((2, 256, 128), 'float32', 'uint8')
"""

from pelvis.phantom.volume import make_volume
from pelvis.phantom.write import VERSION, write_phantom

__all__ = ["VERSION", "make_volume", "write_phantom"]
