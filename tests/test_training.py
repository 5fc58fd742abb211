import math

import pytest
import torch
from torch import nn

from vqlib import losses, training
from vqlib.errors import UserError
from vqlib.models.networks import Decoder, Encoder
from vqlib.models.quantizers import VectorQuantizer
from vqlib.models.vae import SpatialVAE
from vqlib.models.vqvae import VQVAE
from vqlib.runs import load_checkpoint, read_history
from vqlib.training import FitSettings, fit, learning_rate_at, make_fabric

SETTINGS = FitSettings(epochs=4, batch_size=4, learning_rate=1e-3, warmup_steps=2)


class Slices(torch.utils.data.Dataset):
    def __init__(self, n=12):
        random = torch.Generator().manual_seed(0)
        self.images = torch.rand(n, 1, 16, 8, generator=random)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return {"image": self.images[i]}


def vqvae_objective():
    torch.manual_seed(0)
    model = VQVAE(Encoder(4, 4, 8, 1), VectorQuantizer(8, 4), Decoder(4, 4, 8, 1))
    return losses.VQVAEObjective(model, 0.0)


def vae_objective():
    torch.manual_seed(0)
    model = SpatialVAE(Encoder(4, 8, 8, 1), Decoder(4, 4, 8, 1))
    return losses.RateConstrainedObjective(model, 20.0, 0.0)


def validate(objective):
    out = objective({"image": Slices().images})
    return {key: float(value) for key, value in out.items()}


def same(one: nn.Module, other: nn.Module) -> bool:
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[key], other[key]) for key in one)


def test_training_lowers_the_loss_and_leaves_its_files(tmp_path):
    objective = vqvae_objective()
    history = fit(objective, Slices(), tmp_path, SETTINGS, validate)
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert len(history["loss"]) == 4
    assert read_history(tmp_path / "history.csv")["loss"] == pytest.approx(
        history["loss"], rel=1e-5
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "last.safetensors",
        "best.safetensors",
        "history.csv",
        "timing.json",
    }
    assert not objective.training


@pytest.mark.parametrize("make", [vqvae_objective, vae_objective])
def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path, make):
    whole = make()
    fit(whole, Slices(), tmp_path / "whole", SETTINGS, validate)

    def interrupt(history):
        if len(history["loss"]) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(make(), Slices(), tmp_path / "cut", SETTINGS, validate, on_epoch=interrupt)
    torch.manual_seed(99)  # another process would be elsewhere in its random numbers
    resumed = make()
    fit(resumed, Slices(), tmp_path / "cut", SETTINGS, validate)
    assert same(whole, resumed)
    states = [
        load_checkpoint(tmp_path / name / "last.safetensors")[0]
        for name in ("whole", "cut")
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_same_seed_same_weights_other_seed_other_weights(tmp_path):
    results = []
    for i, seed in enumerate((0, 0, 1)):
        objective = vqvae_objective()
        settings = FitSettings(
            epochs=2, batch_size=4, learning_rate=1e-3, warmup_steps=2, seed=seed
        )
        fit(objective, Slices(), tmp_path / str(i), settings, validate)
        results.append(objective)
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_a_finished_training_is_not_repeated(tmp_path):
    first = vqvae_objective()
    fit(first, Slices(), tmp_path, SETTINGS, validate)
    before = (tmp_path / "last.safetensors").stat().st_mtime_ns
    again = vqvae_objective()
    history = fit(again, Slices(), tmp_path, SETTINGS, validate)
    assert same(first, again)
    assert len(history["loss"]) == 4
    assert (tmp_path / "last.safetensors").stat().st_mtime_ns == before


def test_the_best_epoch_by_validation_is_what_one_gets(tmp_path):
    scores = iter([3.0, 1.0, 2.0, 4.0])
    weights = []

    def judge(objective):
        weights.append({k: v.clone() for k, v in objective.state_dict().items()})
        return {"loss": next(scores)}

    objective = vqvae_objective()
    fit(objective, Slices(), tmp_path, SETTINGS, judge)
    for key, value in objective.state_dict().items():
        assert torch.equal(value, weights[1][key])


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path):
    class Breaks(losses.VQVAEObjective):
        def forward(self, batch):
            out = super().forward(batch)
            if self.training and self.model.quantizer.step > 6:
                out["loss"] = out["loss"] * math.nan
            return out

    good = vqvae_objective()
    objective = Breaks(good.model, 0.0)
    with pytest.raises(UserError, match=r"not finite in epoch 3.*learning rate"):
        fit(objective, Slices(), tmp_path, SETTINGS, validate)
    tensors, meta = load_checkpoint(tmp_path / "last.safetensors")
    assert meta["epoch"] == 2
    assert all(value.isfinite().all() for value in tensors.values())


def test_a_checkpoint_of_another_network_is_refused_and_kept(tmp_path):
    fit(vqvae_objective(), Slices(), tmp_path, SETTINGS, validate)
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"another network; delete"):
        fit(vae_objective(), Slices(), tmp_path, SETTINGS, validate)
    with pytest.raises(UserError, match="another network"):
        training.load_weights(vae_objective(), tmp_path)
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_too_few_slices_for_a_batch_are_refused(tmp_path):
    with pytest.raises(UserError, match="smaller batch_size"):
        fit(vqvae_objective(), Slices(3), tmp_path, SETTINGS, validate)


def test_learning_rate_warms_up_and_comes_down():
    settings = FitSettings(epochs=1, batch_size=1, learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate_at(step, 200, settings) for step in range(200)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[9] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    assert rates[105] == pytest.approx(0.505, abs=0.01)


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(UserError, match="auto, cpu or cuda"):
        make_fabric("tpu9")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no GPU"):
            make_fabric("cuda")
