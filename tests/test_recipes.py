import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open

from vqlib import metrics, profiles, recipes
from vqlib.data import SliceData, SliceDataset
from vqlib.errors import UserError
from vqlib.models.quantizers import rotate, straight_through
from vqlib.models.vqvae2 import Codes
from vqlib.priors import sample_levels
from vqlib.runs import Run, load_checkpoint, save_checkpoint

PRINT = "fingerprint of these slices"


class MadeIndex:
    """Stands in for the index of a folder."""

    has_labels = False

    def __init__(self, text=PRINT):
        self.text = text

    def fingerprint(self):
        return self.text


def slices(n, first_patient, seed):
    """Two patients' smooth slices, [n, 1, 64, 32]."""
    random = torch.Generator().manual_seed(seed)
    place = torch.rand(n, 2, 1, 1, generator=random)
    i, j = torch.meshgrid(torch.arange(64) / 64, torch.arange(32) / 32, indexing="ij")
    images = torch.exp(-6 * ((i - place[:, 0]) ** 2 + (j - place[:, 1]) ** 2))
    patients = first_patient + torch.arange(n) * 2 // n
    return SliceDataset(
        images.unsqueeze(1),
        None,
        torch.linspace(0, 1, n),
        patients,
        torch.zeros(n, dtype=torch.int64),
    )


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    return SliceData(
        "made",
        tmp_path,
        slices(24, 1, 0),
        slices(8, 5, 1),
        slices(8, 9, 2),
        MadeIndex(),
    )


SETTINGS = profiles.get("smoke", batch_size=8, prior_batch_size=8)


@pytest.mark.parametrize("kind", recipes.KINDS)
def test_every_kind_trains_scores_and_is_found_again(data, kind):
    run = Run("r")
    model = recipes.train(kind, SETTINGS, data, run)
    found = recipes.load(kind, SETTINGS, data, run)
    torch.manual_seed(0)
    once = model.reconstruct(data.test.images)
    torch.manual_seed(0)
    torch.testing.assert_close(once, found.reconstruct(data.test.images))
    result = recipes.read_metrics(run, kind)
    assert result["split"] == "test"
    assert result["slices"] == 8
    assert result["ssim"]["low"] <= result["ssim"]["mean"] <= result["ssim"]["high"]
    torch.manual_seed(0)
    scores = metrics.score(model.reconstruct, data.test)
    assert result["ssim"]["mean"] == pytest.approx(scores["ssim"].mean())
    bits = result["bits_per_slice"]
    if kind == "vqvae":
        assert bits == SETTINGS.nominal_bits
        assert 1 <= result["perplexity"] <= result["codes_used"] <= 16
        assert result["order0_bits"] <= bits
        history = np.genfromtxt(
            run.part(kind) / "history.csv", delimiter=",", names=True
        )
        assert {"val_ssim", "val_perplexity", "val_codes_used"} <= set(
            history.dtype.names
        )
    elif kind == "vqvae2":
        codes = [level.numpy() for level in model.encode(data.test.images)]
        assert bits == SETTINGS.nominal_bits * 5 / 4  # a quarter as many above
        used = [result["codes_used_top"], result["codes_used_bottom"]]
        assert used == [len(np.unique(level)) for level in codes]
        assert 1 <= result["perplexity_top"] <= used[0]
        assert 1 <= result["perplexity_bottom"] <= used[1]
        entropies = [np.log2(result[f"perplexity_{n}"]) for n in ("top", "bottom")]
        assert result["order0_bits"] == pytest.approx(
            sum(level[0].size * h for level, h in zip(codes, entropies, strict=True))
        )
        header = (run.part(kind) / "history.csv").read_text().splitlines()[0]
        assert "val_perplexity_bottom,val_codes_used_bottom" in header
    elif kind == "autoencoder":
        assert bits is None
    else:
        with torch.no_grad():
            mu, logvar = model.encode(data.test.images)
        nats = 0.5 * (mu**2 + logvar.exp() - logvar - 1).flatten(1).sum(1).mean()
        assert bits == pytest.approx(float(nats) / math.log(2), rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "expected"), [("vqvae", {"": 16}), ("vqvae2", {"_top": 8, "_bottom": 16})]
)
def test_perplexity_in_the_history_is_of_all_validation_slices_together(
    data, monkeypatch, kind, expected
):
    """Not the mean over batches: each of these has few codes, which no other has."""

    def codes_by_shade(self, x):
        bottom = (16 * x[:, 0, ::4, ::4]).long().clamp(max=15)
        top = bottom[:, ::2, ::2] // 2
        return bottom if kind == "vqvae" else Codes(top, bottom)

    many = slices(160, 5, 1)
    shades = (torch.arange(160) + 0.5) / 160
    many.images = shades.view(-1, 1, 1, 1).repeat(1, 1, 64, 32)
    model = recipes.build(kind, SETTINGS)
    monkeypatch.setattr(type(model), "encode", codes_by_shade)
    settings, seen = dataclasses.replace(SETTINGS, epochs=1), []
    data = dataclasses.replace(data, validate=many)
    recipes.train(kind, settings, data, Run("r"), on_epoch=seen.append)
    parts = [model.encode(images) for images in many.images.split(64)]
    assert len(parts) == 3
    levels = [parts] if kind == "vqvae" else zip(*parts, strict=True)
    for (ending, joint), codes in zip(expected.items(), levels, strict=True):
        found = seen[-1][f"val_perplexity{ending}"]
        assert found == [pytest.approx(joint)]
        assert found[0] == pytest.approx(metrics.perplexity(torch.cat(codes), 16))
        assert found[0] > 2 * np.mean([metrics.perplexity(x, 16) for x in codes])


