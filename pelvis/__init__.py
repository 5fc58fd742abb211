"""Where slices come from: the phantom, conversion of scans, download, and a check.

Everything here writes and reads files in the layout of `vqlib.data.layout`, without
PyTorch: `pelvis.phantom`, `pelvis.convert`, `pelvis.fetch`, `pelvis.check`.
"""

SPACING_RANGE = (0.05, 50.0)  # mm; a pixel of another size is a damaged header
