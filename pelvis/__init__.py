"""Where slices come from: the phantom, conversion of scans, download, and a check.

Everything here writes and reads files in the layout of `vqlib.data.layout`, without
PyTorch: `pelvis.phantom`, `pelvis.convert`, `pelvis.fetch`, `pelvis.check`.
"""
