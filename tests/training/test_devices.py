from types import SimpleNamespace

import pytest
from slice_files import refusal

from vqlib.errors import UserError
from vqlib.training import first_then_others, make_fabric


def test_what_cannot_be_started_is_refused(monkeypatch):
    refusal(make_fabric, "cpu", None, "16-mixed", match="unknown precision '16-mixed'")
    # processes are those that torchrun has started
    sizes = {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in {"TORCHELASTIC_RUN_ID": "x", **sizes}.items():
        monkeypatch.setenv(name, value)
    refusal(make_fabric, "cpu", 8, match="does not match the world size")


def test_an_error_of_the_first_process_reaches_the_others():
    """None of which acts; else they would wait for the first one for ever."""

    def refuse():
        raise UserError("no room")

    sent = []
    send, receive = lambda x: sent.append(x) or x, lambda _: sent[0]
    for first, talk, act in ((True, send, refuse), (False, receive, pytest.fail)):
        fabric = SimpleNamespace(is_global_zero=first, broadcast=talk)
        refusal(first_then_others, fabric, act, match="no room")
