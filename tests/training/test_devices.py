import pytest
import torch

from vqlib.errors import UserError
from vqlib.training import make_fabric


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
