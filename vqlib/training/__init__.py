"""One training loop for every model, on Lightning Fabric.

`loop` trains, `state` keeps what must survive an interruption, `devices` says where it
runs: CPU, one GPU, several, several machines. Taught in notebook 03, section 3.7.
"""
# ruff: noqa: F401

from vqlib.training.devices import first_then_others, make_fabric
from vqlib.training.loop import FitSettings, check_batch, fit, learning_rate_at
from vqlib.training.state import load_weights
