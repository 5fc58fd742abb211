"""What three processes do in `test_two_processes`; torchrun starts it.

torchrun --nproc-per-node 3 shared_training.py OUT
"""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from made_batches import batch_for

from vqlib import losses, profiles, recipes
from vqlib.models import Segmenter, VectorQuantizer
from vqlib.runs import save_checkpoint
from vqlib.training import FitSettings, fit, make_fabric

PROCESSES = 3
KINDS = {kind: (kind, {}) for kind in recipes.RECIPES}
CASES = KINDS | {
    name: ("vqvae", {"quantizer": name}) for name in ("gradient", "cosine")
}
FIT = FitSettings(epochs=2, batch_size=6, learning_rate=2e-3, weight_ema=0.9)
LOSSES = ("Gaussian", "Laplace", "free bits", "segmenter")
ALL = torch.arange(2 * PROCESSES)  # slices, of which each process has two


def losses_of(rows):
    """Name -> a loss of those slices, and what it is differentiated by. The slices
    differ much, so that no share stands for the whole."""
    random, labels = torch.Generator().manual_seed(0), 3
    size = torch.logspace(-1.7, 0.3, len(ALL))[:, None, None, None]
    x = torch.randn(len(ALL), 1, 8, 4, generator=random)
    r = (x + size * torch.randn(x.shape, generator=random)).requires_grad_()
    mu = size[..., 0, 0] * torch.randn(len(ALL), 6, generator=random)
    mu.requires_grad_()
    logvar = torch.randn(len(ALL), 6, generator=random)
    truth = torch.randint(labels, (len(ALL), 8, 4), generator=random)
    truth[:2] = 0  # organs in the other shares only
    torch.manual_seed(0)
    network = Segmenter(labels, widths=(8, 16))
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
        loss, by = losses_of(ALL.view(PROCESSES, 2)[rank])[name]
        loss.backward()
        dist.all_reduce(by.grad)
        yield f"{name} loss", loss.detach()
        yield f"{name} gradient", by.grad / PROCESSES
        with torch.no_grad():  # whole batches are scored by each process alone
            yield f"{name} scored", losses_of(ALL)[name][0]


def averages(rows):
    """A codebook after six batches, of which this process has some rows."""
    random = torch.Generator().manual_seed(0)
    quantizer = VectorQuantizer(32, 2, kmeans_steps=0, patience=0)
    for z_e in torch.randn(6, len(ALL), 2, 8, 4, generator=random):
        quantizer(z_e[rows])
    return quantizer.state_dict()


def train(case, folder):
    """Two epochs; returns this process's last weights, before all read the best from
    one file, what its random numbers began with, and the losses."""
    kind, changes = CASES[case]
    profile = profiles.get("smoke", generator_critic_start=1, **changes)
    model = recipes.build(kind, profile)
    objective = recipes.objective_for(kind, model, profile)
    torch.manual_seed(0)
    batch, last = batch_for(kind, model, profile.shape, 12), {}
    data = [{name: values[i] for name, values in batch.items()} for i in range(12)]

    def note_seed(*_):
        last["seed"] = torch.tensor(torch.initial_seed())

    def validate(average):
        for name, module in {"last": objective, "average": average}.items():
            last.update({f"{name}/{k}": v for k, v in module.state_dict().items()})
        return {"loss": 0.0}

    handle = objective.register_forward_pre_hook(note_seed)
    history = fit(objective, data, folder / case, FIT, validate, make_fabric("cpu"))
    handle.remove()
    return last | {"losses": torch.tensor(history["loss"])}


def run(out):
    rank = int(os.environ["RANK"])
    found = {case: train(case, out) for case in CASES}  # and meets the other processes
    found["together"] = dict(differentiate(rank))
    found["together"] |= averages(ALL.view(PROCESSES, 2)[rank])
    for name, tensors in found.items():
        save_checkpoint(out / f"{name}-{rank}.safetensors", tensors, {})


if __name__ == "__main__":
    run(Path(sys.argv[1]))
