"""Two processes with half a batch each compute what one does with all of it."""

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel

from vqlib import losses
from vqlib.models import Segmenter, VectorQuantizer

pytestmark = pytest.mark.slow
SLICES, LABELS, STEPS = 4, 3, 6
LOSSES = ("Gaussian", "Laplace", "free bits", "segmenter")
QUANTIZERS = {
    "averages alone": {"kmeans_steps": 0, "patience": 0},
    "all": {"patience": 2},
    "cosine": {"patience": 2, "cosine": True},
    "gradient": {"patience": 2, "ema": False},
}


def losses_of(rows):
    """Name -> a loss of those slices, and what it is differentiated by. The slices
    differ much, so that no half stands for the whole."""
    random = torch.Generator().manual_seed(0)
    size = torch.tensor([0.02, 0.1, 0.5, 2.0])[:, None, None, None]
    x = torch.randn(SLICES, 1, 8, 4, generator=random)
    r = (x + size * torch.randn(x.shape, generator=random)).requires_grad_()
    mu = (size[..., 0, 0] * torch.randn(SLICES, 6, generator=random)).requires_grad_()
    logvar = torch.randn(SLICES, 6, generator=random)
    truth = torch.randint(LABELS, (SLICES, 8, 4), generator=random)
    truth[:2] = 0  # organs in the other half only
    torch.manual_seed(0)
    network = Segmenter(LABELS, widths=(8, 16))
    segmentation = losses.SegmentationObjective(network)
    found = segmentation({"image": x[rows], "labels": truth[rows]})
    return {
        "Gaussian": (losses.gaussian_nll(r[rows], x[rows]), r),
        "Laplace": (losses.laplace_nll(r[rows], x[rows]), r),
        "free bits": (losses.kl_with_free_bits(mu[rows], logvar[rows], 0.6), mu),
        "segmenter": (found["loss"], network.down[0][0].weight),
    }


def differentiate(rank):
    for name in LOSSES:
        loss, by = losses_of(torch.tensor([[0, 1], [2, 3]])[rank])[name]
        loss.backward()
        dist.all_reduce(by.grad)
        yield f"{name} loss", loss.detach()
        yield f"{name} gradient", by.grad / 2
        with torch.no_grad():  # whole batches are scored by each process alone
            yield f"{name} scored", losses_of(torch.arange(SLICES))[name][0]


def batches(rank):
    random = torch.Generator().manual_seed(rank)
    return torch.randn(STEPS, 2, 2, 8, 4, generator=random)


def train(rank):
    for name, kind in QUANTIZERS.items():
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
        for key, value in quantizer.state_dict().items():
            yield f"{name} {key}", value


def work(rank, folder):
    meet = (folder / "meet").as_uri()
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    save_file(dict([*differentiate(rank), *train(rank)]), folder / str(rank))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(work, (folder,), nprocs=2)
    return [load_file(folder / str(rank)) for rank in range(2)]


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients_are_those_of_the_whole_batch(found, name):
    loss, by = losses_of(torch.arange(SLICES))[name]
    loss.backward()
    of_both = sum(each[f"{name} loss"] for each in found) / 2  # as it is reported
    torch.testing.assert_close(of_both, loss.detach())
    for each in found:
        torch.testing.assert_close(each[f"{name} gradient"], by.grad)
        torch.testing.assert_close(each[f"{name} scored"], loss.detach())


@pytest.mark.parametrize("name", QUANTIZERS)
def test_start_averages_and_restarts_are_the_same_on_all_ranks(found, name):
    ours, theirs = found
    keys = [key for key in ours if key.startswith(f"{name} ")]
    assert ours[f"{name} step"] == STEPS
    for key in keys:
        assert torch.equal(ours[key], theirs[key]), key


def test_averages_are_those_of_one_process_with_the_joint_batch(found):
    alone = VectorQuantizer(32, 2, **QUANTIZERS["averages alone"])
    for z_e in torch.cat([batches(0), batches(1)], dim=1):
        alone(z_e)
    for key, value in alone.state_dict().items():
        torch.testing.assert_close(found[0][f"averages alone {key}"], value)
