"""What every test run needs, the notebooks' (nbval) included."""

import os

import matplotlib

# Jupyter kernels inherit this: widgets draw once, statically (see vqlib.show.widgets).
os.environ.setdefault("VQLIB_HEADLESS", "1")
# Only in this process: kernels choose their own backend.
matplotlib.use("Agg")
