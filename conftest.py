"""What every test run needs, the notebooks' (nbval) included."""

import os
import tempfile

import matplotlib

# Jupyter kernels inherit this: widgets draw once, statically (see lessons.widgets).
os.environ.setdefault("VQLIB_HEADLESS", "1")
# Decoded slices go where the test run ends with them, not into the project's cache/.
if "VQLIB_CACHE" not in os.environ:
    _cache = tempfile.TemporaryDirectory("-vqlib-cache", ignore_cleanup_errors=True)
    os.environ["VQLIB_CACHE"] = _cache.name
# Only in this process: kernels choose their own backend.
matplotlib.use("Agg")
