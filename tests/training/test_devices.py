import sys

import pytest
import torch

from vqlib.errors import UserError
from vqlib.training import make_fabric


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "cuda"}, "no GPU"),
        ({"device": "tpu9"}, "use one of auto, cpu, cuda"),
        ({"precision": "16"}, "use one of 32-true, bf16-mixed, 16-mixed"),
        ({"precision": "16-mixed"}, "needs a GPU; on the CPU use bf16-mixed"),
        ({"num_nodes": 2}, "must know of each other"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(monkeypatch, settings, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=message) as fault:
        make_fabric(**{"device": "cpu"} | settings)
    assert "\n" not in str(fault.value)


def test_the_number_of_processes_is_checked(monkeypatch):
    with monkeypatch.context() as notebook:
        notebook.setattr(sys, "ps1", ">>>", raising=False)
        with pytest.raises(UserError, match="`vqlib train` in a shell"):
            make_fabric("cpu", devices=2)
    with monkeypatch.context() as gpu:
        gpu.setattr(torch.cuda, "is_available", lambda: True)
        gpu.setattr(torch.cuda, "device_count", lambda: 1)
        with pytest.raises(UserError, match="2 devices asked for, but torch sees 1"):
            make_fabric("cuda", devices=2)
    torchrun = ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    for name, value in zip(torchrun, ("x", "8", "4"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="has started 4 processes on each of 2"):
        make_fabric("cpu", devices=8)
