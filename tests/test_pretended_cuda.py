"""Every step of training and sampling, on a pretended GPU.

A tensor that the code leaves on the CPU makes these tests fail; the last ones make sure
that they do.
"""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from pretended_cuda import move, on_pretended_cuda
from torch import nn

from vqlib import losses, profiles, recipes
from vqlib.data import Augment, SliceDataset
from vqlib.priors import sample_levels
from vqlib.profiles import PRIORS
from vqlib.training import FitSettings, loop, make_fabric
from vqlib.training.state import TrainingState

SETTINGS = profiles.get("smoke", size="32x16", grid="4x2")
FIT = FitSettings(epochs=1, batch_size=4, learning_rate=1e-3, weight_ema=0.9)


def slices(n=6):
    return SliceDataset(
        torch.rand(n, 1, *SETTINGS.shape),
        (torch.rand(n, *SETTINGS.shape) > 0.5).to(torch.uint8),
        torch.linspace(0, 1, n),
        torch.arange(n) % 2,
        torch.zeros(n, dtype=torch.int64),
    )


def batch(kind, device):
    def codes(grid):
        return torch.randint(SETTINGS.codebook_size, (4, *grid))

    if kind.startswith("prior"):
        top, grid = SETTINGS.top_grid_shape, SETTINGS.grid_shape
        organs = torch.randint(-1, 2, (4, recipes.ORGANS))
        made = {"codes": codes(top if kind == "prior_top" else grid)}
        made |= {"position": torch.rand(4), "organs": organs}
        if kind == "prior_bottom":
            made["top"] = codes(top)
    else:
        made = {"image": torch.rand(4, 1, *SETTINGS.shape)}
        if kind == "segmenter":
            made["label"] = torch.randint(2, (4, *SETTINGS.shape))
    return {name: value.to(device) for name, value in made.items()}


def built(kind, device, settings=SETTINGS):
    torch.manual_seed(0)
    return move(recipes.build(kind, settings), device)


def train(objective, kind, device):
    """One epoch of the training loop, as `fit` calls it. (Fabric itself stays on the
    CPU: it moves what it is given, and that is already where it belongs.)"""
    fabric = make_fabric("cpu")
    optimizer = torch.optim.AdamW(objective.parameters(), betas=(0.9, 0.99))
    state = TrainingState(objective, optimizer, None, FIT.weight_ema)
    ready = fabric.setup(objective, optimizer, move_to_device=False)
    loader = [batch(kind, device) for _ in range(12 if "vq" in kind else 2)]
    bar = SimpleNamespace(update=lambda: None)
    augment = None if kind.startswith("prior") else Augment(flip=True)
    if kind == "segmenter":
        augment = partial(recipes.segmenter.soften, most=SETTINGS.segmenter_blur)
    row = loop.train_epoch(fabric, *ready, loader, state, FIT, augment, bar)
    assert "loss" in row
    for values in state.optimizer.state.values():
        assert values["exp_avg"].device.type == device
    for value in [*objective.state_dict().values(), *state.average.parameters()]:
        assert value.device.type == device


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *((kind, {}) for kind in recipes.RECIPES),
        ("prior_bottom", {"prior": "pixelcnn"}),
        ("vqvae", {"quantizer": "gradient", "gradient_estimator": "rotation"}),
        ("vqvae", {"quantizer": "cosine"}),
        ("vqvae2", {"quantizer": "fsq"}),
    ],
)
def test_training_steps(kind, changes):
    settings = SETTINGS.changed(**changes)

    def scenario(device):
        model = built(kind, device, settings)
        objective = recipes.objective_for(kind, model, settings)
        train(move(objective, device), kind, device)

    on_pretended_cuda(scenario)


@pytest.mark.parametrize("kind", recipes.AUTOENCODERS)
def test_validation_and_scores(kind):
    def scenario(device):
        model = built(kind, device).eval()
        objective = recipes.objective_for(kind, model, SETTINGS).eval()
        assert "ssim" in recipes.autoencoders.validate(objective, slices())
        assert recipes.evaluate(model, slices())["slices"] == 6

    on_pretended_cuda(scenario)


SAMPLING = [
    {"temperature": 0.8, "top_k": 4},
    {"temperature": 0},
    {"top_p": 0.9, "guidance": 2.0, "organs": [[1, 0, -1, 1]] * 2},
    {"codes": [[[1] * 2] * 4] * 2, "keep": [[True, False]] * 4},
]


@torch.no_grad()
@pytest.mark.parametrize("network", PRIORS)
def test_priors_sample_and_score_codes(network):
    settings = SETTINGS.changed(prior=network)

    def scenario(device):
        vqvae, prior = built("vqvae", device), built("prior", device, settings).eval()
        prior.use_codebook(vqvae.quantizer.codebook)
        position = torch.rand(2).to(device)
        for how in SAMPLING:
            given = {
                name: torch.tensor(value).to(device) if type(value) is list else value
                for name, value in how.items()
            }
            codes = prior.sample(position, seed=1, **given)
            assert codes.device.type == device
        assert vqvae.decode(codes).shape == (2, 1, *SETTINGS.shape)
        codes = recipes.CodeDataset(vqvae, slices())
        controls = recipes.control_priors(codes, prior.codebook_size)
        assert "bits_per_slice" in recipes.evaluate_prior(prior, codes, controls)

    on_pretended_cuda(scenario)


@torch.no_grad()
@pytest.mark.parametrize("network", PRIORS)
def test_two_priors_sample_both_levels(network):
    settings = SETTINGS.changed(prior=network)

    def scenario(device):
        kinds = ("prior_top", "prior_bottom")
        top, bottom = (built(kind, device, settings).eval() for kind in kinds)
        codes = sample_levels(top, bottom, torch.rand(2).to(device))
        assert {level.device.type for level in codes} == {device}
        image = built("vqvae2", device).eval().decode(*codes)
        assert image.shape == (2, 1, *SETTINGS.shape)

    on_pretended_cuda(scenario)


class Forgetful(nn.Module):
    """An autoencoder with a tensor that does not move with it."""

    def __init__(self, model):
        super().__init__()
        self.model, self.scale = model, torch.ones(1, 1, 1, SETTINGS.shape[1])

    def forward(self, x):
        return self.model(x) * self.scale


def test_a_tensor_left_on_the_cpu_is_found():
    def scenario(device):
        model = Forgetful(built("autoencoder", device))
        train(losses.AutoencoderObjective(model, 0.1), "autoencoder", device)

    with pytest.raises(RuntimeError, match=r"same device.*cuda:0 and cpu"):
        on_pretended_cuda(scenario)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: torch.rand(3, device=x.device, generator=torch.Generator()),
        lambda x: x.numpy(),
        lambda x: x[:, None] @ torch.ones(1, 3),
    ],
)
def test_other_mistakes_are_found(wrong):
    def scenario(device):
        wrong(torch.ones(3).to(device))

    with pytest.raises((RuntimeError, TypeError)):
        on_pretended_cuda(scenario)
