"""Every model of the full profile takes a step, on the CPU and on a pretended GPU: of
that nothing stays on the CPU, waits for the GPU, or is in float64, which Apple's GPUs
lack.

A fake tensor has shape, type and device, but no values: an operation across two devices
raises, and so does whatever asks for a value, which would make the CPU wait.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from made_batches import batch_for
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from vqlib import profiles, recipes
from vqlib.generator import FAMILIES, MAPS, Generator
from vqlib.training import FitSettings, fit

SETTINGS = profiles.get(
    "full",
    size="64x32",
    grid="16x8",
    generator_grid="8x4",
    maps_grid="4x2",
    codebook_size=32,
    generator_codebook_size=32,
    maps_codebook_size=32,
    restart_after=2,
    generator_critic_start=2,
)
CASES = [
    *((kind, {}) for kind in recipes.RECIPES),
    ("vqvae", {"quantizer": "gradient"}),
    ("vqvae", {"quantizer": "cosine"}),
    ("vqvae2", {"quantizer": "fsq", "fsq_levels": "4x8"}),
]
FIT = FitSettings(2, 1, 1e-4, weight_ema=0.9, keep_last=True)


class NoDoubles(TorchDispatchMode):
    """Refuses float64 on the GPU."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        for x in found if isinstance(found, tuple | list) else [found]:
            if isinstance(x, torch.Tensor) and x.dtype == torch.float64:
                assert x.device.type == "cpu", f"float64 of {operation}"
        return found


@pytest.fixture
def pretended(monkeypatch):
    """Within it every tensor is fake, and lies on a GPU."""
    available = "torch.cuda.amp.common.amp_definitely_not_available"
    monkeypatch.setattr(available, lambda: False)
    with FakeTensorMode():
        try:
            torch.zeros(1, device="cuda")
        except (RuntimeError, AssertionError):
            pytest.skip("this PyTorch cannot pretend a GPU")
        with torch.device("cuda"), NoDoubles():
            yield


@pytest.mark.parametrize(("kind", "changes"), CASES)
def test_no_training_step_waits_for_the_gpu(pretended, kind, changes):
    settings = SETTINGS.changed(**changes)
    model = recipes.find(kind).build(settings, 0)
    objective = recipes.objective_for(kind, model, settings).train()
    steps = 4 if "vq" in kind or "sharp" in kind else 1  # start, averages, restarts
    for _ in range(steps):
        with torch.autocast("cuda", torch.float16):
            found = objective(batch_for(kind, model, SETTINGS.shape, 4))
        assert {value.device.type for value in found.values()} == {"cuda"}
    for value in objective.state_dict().values():
        assert value.device.type == "cuda"


def train_and_stop(kind, full, folder):
    """Two steps at full size, and the second one again by a training that was stopped
    after the first: the objectives."""
    stopped = folder / "stopped"

    def training(seed, where, on_epoch=None):
        model = recipes.find(kind).build(full, seed)
        objective = recipes.objective_for(kind, model, full)
        torch.manual_seed(0)
        batch = batch_for(kind, model, full.shape, 1)
        item = {name: values[0] for name, values in batch.items()}
        fit(objective, [item], where, FIT, lambda _: {"loss": 0.0}, on_epoch=on_epoch)
        return objective

    def keep(history):
        if len(history["loss"]) == 1:
            shutil.copytree(folder / "whole", stopped)

    return training(0, folder / "whole", keep), training(1, stopped)


@pytest.mark.slow
def test_at_full_size_every_model_learns_resumes_and_slices_are_drawn():
    full, models = profiles.get("full", generator_critic_start=0), {}
    for kind in recipes.GENERATORS:
        before = dict(recipes.find(kind).build(full, 0).named_parameters())
        with TemporaryDirectory() as folder:
            whole, resumed = train_and_stop(kind, full, Path(folder))
        other = resumed.state_dict()
        for name, value in whole.state_dict().items():
            assert torch.equal(value, other[name]), (kind, name)
        model = models[kind] = whole.model
        after = model.named_parameters()
        assert not all(torch.equal(v, before[k]) for k, v in after), kind
    for family in FAMILIES.values():
        generator = Generator(*(models[kind] for kind in (*family, *MAPS, "detail")))
        drawn = generator.sample(torch.tensor([0.5]))
        assert drawn.images.shape == (1, 1, 256, 128)
        assert drawn.labels.shape == (1, 256, 128)
