import dataclasses
import json
import math
import os
import subprocess
import sys

import pytest
import torch
from commands import content
from made_slices import lab_on, made_data
from slice_files import refusal

from vqlib import metrics, profiles, recipes
from vqlib.recipes import AUTOENCODERS, code_nats
from vqlib.runs import load_checkpoint, load_json, save_checkpoint


@pytest.fixture
def data(home):
    return made_data(home)


@pytest.mark.parametrize("seed", [-1, 2**62, "abc", 1.5, None])
def test_a_seed_is_checked_before_anything_else(home, seed):
    """Notebooks give it to an experiment first."""
    refusal(lambda: lab_on(None, seed=seed), match=r"^seed must be ")
    assert not [*home.iterdir()]


CHOICES = [
    *((kind, {}) for kind in AUTOENCODERS),
    ("vqvae", {"quantizer": "gradient", "restarts": False, "kmeans_start": False}),
    ("vqvae", {"quantizer": "cosine", "code_dim": 4}),
    ("vqvae", {"quantizer": "fsq"}),
]


@pytest.mark.parametrize(("kind", "choice"), CHOICES)
def test_an_autoencoder_trains_is_scored_and_found_again(data, kind, choice):
    lab = lab_on(data, **choice)
    model, found = lab.train(kind), lab_on(data, **choice).load(kind)
    assert model.training is found.training is False
    weights = model.state_dict(), found.state_dict()
    torch.testing.assert_close(*weights, rtol=0, atol=0)
    result = lab.score(kind)
    assert (result["split"], result["slices"]) == ("test", 8)
    assert result["ssim"]["low"] <= result["ssim"]["mean"] <= result["ssim"]["high"]
    torch.manual_seed(0)
    scores = metrics.score(model.reconstruct, data.test)
    assert result["ssim"]["mean"] == pytest.approx(scores["ssim"].mean())
    history, nominal = lab.history(kind), lab.settings.nominal_bits
    bits = result["bits_per_slice"]
    assert history["epoch"] == [1, 2]
    if kind == "vqvae":
        assert bits == nominal >= result["order0_bits"]
        assert 1 <= result["perplexity"] <= result["codes_used"] <= 16
        assert {"val_perplexity", "val_codes_used"} <= history.keys()
    elif kind == "vqvae2":
        levels = model.encode(data.test.images)
        assert bits == nominal * 5 / 4  # a quarter as many codes above
        for name, codes in zip(("top", "bottom"), levels, strict=True):
            assert result[f"codes_used_{name}"] == len(codes.unique())
            assert f"val_codes_used_{name}" in history
    elif kind == "autoencoder":
        assert bits is None
    else:
        with torch.no_grad():
            mu, logvar = model.encode(data.test.images)
        nats = 0.5 * (mu**2 + logvar.exp() - logvar - 1).flatten(1).sum(1).mean()
        assert bits == pytest.approx(float(nats) / math.log(2), rel=1e-4)


def test_the_quantizer_is_what_the_profile_says():
    settings = profiles.get("smoke")

    def build(**choice):
        return recipes.build_quantizer(settings.changed(**choice), seed=3)

    ema = build()
    assert (ema.ema, ema.cosine) == (True, False)
    assert (ema.patience, ema.kmeans_steps) == (settings.quantizer.restart_after, 10)
    assert build(restart_after=7).patience == 7
    broken = build(restarts=False, kmeans_start=False)
    assert (broken.patience, broken.kmeans_steps) == (0, 0)
    assert not build(quantizer="gradient").ema
    assert build(quantizer="cosine").cosine
    assert build(quantizer="fsq").levels == (4, 4)
    strict = settings.changed(commitment_weight=0.7)
    objective = recipes.objective_for("vqvae", recipes.build("vqvae", strict), strict)
    assert objective.beta == 0.7


def test_channels_lie_last_in_memory():
    for kind in ("vqvae", "sharp_vqvae", "segmenter"):
        for weights in recipes.build(kind, profiles.get("smoke")).parameters():
            if weights.dim() == 4:
                assert weights.is_contiguous(memory_format=torch.channels_last)


def test_priors_train_on_the_codes_and_report_held_out_bits(home):
    data = made_data(home, labels=True)
    lab = lab_on(data)
    refusal(lab.train, "prior", match="model; run notebook 05_prior_generation f")
    for kind, source, grid in (
        ("maps_prior", "maps", (4, 2)),
        ("prior", "sharp_vqvae", (8, 4)),
    ):
        model, prior = lab.train(source), lab.train(kind)
        splits = recipes.find(kind).splits(data, model, lab.settings)
        nats = code_nats(prior, splits.test)
        assert nats.shape == (8, *grid)
        result = lab.score(kind)
        bits = float(nats.flatten(1).sum(1).mean()) / math.log(2)
        assert result["bits_per_slice"] == pytest.approx(bits, rel=1e-5)
        assert result["nats_per_code"] == pytest.approx(float(nats.mean()), rel=1e-5)
        nominal = 4 * math.prod(grid)
        assert result["uniform_bits"] == nominal
        assert result["control_uniform_bits_per_slice"] == pytest.approx(nominal)
        place, both = "control_by_place", "control_by_place_and_position"
        assert result[f"{place}_bits_per_slice"] != result[f"{both}_bits_per_slice"]
        assert torch.equal(code_nats(lab.load(kind), splits.test), nats)


