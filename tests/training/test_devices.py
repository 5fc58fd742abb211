from types import SimpleNamespace

import pytest

from vqlib.errors import UserError
from vqlib.training import first_then_others, make_fabric


def test_processes_are_those_that_torchrun_has_started(monkeypatch):
    sizes = {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in {"TORCHELASTIC_RUN_ID": "x", **sizes}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="does not match the world size"):
        make_fabric("cpu", devices=8)


def test_a_precision_whose_state_would_be_lost_is_refused():
    with pytest.raises(UserError, match="unknown precision '16-mixed'"):
        make_fabric("cpu", precision="16-mixed")


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
