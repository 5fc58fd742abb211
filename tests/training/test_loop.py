import copy
import dataclasses
import math
from functools import partial
from itertools import count

import pytest
import torch
from lightning_fabric import Fabric
from slice_files import refusal
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from vqlib import losses, training
from vqlib.models.vae import VAE
from vqlib.models.vqvae import VQVAE
from vqlib.runs import load_checkpoint, read_history
from vqlib.training import FitSettings, fit, loop, make_fabric, state

SETTINGS = FitSettings(epochs=4, batch_size=4, learning_rate=1e-3, warmup_steps=2)
STEPS = 12 // 4  # of an epoch
ALL = dataclasses.replace(SETTINGS, weight_ema=0.9, patience=3)
IMAGES = torch.rand(12, 1, 16, 8, generator=torch.Generator().manual_seed(0))
SLICES = [{"image": image} for image in IMAGES]


def vqvae_objective():
    torch.manual_seed(0)
    model = VQVAE(codebook_size=8, dim=4, width=8)
    model.to(memory_format=torch.channels_last)  # as `recipes.build` makes them
    return losses.VQVAEObjective(model, 0.0)


def vae_objective():
    torch.manual_seed(0)
    model = VAE(latent_channels=4, width=8)
    return losses.RateConstrainedObjective(model, 20.0, 0.0)


def validate(objective):
    out = objective({"image": IMAGES})
    return {key: float(value) for key, value in out.items()}


def same(one: nn.Module, other: nn.Module) -> bool:
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[key], other[key]) for key in one)


