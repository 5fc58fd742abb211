"""A synthetic male pelvis, cut coronally into the files and folders of HipMRI.

It stands in for HipMRI, which may not be redistributed, so that everything runs without
any data of one's own. Read ``shapes`` (signed distances), ``patient`` (what varies),
``bones``, ``muscles``, ``organs`` and ``vessels`` (the anatomy), ``tissue`` (signal,
texture, coil, noise), ``volume`` (painting a slice), ``write`` (the files).
"""

from pelvis.phantom.volume import make_volume
from pelvis.phantom.write import write_phantom

__all__ = ["make_volume", "write_phantom"]