def test_vae_and_vqvae_share_one_encoder_and_decoder():
    vae, vqvae = (recipes.build(kind, SETTINGS) for kind in ("vae", "vqvae"))

    def shapes(module):
        return [tuple(p.shape) for p in module.parameters()]

    # Only the layers that touch the latent know its number of channels.
    assert shapes(vae.encoder)[:-2] == shapes(vqvae.encoder)[:-2]
    assert shapes(vae.decoder)[1:] == shapes(vqvae.decoder)[1:]


QUANTIZERS = [
    {"quantizer": "gradient", "restarts": False, "kmeans_start": False},
    {"quantizer": "cosine", "gradient_estimator": "rotation", "code_dim": 4},
    {"quantizer": "fsq"},
]


@pytest.mark.parametrize("choice", QUANTIZERS, ids=lambda c: c["quantizer"])
def test_every_quantizer_trains_is_found_again_and_has_a_prior(data, choice):
    settings = dataclasses.replace(SETTINGS, **choice)
    run = Run("r")
    model = recipes.train("vqvae", settings, data, run)
    found = recipes.load("vqvae", settings, data, run)
    x = data.test.images
    assert torch.equal(model.reconstruct(x), found.reconstruct(x))
    torch.testing.assert_close(found(x).reconstruction, found.reconstruct(x))
    assert recipes.read_metrics(run, "vqvae")["bits_per_slice"] == settings.nominal_bits
    recipes.train_prior(settings, data, run)
    assert recipes.read_metrics(run, "prior")["nats_per_code"] > 0


def test_the_quantizer_is_what_the_profile_says():
    def build(**choice):
        return recipes.build_quantizer(dataclasses.replace(SETTINGS, **choice), seed=3)

    ema = build()
    assert (ema.ema, ema.cosine) == (True, False)
    assert (ema.patience, ema.kmeans_steps) == (SETTINGS.restart_after, 10)
    assert ema.estimator is straight_through
    assert build(restart_after=7).patience == 7
    broken = build(restarts=False, kmeans_start=False)
    assert (broken.patience, broken.kmeans_steps) == (0, 0)
    assert not build(quantizer="gradient").ema
    assert build(quantizer="cosine").cosine
    assert build(gradient_estimator="rotation").estimator is rotate
    assert build(quantizer="fsq").levels == (4, 4)
    strict = dataclasses.replace(SETTINGS, commitment_weight=0.7)
    objective = recipes.objective_for("vqvae", recipes.build("vqvae", strict), strict)
    assert objective.beta == 0.7


def test_the_levels_of_a_two_level_model_start_apart():
    model = recipes.build("vqvae2", SETTINGS, seed=3)
    assert not torch.equal(model.quantizer.codebook, model.top_quantizer.codebook)
    odd = profiles.get("smoke", size="24x12", grid="6x3")
    with pytest.raises(UserError, match="grid 6x3 cannot be halved"):
        recipes.build("vqvae2", odd)


