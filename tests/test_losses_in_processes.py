"""Two processes with half a batch each minimise what one does with all of it."""

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from vqlib import losses
from vqlib.models import Segmenter

SLICES, LABELS = 4, 3
NAMES = ("Gaussian", "Laplace", "free bits", "segmenter")


def objectives(rows):
    """Name -> a loss of those slices, and what it is differentiated by. The slices
    differ much, so that no half stands for the whole."""
    random = torch.Generator().manual_seed(0)
    size = torch.tensor([0.02, 0.1, 0.5, 2.0])[:, None, None, None]
    x = torch.randn(SLICES, 1, 8, 4, generator=random)
    r = (x + size * torch.randn(x.shape, generator=random)).requires_grad_()
    mu = (size[..., 0, 0] * torch.randn(SLICES, 6, generator=random)).requires_grad_()
    logvar = torch.randn(SLICES, 6, generator=random).requires_grad_()
    truth = torch.randint(LABELS, (SLICES, 8, 4), generator=random)
    truth[:2] = 0  # organs in the other half only
    batch = {"image": x[rows], "label": truth[rows]}
    torch.manual_seed(0)
    network = Segmenter(LABELS, widths=(8, 16))
    return {
        "Gaussian": (losses.gaussian_nll(r[rows], x[rows]), r),
        "Laplace": (losses.laplace_nll(r[rows], x[rows]), r),
        "free bits": (losses.kl_with_free_bits(mu[rows], logvar[rows], 0.6), mu),
        "segmenter": (
            losses.SegmentationObjective(network)(batch)["loss"],
            network.down[0][0].weight,
        ),
    }


def differentiate_on_a_rank(rank, folder):
    dist.init_process_group(
        "gloo", init_method=(folder / "meet").as_uri(), rank=rank, world_size=2
    )
    found = {}
    for name in NAMES:
        loss, by = objectives(torch.tensor([[0, 1], [2, 3]])[rank])[name]
        loss.backward()
        dist.all_reduce(by.grad)
        found |= {f"{name} loss": loss.detach(), f"{name} gradient": by.grad / 2}
        with torch.no_grad():  # whole batches are scored by each process alone
            whole = objectives(torch.arange(SLICES))[name][0]
        found[f"{name} scored"] = whole
    save_file(found, folder / str(rank))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(differentiate_on_a_rank, (folder,), nprocs=2)
    return [load_file(folder / str(rank)) for rank in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradients_are_those_of_the_whole_batch(found, name):
    loss, by = objectives(torch.arange(SLICES))[name]
    loss.backward()
    of_both = sum(each[f"{name} loss"] for each in found) / 2  # as it is reported
    torch.testing.assert_close(of_both, loss.detach())
    for each in found:
        torch.testing.assert_close(each[f"{name} gradient"], by.grad)
        torch.testing.assert_close(each[f"{name} scored"], loss.detach())
