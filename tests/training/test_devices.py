from types import SimpleNamespace

import pytest
import torch
from lightning_fabric.loggers import tensorboard

from vqlib.errors import UserError
from vqlib.training import first_then_others, make_fabric, make_logger


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "tpu9"}, "use one of auto, cpu, cuda"),
        ({"precision": "16"}, "use one of 32-true, bf16-mixed, 16-mixed"),
        ({"precision": "16-mixed"}, "needs a GPU; on the CPU use bf16-mixed"),
        ({"strategy": "fsdp"}, "use one of auto, ddp"),
        ({"num_nodes": 2}, "must know of each other"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as fault:
        make_fabric(**{"device": "cpu"} | settings)
    assert "\n" not in str(fault.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="no GPU"):
        make_fabric("cuda")


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_acts_first_and_its_error_is_everyones(rank):
    calls = []

    def stand_in(of_the_first):
        def broadcast(fault):
            calls.append("waited")
            return of_the_first

        return SimpleNamespace(is_global_zero=rank == 0, broadcast=broadcast)

    def act():
        calls.append("acted")
        return "result"

    def fail():
        raise UserError("no data")

    assert first_then_others(stand_in(None), act) == "result"
    assert calls == (["acted", "waited"] if rank == 0 else ["waited", "acted"])
    with pytest.raises(UserError, match="no data"):
        first_then_others(stand_in("no data"), fail if rank == 0 else act)
    assert calls.count("acted") == 1


def test_loggers(tmp_path, monkeypatch):
    for number in range(2):  # a training that is taken up again does not lose the log
        fabric = make_fabric("cpu", loggers=make_logger("csv", tmp_path))
        fabric.log_dict({"loss": 0.5}, step=1)
        fabric.logger.save()
        text = (tmp_path / "logs" / f"version_{number}" / "metrics.csv").read_text()
        assert text.splitlines() == ["loss,step", "0.5,1"]
    with pytest.raises(UserError, match="use one of csv, tensorboard"):
        make_logger("wandb", tmp_path)
    monkeypatch.setattr(tensorboard, "_TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr(tensorboard, "_TENSORBOARDX_AVAILABLE", False)
    with pytest.raises(UserError, match="pip install tensorboard"):
        make_logger("tensorboard", tmp_path)