@pytest.mark.parametrize("network", ["transformer", "pixelcnn"])
def test_the_prior_trains_on_the_codes_and_reports_held_out_bits(data, network):
    run = Run("r")
    settings = dataclasses.replace(SETTINGS, prior=network)
    vqvae = recipes.train("vqvae", SETTINGS, data, run)
    prior = recipes.train_prior(settings, data, run)
    part = {"transformer": "prior", "pixelcnn": "prior_pixelcnn"}[network]
    result = recipes.read_metrics(run, part)
    codes = recipes.CodeDataset(vqvae, data.test)
    nats = recipes.code_nats(prior, codes)
    assert nats.shape == (8, 16, 8)
    per_slice = nats.flatten(1).sum(1)
    assert result["bits_per_slice"] == pytest.approx(
        float(per_slice.mean()) / math.log(2), rel=1e-5
    )
    assert result["nats_per_code"] == pytest.approx(float(nats.mean()), rel=1e-5)
    assert result["uniform_bits"] == SETTINGS.nominal_bits
    found = recipes.load("prior", settings, data, run)
    assert torch.equal(recipes.code_nats(found, codes), nats)


@pytest.mark.parametrize("network", ["transformer", "pixelcnn"])
def test_a_two_level_model_has_two_priors(data, network):
    run, settings = Run("r"), dataclasses.replace(SETTINGS, prior=network)
    with pytest.raises(UserError, match="trained model; run `vqlib train vqvae2"):
        recipes.train_prior(settings, data, run, kind="prior_top")
    model = recipes.train("vqvae2", SETTINGS, data, run)
    kinds, grids = ("prior_top", "prior_bottom"), ((8, 4), (16, 8))
    priors = [recipes.train_prior(settings, data, run, kind=kind) for kind in kinds]
    for kind, prior, grid in zip(kinds, priors, grids, strict=True):
        result = recipes.read_metrics(run, recipes.part_name(kind, settings))
        codes = recipes.CodeDataset(model, data.test, kind.removeprefix("prior"))
        nats = recipes.code_nats(prior, codes)
        assert nats.shape == (8, *grid)
        bits = float(nats.flatten(1).sum(1).mean()) / math.log(2)
        assert result["bits_per_slice"] == pytest.approx(bits, rel=1e-5)
        assert result["uniform_bits"] == 4 * math.prod(grid)
        found = recipes.load(kind, settings, data, run)
        assert torch.equal(recipes.code_nats(found, codes), nats)
    drawn = sample_levels(*priors, torch.tensor([0.3, 0.6]), seed=1)
    assert model.decode(*drawn).shape == (2, 1, *SETTINGS.shape)


def test_a_run_holds_both_priors_each_bound_to_its_own_settings(data):
    run = Run("r")
    recipes.train("vqvae", SETTINGS, data, run)
    other = dataclasses.replace(SETTINGS, prior="pixelcnn")
    one = recipes.train_prior(SETTINGS, data, run)
    two = recipes.train_prior(other, data, run)
    assert type(one) is not type(two)
    recipes.load("prior", dataclasses.replace(SETTINGS, pixelcnn_dim=4), data, run)
    recipes.load("prior", dataclasses.replace(other, prior_heads=1), data, run)
    with pytest.raises(UserError, match="pixelcnn_dim: 8 there, 4 now"):
        recipes.load("prior", dataclasses.replace(other, pixelcnn_dim=4), data, run)
    with pytest.raises(UserError, match="prior_heads: 2 there, 1 now"):
        recipes.load("prior", dataclasses.replace(SETTINGS, prior_heads=1), data, run)


def test_the_controls_are_held_out_too_and_stand_beside_the_prior(data):
    run = Run("r")
    vqvae = recipes.train("vqvae", SETTINGS, data, run)
    recipes.train_prior(SETTINGS, data, run)
    result = recipes.read_metrics(run, "prior")
    train, test = (recipes.CodeDataset(vqvae, x) for x in (data.train, data.test))
    counts = train.codes.flatten().bincount(minlength=16) + 1
    p = counts / counts.sum()
    nats = -float(p[test.codes].log().mean())
    assert result["control_order0_nats_per_code"] == pytest.approx(nats, rel=1e-5)
    assert result["control_order0_bits_per_slice"] == pytest.approx(
        nats * 128 / math.log(2), rel=1e-5
    )
    uniform = result["control_uniform_nats_per_code"]
    assert uniform == pytest.approx(math.log(16))
    place = result["control_by_place_nats_per_code"]
    assert place != result["control_by_place_and_position_nats_per_code"]


