"""Two processes train as one would on both their batches, and never drift apart."""

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel

from vqlib.models.quantizers import VectorQuantizer

KINDS = {
    "averages alone": {"kmeans_steps": 0, "patience": 0},
    "all": {"patience": 2},
    "cosine": {"patience": 2, "cosine": True},
    "gradient": {"patience": 2, "ema": False},
}
STEPS = 6


def batches(rank):
    random = torch.Generator().manual_seed(rank)
    return torch.randn(STEPS, 2, 2, 8, 4, generator=random)


def train_on_a_rank(rank, folder):
    dist.init_process_group(
        "gloo", init_method=(folder / "meet").as_uri(), rank=rank, world_size=2
    )
    for name, kind in KINDS.items():
        quantizer = VectorQuantizer(32, 2, **kind)
        ready, optimizer = quantizer, None
        if not quantizer.ema:
            ready = DistributedDataParallel(quantizer)
            optimizer = torch.optim.SGD(quantizer.parameters(), 1.0)
        for z_e in batches(rank):
            out = ready(z_e)
            if optimizer:
                optimizer.zero_grad()
                out.codebook_loss.backward()
                optimizer.step()
        save_file(quantizer.state_dict(), folder / f"{name} {rank}")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """Name of a kind -> the states of both processes after training."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(train_on_a_rank, (folder,), nprocs=2)
    return {
        name: [load_file(folder / f"{name} {rank}") for rank in range(2)]
        for name in KINDS
    }


@pytest.mark.parametrize("name", KINDS)
def test_start_averages_and_restarts_are_the_same_on_all_ranks(states, name):
    ours, theirs = states[name]
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key
    assert ours["step"] == STEPS


def test_averages_are_those_of_one_process_with_the_joint_batch(states):
    alone = VectorQuantizer(32, 2, **KINDS["averages alone"])
    for z_e in torch.cat([batches(0), batches(1)], dim=1):
        alone(z_e)
    for key, value in alone.state_dict().items():
        torch.testing.assert_close(states["averages alone"][0][key], value)
