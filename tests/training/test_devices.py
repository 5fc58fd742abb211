import sys
from types import SimpleNamespace

import pytest
import torch
from lightning_fabric.loggers import tensorboard

from vqlib.errors import UserError
from vqlib.training import first_then_others, make_fabric, make_logger


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


def test_an_error_of_the_first_process_reaches_the_others():
    """None of which acts; else they would wait for the first one for ever."""

    def refuse():
        raise UserError("no room")

    sent = []
    first = SimpleNamespace(
        is_global_zero=True, broadcast=lambda x: sent.append(x) or x
    )
    other = SimpleNamespace(is_global_zero=False, broadcast=lambda _: sent[0])
    for fabric, action in ((first, refuse), (other, pytest.fail)):
        with pytest.raises(UserError, match="no room"):
            first_then_others(fabric, action)


def test_without_tensorboard_a_hint(tmp_path, monkeypatch):
    for name in ("_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"):
        monkeypatch.setattr(tensorboard, name, False)
    with pytest.raises(UserError, match="pip install tensorboard, or leave out --tens"):
        make_logger(tmp_path)
