import pytest
import torch
from made_slices import made_data

from vqlib import profiles, recipes
from vqlib.models.quantizers import rotate, straight_through

SETTINGS = profiles.get("smoke")


def test_the_quantizer_is_what_the_profile_says():
    def build(**choice):
        return recipes.build_quantizer(SETTINGS.changed(**choice), seed=3)

    ema = build()
    assert (ema.ema, ema.cosine) == (True, False)
    assert (ema.patience, ema.kmeans_steps) == (SETTINGS.quantizer.restart_after, 10)
    assert ema.estimator is straight_through
    assert build(restart_after=7).patience == 7
    broken = build(restarts=False, kmeans_start=False)
    assert (broken.patience, broken.kmeans_steps) == (0, 0)
    assert not build(quantizer="gradient").ema
    assert build(quantizer="cosine").cosine
    assert build(gradient_estimator="rotation").estimator is rotate
    assert build(quantizer="fsq").levels == (4, 4)
    strict = SETTINGS.changed(commitment_weight=0.7)
    objective = recipes.objective_for("vqvae", recipes.build("vqvae", strict), strict)
    assert objective.beta == 0.7


def test_organs_come_from_labels_and_are_unknown_without(tmp_path):
    data = made_data(tmp_path)
    vqvae = recipes.build("vqvae", SETTINGS).eval()
    labels = torch.zeros(8, 64, 32, dtype=torch.uint8)
    labels[:, 3:9, 3:9] = 2
    labels[:4, 30, 20] = 5
    without = recipes.CodeDataset(vqvae, data.test)
    data.test.labels = labels
    codes = recipes.CodeDataset(vqvae, data.test)
    assert codes.organs.tolist() == [[1, 0, 0, 1]] * 4 + [[1, 0, 0, 0]] * 4
    assert codes[0]["organs"].tolist() == [1, 0, 0, 1]
    assert without.organs.tolist() == [[-1] * recipes.ORGANS] * 8
    prior = recipes.build("prior", SETTINGS).eval()
    prior.use_codebook(vqvae.quantizer.codebook)
    torch.nn.init.normal_(prior.head.weight)
    known = recipes.evaluate_prior(prior, codes)
    assert known["with_organs_nats_per_code"] != known["nats_per_code"]
    unknown = recipes.evaluate_prior(prior, without)
    assert "with_organs_nats_per_code" not in unknown
    assert unknown["nats_per_code"] == pytest.approx(known["nats_per_code"])