def test_a_prior_of_other_weights_is_refused(data):
    lab = lab_on(data, organs_first=False)
    lab.train("sharp_vqvae")
    lab.train("prior")
    path = lab.folder("sharp_vqvae") / "best.safetensors"
    weights, meta = load_checkpoint(path)
    name = next(key for key in weights if key.endswith("quantizer.codebook"))
    weights[name] = weights[name].flip(0)
    save_checkpoint(path, weights, meta)
    for action in (lab.load, lab.train, lab.score):
        refusal(action, "prior", match=r"was made with other settings \(source: ")


def test_the_segmenter_trains_is_found_again_and_is_scored(home):
    data = made_data(home, labels=True)
    lab = lab_on(data, segmenter_steps=30, segmenter_batch_size=4)
    model, x = lab.train("segmenter"), data.test.images
    assert torch.equal(model.segment(x), lab.load("segmenter").segment(x))
    dice = lab.score("segmenter")["dice"]
    assert set(dice) == {"body", "bladder", "mean"}
    assert dice["bladder"] > 0.5


def test_same_seed_same_bytes(data):
    labs = [
        lab_on(data, name, seed, augment=True)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    a, b, c = ({**content(lab.folder("vae"))} for lab in labs if lab.train("vae"))
    for name in ("best.safetensors", "metrics.json", "history.csv"):
        assert a[name] == b[name] != c[name]


IDENTITY = [  # model, changes that leave it what it is, a change that does not
    ("vqvae", {"prior_dim": 4, "maps_width": 9, "phantom_patients": "9,9,9"}, "width"),
    ("vae", {"quantizer": "cosine", "restarts": False, "latent_dim": 9}, "batch_size"),
    ("vae", {}, "codebook_size"),  # whose bits it is held at
    ("vqvae2", {"organs_first": False}, "code_dim"),
    ("maps", {"generator_width": 48, "steps": 5}, "maps_code_dim"),
    (
        "sharp_vae",
        {"generator_code_dim": 5, "flow_width": 16},
        "generator_critic_start",
    ),
]


@pytest.mark.parametrize(("kind", "same", "other"), IDENTITY)
def test_a_model_depends_on_the_settings_of_its_recipe_alone(data, kind, same, other):
    data = made_data(data.folder, labels=True)
    lab = lab_on(data)
    lab.train(kind)
    before = content(lab.folder(kind))
    assert not same.keys() & load_json(lab.folder(kind) / "settings.json").keys()
    lab_on(data, **same).load(kind)
    changed = lab_on(data, **{other: 3})
    for action in (changed.load, changed.train):
        refusal(action, kind, match=rf"{other}: \w+ there, 3 now.*or delete")
    refusal(lab_on(data, seed=1).load, kind, match="seed: 0 there, 1 now")
    elsewhere = dataclasses.replace(data, fingerprint="other files")
    found = "data_fingerprint: 'these slices' there"
    refusal(lab_on(elsewhere).train, kind, match=found)
    assert content(lab.folder(kind)) == before


@pytest.mark.parametrize("damage", ["[1]", "{", None])
def test_weights_without_their_settings_are_refused(data, damage):
    """Whoever deletes settings.json alone would get a model of unknown settings."""
    lab = lab_on(data)
    lab.train("vae")
    path = lab.folder("vae") / "settings.json"
    path.unlink() if damage is None else path.write_text(damage)
    for action in (lab.load, lab.train):
        refusal(action, "vae", match=r"trained; choose .* or delete .*vae$")


def test_scores_are_those_of_the_weights(data):
    """Weights that are gone or other leave no score behind."""
    lab = lab_on(data)
    lab.train("vqvae")
    for path in lab.folder("vqvae").glob("*.safetensors"):
        path.unlink()
    other = lab_on(data, codebook_size=4)
    other.train("vqvae")
    right = other.score("vqvae")
    assert right["bits_per_slice"] == other.settings.nominal_bits
    path = other.folder("vqvae") / "metrics.json"
    path.write_text(json.dumps(right | {"checkpoint": "another", "slices": 1}))
    assert other.score("vqvae") == right
    path.unlink()
    other.train("vqvae")
    assert load_json(path) == right


NO_LOCKS = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")
"""
HOLD = """
import sys
from pathlib import Path
from vqlib.runs import sole_use
with sole_use(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.parametrize("locks", [True, False])  # whether the file system has any
def test_two_trainings_in_one_folder_are_refused(data, monkeypatch, locks):
    lab, begin = lab_on(data), ""
    folder = lab.folder("vae")
    if not locks:
        exec(NO_LOCKS, without := {})
        monkeypatch.setattr("fcntl.flock", without["flock"])
        begin = f"{NO_LOCKS}\nfcntl.flock = flock\n"
    command = [sys.executable, "-c", begin + HOLD, folder]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        refusal(lab.train, "vae", match=r"another training is writing to .*vae; ")
        assert not folder.exists()
        other.kill()
    folder.mkdir()
    for name in (".tmpA1b2C3", ".best.safetensors.7.tmp"):
        (folder / name).touch()
    lab.train("vae")  # a lock that a killed process left does not block
    assert not [*folder.glob(".*")]  # nor does half a file stay


def test_what_the_disk_refuses_is_one_line_and_nothing_is_lost(data, home, monkeypatch):
    lab = lab_on(data)
    lab.train("autoencoder")
    before = content(lab.folder("autoencoder"))
    (home / "runs" / "r" / "vae").write_text("a file in the way")
    refusal(lab.train, "vae", match="vae cannot be written")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    refusal(lab.train, "vqvae", match=r"written \(No space left on device\); what")
    assert content(lab.folder("autoencoder")) == before
    monkeypatch.undo()
    monkeypatch.setenv("VQLIB_HOME", str(home))
    lab.train("vqvae")
