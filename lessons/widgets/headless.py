"""Whether a reader is there who could move a control.

``ipywidgets.interact`` can stall a run without a browser (a known and open fault of
nbclient, 3 to 5 runs in 100), so each widget of this package asks first:

- ``VQLIB_HEADLESS=1``, which ``vqlib tutorial`` and the tests set, means nobody;
- outside a Jupyter kernel there is nobody either;
- a program that executes notebooks (papermill, nbconvert, nbval) says with each cell
  that it cannot answer input requests, while JupyterLab, VS Code and the classic
  notebook can.
"""

import os
import sys


def is_headless() -> bool:
    """Whether no reader could move a control; see the top of this module."""
    if os.environ.get("VQLIB_HEADLESS", "") not in ("", "0"):
        return True
    kernels = sys.modules.get("ipykernel.kernelapp")  # there in every kernel
    if kernels is None or not kernels.IPKernelApp.initialized():
        return True
    request = kernels.IPKernelApp.instance().kernel.get_parent("shell") or {}
    return not request.get("content", {}).get("allow_stdin", True)