def labelled(dataset):
    """The same slices with labels: the prostate is in the first half of them."""
    labels = torch.zeros(len(dataset), 64, 32, dtype=torch.uint8)
    labels[:, 3:9, 3:9] = 2
    labels[: len(dataset) // 2, 30, 20] = 5
    return SliceDataset(
        dataset.images, labels, dataset.positions, dataset.patients, dataset.weeks
    )


def test_organs_come_from_labels_and_are_unknown_without(data):
    vqvae = recipes.build("vqvae", SETTINGS).eval()
    codes = recipes.CodeDataset(vqvae, labelled(data.test))
    assert codes.organs.tolist() == [[1, 0, 0, 1]] * 4 + [[1, 0, 0, 0]] * 4
    assert codes[0]["organs"].tolist() == [1, 0, 0, 1]
    without = recipes.CodeDataset(vqvae, data.test)
    assert without.organs.tolist() == [[-1] * recipes.ORGANS] * 8
    prior = recipes.build("prior", SETTINGS).eval()
    prior.use_codebook(vqvae.quantizer.codebook)
    torch.nn.init.normal_(prior.head.weight)
    told = recipes.evaluate_prior(prior, codes)
    assert told["with_organs_nats_per_code"] != told["nats_per_code"]
    untold = recipes.evaluate_prior(prior, without)
    assert not any(key.startswith("with_organs") for key in untold)
    assert untold["nats_per_code"] == pytest.approx(told["nats_per_code"])


def test_a_prior_of_another_codebook_is_refused(data):
    run = Run("r")
    recipes.train("vqvae", SETTINGS, data, run)
    recipes.train_prior(SETTINGS, data, run)
    path = run.part("vqvae") / "best.safetensors"
    weights, meta = load_checkpoint(path)
    name = next(key for key in weights if key.endswith("quantizer.codebook"))
    weights[name] = weights[name].flip(0)
    save_checkpoint(path, weights, meta)
    with pytest.raises(UserError, match="belongs to another codebook"):
        recipes.load("prior", SETTINGS, data, run)
    with pytest.raises(UserError, match="belongs to another codebook"):
        recipes.train_prior(SETTINGS, data, run)


def test_same_seed_same_metrics_byte_for_byte(data):
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        recipes.train("vae", SETTINGS, data, Run(name), seed=seed)
        texts.append((Run(name).part("vae") / "metrics.json").read_bytes())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_run_made_with_other_settings_is_refused_and_kept(data):
    run = Run("r")
    recipes.train("vqvae", SETTINGS, data, run)
    before = {p.name: p.read_bytes() for p in run.part("vqvae").iterdir()}
    other = profiles.get("smoke", batch_size=8, codebook_size=8)
    with pytest.raises(UserError, match="codebook_size: 16 there, 8 now"):
        recipes.train("vqvae", other, data, run)
    with pytest.raises(UserError, match="seed: 0 there, 1 now"):
        recipes.load("vqvae", SETTINGS, data, run, seed=1)
    elsewhere = dataclasses.replace(data, index=MadeIndex("other files"))
    with pytest.raises(UserError, match="data_fingerprint"):
        recipes.train("vqvae", SETTINGS, elsewhere, run)
    assert {p.name: p.read_bytes() for p in run.part("vqvae").iterdir()} == before


def test_what_a_part_does_not_depend_on_leaves_it_valid(data):
    run = Run("r")
    recipes.train("vqvae", SETTINGS, data, run)
    other = dataclasses.replace(SETTINGS, prior_epochs=1, phantom_patients="9,9,9")
    recipes.load("vqvae", other, data, run)
    stored = json.loads((run.part("vqvae") / "settings.json").read_text())
    assert not any(key.startswith(("prior", "pixelcnn_")) for key in stored)


def test_the_quantizer_binds_the_vqvae_and_nothing_else(data):
    run = Run("r")
    other = dataclasses.replace(SETTINGS, quantizer="cosine", restarts=False)
    recipes.train("vae", SETTINGS, data, run)
    recipes.load("vae", other, data, run)
    for kind in ("vqvae", "vqvae2"):
        recipes.train(kind, SETTINGS, data, run)
        with pytest.raises(UserError, match="'ema' there, 'cosine' now and 1"):
            recipes.load(kind, other, data, run)


def test_a_run_from_before_a_setting_existed_counts_as_its_default(data):
    run = Run("r")
    recipes.train("vqvae", SETTINGS, data, run)
    path = run.part("vqvae") / "settings.json"
    stored = json.loads(path.read_text())
    for name in ("quantizer", "restarts", "commitment_weight"):
        del stored[name]
    path.write_text(json.dumps(stored))
    recipes.load("vqvae", SETTINGS, data, run)
    other = dataclasses.replace(SETTINGS, quantizer="gradient")
    with pytest.raises(UserError, match="quantizer: 'ema' there, 'gradient' now"):
        recipes.load("vqvae", other, data, run)


def test_what_is_missing_is_told_with_the_notebook_that_makes_it(data):
    with pytest.raises(UserError, match="notebook 03_vqvae_training first"):
        recipes.load("vqvae", SETTINGS, data, Run("none"))
    with pytest.raises(UserError, match="notebook 03_vqvae_training first"):
        recipes.train_prior(SETTINGS, data, Run("none"))
    assert not Run("none").folder.exists()
    with pytest.raises(UserError, match="did you mean 'vqvae'"):
        recipes.build("vqvea", SETTINGS)


def test_augmentation_is_for_training_alone(data, monkeypatch):
    shown, flips = [], []

    class Bright:
        def __init__(self, flip):
            flips.append(flip)

        def __call__(self, images):
            shown.append(images)
            return images.clamp_min(0.9)

    plain = recipes.train("autoencoder", SETTINGS, data, Run("plain"))
    assert shown == []
    settings = dataclasses.replace(SETTINGS, augment=True)
    monkeypatch.setattr(recipes.models, "Augment", Bright)
    before = data.train.images.clone()
    bright = recipes.train("autoencoder", settings, data, Run("bright"))
    assert len(shown) == 2 * 3  # epochs of 24 slices in batches of 8
    assert torch.equal(data.train.images, before)
    with torch.no_grad():
        means = [net(data.test.images).mean() for net in (plain, bright)]
    assert means[1] > means[0] + 0.05
    mirrored = dataclasses.replace(settings, flip=True)
    recipes.train("autoencoder", mirrored, data, Run("mirrored"))
    assert flips == [False, True]
    with pytest.raises(UserError, match="flip: False there, True now"):
        recipes.load("autoencoder", mirrored, data, Run("bright"))
    with pytest.raises(UserError, match="augment: False there, True now"):
        recipes.load("autoencoder", settings, data, Run("plain"))


def test_real_augmentation_repeats_itself(data):
    settings = dataclasses.replace(SETTINGS, augment=True)
    for name in ("a", "b"):
        recipes.train("vqvae", settings, data, Run(name))
    a, b = (
        (Run(name).part("vqvae") / "best.safetensors").read_bytes() for name in "ab"
    )
    assert a == b
    recipes.train("vqvae", SETTINGS, data, Run("c"))
    assert (Run("c").part("vqvae") / "best.safetensors").read_bytes() != a


@pytest.mark.parametrize("kind", ["vae", "prior"])
def test_average_and_patience_of_the_profile_reach_the_training(data, kind):
    run = Run("r")
    settings = dataclasses.replace(
        SETTINGS, weight_ema=0.5, patience=1, epochs=3, prior_epochs=3
    )
    recipes.train("vqvae", settings, data, run)
    seen = []
    train = recipes.train_prior if kind == "prior" else recipes.train
    arguments = () if kind == "prior" else (kind,)
    train(*arguments, settings, data, run, on_epoch=lambda h: seen.append(dict(h)))
    with safe_open(run.part(kind) / "last.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert any(name.startswith("average/") for name in names)
    losses = seen[-1]["val_loss"]
    assert len(losses) == 3 or losses[-1] >= min(losses)


def test_a_folder_without_a_model_belongs_to_nobody(data):
    """A setting with which no training could begin can be corrected."""
    run = Run("r")
    settings = dataclasses.replace(SETTINGS, batch_size=99)
    with pytest.raises(UserError, match="smaller batch_size"):
        recipes.train("vae", settings, data, run)
    recipes.train("vae", SETTINGS, data, run)
    assert recipes.read_metrics(run, "vae")["slices"] == 8


def test_how_samples_are_drawn_belongs_to_no_training(data):
    run = Run("r")
    recipes.train("vae", SETTINGS, data, run)
    other = dataclasses.replace(SETTINGS, guidance=1.0)
    recipes.load("vae", other, data, run)
    settings = json.loads((run.part("vae") / "settings.json").read_text())
    assert "guidance" not in settings


@pytest.fixture
def bright_bladder(data):
    """The same slices with labels: bright is bladder, the rest body."""
    for split in (data.train, data.validate, data.test):
        split.labels = torch.where(split.images[:, 0] > 0.5, 3, 1).byte()
    data.index.has_labels = True
    return data


def test_the_segmenter_trains_is_found_again_and_is_scored(bright_bladder):
    run = Run("r")
    settings = dataclasses.replace(SETTINGS, segmenter_steps=30)
    model = recipes.train_segmenter(settings, bright_bladder, run)
    found = recipes.load("segmenter", settings, bright_bladder, run)
    x = bright_bladder.test.images
    assert torch.equal(model.segment(x), found.segment(x))
    result = recipes.read_metrics(run, "segmenter")
    assert set(result["dice"]) == {"body", "bladder", "mean"}
    assert result["dice"]["bladder"] > 0.5


def test_the_segmenter_depends_on_its_own_settings_alone(bright_bladder):
    run = Run("r")
    recipes.train_segmenter(SETTINGS, bright_bladder, run)
    other = dataclasses.replace(SETTINGS, codebook_size=99, steps=7, prior_dim=8)
    recipes.load("segmenter", other, bright_bladder, run)
    recipes.train("vae", SETTINGS, bright_bladder, run)
    more = dataclasses.replace(SETTINGS, segmenter_steps=99)
    recipes.load("vae", more, bright_bladder, run)
    with pytest.raises(UserError, match="segmenter_steps: 8 there, 99 now"):
        recipes.load("segmenter", more, bright_bladder, run)


def test_soften_blurs_every_second_slice_each_by_its_own_width():
    torch.manual_seed(0)
    spot = torch.zeros(200, 1, 32, 16)
    spot[:, :, 16, 8] = 1
    soft = recipes.segmenter.soften(spot, 2.0)
    assert soft.shape == spot.shape
    assert torch.allclose(soft.sum((1, 2, 3)), torch.ones(200), atol=1e-4)
    peaks = soft[:, 0, 16, 8]
    sharp = peaks > 0.999
    assert 60 < sharp.sum() < 140  # some are blurred by next to nothing
    assert len(peaks[~sharp].unique()) > 50
    assert peaks.min() == pytest.approx(1 / (2 * math.pi * 4), rel=0.1)  # σ = 2
    assert torch.allclose(soft, soft.flip(2).roll(1, 2), atol=1e-5)
    assert torch.allclose(soft, soft.flip(3).roll(1, 3), atol=1e-5)  # round
    flat = torch.full((9, 1, 32, 16), 0.7)
    assert torch.allclose(recipes.segmenter.soften(flat, 2.0), flat)  # to the border


def test_the_segmenter_sees_soft_slices_in_training_alone(bright_bladder, monkeypatch):
    shown = []

    def seen(images, most):
        shown.append((len(images), most))
        return images

    monkeypatch.setattr(recipes.segmenter, "soften", seen)
    settings = dataclasses.replace(SETTINGS, segmenter_blur=0.0)
    recipes.train_segmenter(settings, bright_bladder, Run("sharp"))
    assert shown == []
    settings = dataclasses.replace(SETTINGS, segmenter_blur=1.5)
    recipes.train_segmenter(settings, bright_bladder, Run("soft"))
    assert {most for _, most in shown} == {1.5}
    with pytest.raises(UserError, match=r"segmenter_blur: 0\.0 there, 1\.5 now"):
        recipes.load("segmenter", settings, bright_bladder, Run("sharp"))


def test_without_labels_there_is_no_segmenter(data):
    with pytest.raises(UserError, match="no labels to train a segmenter on"):
        recipes.train_segmenter(SETTINGS, data, Run("r"))
    assert not Run("r").folder.exists()


def test_slices_with_rare_organs_are_shown_over_again():
    labels = torch.ones(10, 4, 4, dtype=torch.uint8)
    labels[3, 0, 0] = 5
    labels[7, 0, 0] = 4
    labels[:8, 1, 1] = 2  # not rare
    slices = recipes.LabelledSlices(torch.rand(10, 1, 4, 4), labels)
    counts = torch.tensor(recipes.balanced(slices).indices).bincount(minlength=10)
    assert counts[3] == counts[7] == 8  # the most; every tenth slice has such an organ
    assert (counts[[0, 1, 2, 4, 5, 6, 8, 9]] == 1).all()
    labels[:4, 2, 2] = 3  # in four of ten: 2.5 times
    counts = torch.tensor(recipes.balanced(slices).indices).bincount(minlength=10)
    assert (counts[:3] == 2).all()
    assert counts[3] == 8
