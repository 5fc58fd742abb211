"""Nothing in a training step stays on the CPU or waits for the GPU.

A fake tensor has shape, type and device, but no values: an operation across two devices
raises, and so does whatever asks for a value, which would make the CPU wait.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vqlib import profiles, recipes

SETTINGS = profiles.get("smoke", size="32x16", grid="4x2", restart_after=2)
CASES = [
    *((kind, {}) for kind in recipes.RECIPES),
    ("prior_bottom", {"prior": "pixelcnn"}),
    ("vqvae", {"quantizer": "gradient", "gradient_estimator": "rotation"}),
    ("vqvae", {"quantizer": "cosine"}),
    ("vqvae2", {"quantizer": "fsq"}),
]


def batch(kind):
    if not kind.startswith("prior"):
        labels = torch.randint(2, (4, *SETTINGS.shape))
        return {"image": torch.rand(4, 1, *SETTINGS.shape), "label": labels}

    def codes(grid):
        return torch.randint(SETTINGS.codebook_size, (4, *grid))

    top, grid = SETTINGS.top_grid_shape, SETTINGS.grid_shape
    made = {"codes": codes(top if kind == "prior_top" else grid)}
    made |= {"organs": torch.randint(-1, 2, (4, recipes.ORGANS))}
    made |= {"top": codes(top)} if kind == "prior_bottom" else {}
    return made | {"position": torch.rand(4)}


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
        with torch.device("cuda"):
            yield


@pytest.mark.parametrize(("kind", "changes"), CASES)
def test_no_training_step_waits_for_the_gpu(pretended, kind, changes):
    settings = SETTINGS.changed(**changes)
    model = recipes.build(kind, settings)
    objective = recipes.objective_for(kind, model, settings).train()
    for _ in range(4 if "vq" in kind else 1):  # start, averages and restarts
        with torch.autocast("cuda", torch.float16):
            found = objective(batch(kind))
        assert {value.device.type for value in found.values()} == {"cuda"}
    for value in objective.state_dict().values():
        assert value.device.type == "cuda"


@pytest.mark.parametrize(
    "wrong", [lambda x: x + torch.ones(3, device="cpu"), lambda x: x.sum().item()]
)
def test_mistakes_are_found(pretended, wrong):
    with pytest.raises(Exception, match=r"same device|scalar_dense"):
        wrong(torch.ones(3))