def test_training_lowers_the_loss_and_its_files_stay(tmp_path):
    objective = vqvae_objective()
    history = fit(objective, SLICES, tmp_path, SETTINGS, validate)
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert len(history["loss"]) == 4
    written = read_history(tmp_path / "history.csv")["loss"]
    assert written == pytest.approx(history["loss"], rel=1e-5)
    names = {"last.safetensors", "best.safetensors", "history.csv", "timing.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert not objective.training
    before = (tmp_path / "last.safetensors").stat().st_mtime_ns
    again = vqvae_objective()  # finished: it is not repeated
    assert fit(again, SLICES, tmp_path, SETTINGS, validate) == history
    assert same(objective, again)
    other = vae_objective(), SLICES, tmp_path, SETTINGS, validate
    refusal(fit, *other, match="another network")
    refusal(training.load_weights, other[0], tmp_path, match="another network")
    assert (tmp_path / "last.safetensors").stat().st_mtime_ns == before


def noisy(images):
    """A random augmentation, which draws from the global generator."""
    return images + 0.1 * torch.rand_like(images)


def rehearse(make, folder, settings=ALL, **more):
    objective = make()
    fit(objective, SLICES, folder, settings, validate, augment=noisy, **more)
    return objective


def files(folder):
    """What a training leaves, to the bit, but for how long it took."""
    found = [(folder / "history.csv").read_bytes()]
    for name in ("last", "best"):
        tensors, meta = load_checkpoint(folder / f"{name}.safetensors")
        meta.pop("seconds", None)
        found += [meta, {key: x.numpy().tobytes() for key, x in tensors.items()}]
    return found


def after(times, call):
    """``call``, which the user interrupts when it is called once more."""
    left = iter(range(times))

    def interrupted(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return call(*arguments)

    return interrupted


def test_an_epoch_has_at_most_so_many_steps_and_draws_its_own_slices(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "EPOCH_STEPS", 2)
    seen = []

    class Watched(list):
        def __getitem__(self, i):
            seen.append(i)
            return super().__getitem__(i)

    fit(vqvae_objective(), Watched(SLICES), tmp_path, SETTINGS, validate)
    size = 2 * SETTINGS.batch_size
    epochs = [seen[i : i + size] for i in range(0, len(seen), size)]
    assert len(epochs) == SETTINGS.epochs
    assert all(len(set(epoch)) == size for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


INTERRUPTIONS = [  # what is trained, how; after how many steps or files it stops
    (vqvae_objective, SETTINGS, "step", 0),
    (vqvae_objective, ALL, "step", 3 * STEPS - 1),
    (vae_objective, ALL, "step", 3 * STEPS - 1),
    (vqvae_objective, ALL, "write", 1),  # each epoch writes up to four files
    (vae_objective, ALL, "write", 3),
    (vqvae_objective, ALL, "write", 7),
]


@pytest.mark.parametrize(("make", "settings", "where", "times"), INTERRUPTIONS)
def test_an_interrupted_training_goes_on_bit_for_bit(
    tmp_path, monkeypatch, make, settings, where, times
):
    whole = rehearse(make, tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        if where == "step":
            patch.setattr(Fabric, "backward", after(times, Fabric.backward))
        else:
            save = after(times, lambda call, *arguments: call(*arguments))
            for name in ("save_checkpoint", "save_history", "save_json"):
                patch.setattr(state, name, partial(save, getattr(state, name)))
        with pytest.raises(KeyboardInterrupt):
            rehearse(make, tmp_path / "cut", settings)
    torch.manual_seed(99)  # another process would be elsewhere in its random numbers
    assert same(whole, rehearse(make, tmp_path / "cut", settings))
    assert files(tmp_path / "whole") == files(tmp_path / "cut")


class Breaks(losses.VQVAEObjective):
    """Its loss is not a number in one step, or its weights are ruined by one."""

    def __init__(self, step, where="loss"):
        super().__init__(vqvae_objective().model, 0.0)
        self.bad, self.where = step, where

    def forward(self, batch):
        out = super().forward(batch)
        if self.training and self.model.quantizer.step == self.bad + 1:
            if self.where == "loss":
                out["loss"] = out["loss"] * math.nan
            else:
                out["loss"].register_hook(lambda gradient: gradient * math.nan)
        return out


@pytest.mark.parametrize(
    ("step", "where"), [(2 * STEPS + 1, "loss"), (3 * STEPS - 1, "gradient")]
)
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(
    tmp_path, step, where
):
    how = Breaks(step, where), SLICES, tmp_path / "cut", SETTINGS, validate
    refusal(fit, *how, match="in epoch 3; .* keeps epoch 2.*learning rate")
    for name in ("last", "best"):
        tensors, _ = load_checkpoint(tmp_path / "cut" / f"{name}.safetensors")
        assert all(value.isfinite().all() for value in tensors.values())
    assert len(read_history(tmp_path / "cut" / "history.csv")["loss"]) == 2
    fit(vqvae_objective(), SLICES, tmp_path / "whole", SETTINGS, validate)
    fit(vqvae_objective(), SLICES, tmp_path / "cut", SETTINGS, validate)
    assert files(tmp_path / "whole") == files(tmp_path / "cut")


def test_the_average_of_the_weights_is_what_is_judged_and_kept(tmp_path):
    objective, seen, step = vae_objective(), [], count(1)
    expected = {k: v.clone() for k, v in objective.state_dict().items()}

    def judge(judged):
        seen.append(copy.deepcopy(judged))
        assert not judged.training
        return {"loss": 1.0 - len(seen)}

    def by_hand(optimizer, *_):
        n = next(step)  # 1 after the first: (1 + step) / (10 + step)
        decay = min(0.5, n / (n + 9))
        for name, value in objective.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value

    handle = register_optimizer_step_post_hook(by_hand)
    settings = dataclasses.replace(SETTINGS, weight_ema=0.5)
    fit(objective, SLICES, tmp_path, settings, judge)
    handle.remove()
    assert same(objective, seen[-1])  # the best, here the last
    for name, value in objective.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    tensors, _ = load_checkpoint(tmp_path / "last.safetensors")
    last = tensors["model/model.encoder.net.0.weight"]
    assert not torch.equal(last, objective.state_dict()["model.encoder.net.0.weight"])


def test_training_stops_without_improvement_and_gives_the_best_epoch(tmp_path):
    """Also across an interruption, here after epoch 3."""
    settings = dataclasses.replace(SETTINGS, epochs=9, patience=3)
    scores, judged = iter([3.0, 1.0, 2.0, None, 1.0, 1.5, 0.5]), []

    def judge(objective):
        judged.append(copy.deepcopy(objective))
        if (score := next(scores)) is None:
            raise KeyboardInterrupt
        return {"loss": score}

    with pytest.raises(KeyboardInterrupt):
        fit(vqvae_objective(), SLICES, tmp_path, settings, judge)
    for _ in range(2):  # the second time it is finished
        objective = vqvae_objective()
        history = fit(objective, SLICES, tmp_path, settings, judge)
        assert history["val_loss"] == [3.0, 1.0, 2.0, 1.0, 1.5]
        assert same(objective, judged[1])
    assert load_checkpoint(tmp_path / "best.safetensors")[1]["epoch"] == 2


def test_mixed_precision_is_for_the_networks_and_not_for_the_losses(tmp_path):
    objective, types = vae_objective(), {}

    def look(name):
        def hook(module, arguments, result):
            if objective.training:
                types[name] = result["loss"] if name == "objective" else result

        return hook

    objective.register_forward_hook(look("objective"))
    objective.model.decoder.net[1].conv1.register_forward_hook(look("convolution"))
    fabric = make_fabric("cpu", precision="bf16-mixed")
    history = fit(objective, SLICES, tmp_path, SETTINGS, validate, fabric)
    assert types["objective"].dtype == torch.float32
    assert types["convolution"].dtype == torch.bfloat16
    full = fit(vae_objective(), SLICES, tmp_path / "32", SETTINGS, validate)
    assert history["loss"] == pytest.approx(full["loss"], rel=0.02)
    assert all(v.dtype != torch.bfloat16 for v in objective.state_dict().values())


def test_a_compiled_network_gives_the_same(tmp_path, monkeypatch):
    """Without the C++ compiler's half of the work, which takes a minute."""
    quick = partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", quick)
    settings = dataclasses.replace(SETTINGS, compile=True)
    history = fit(vqvae_objective(), SLICES, tmp_path / "a", settings, validate)
    plain = fit(vqvae_objective(), SLICES, tmp_path / "b", SETTINGS, validate)
    assert history["loss"] == pytest.approx(plain["loss"], rel=1e-4)
    training.load_weights(vqvae_objective(), tmp_path / "a")


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path, monkeypatch):
    fabric = make_fabric("cpu")
    monkeypatch.setattr(type(fabric), "world_size", 3)
    how = vqvae_objective(), SLICES, tmp_path, SETTINGS, validate, fabric
    refusal(fit, *how, match="4 cannot be shared by 3 processes")
