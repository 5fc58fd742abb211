from vqlib import profiles, recipes

SETTINGS = profiles.get("smoke")


def test_the_quantizer_is_what_the_profile_says():
    def build(**choice):
        return recipes.build_quantizer(SETTINGS.changed(**choice), seed=3)

    ema = build()
    assert (ema.ema, ema.cosine) == (True, False)
    assert (ema.patience, ema.kmeans_steps) == (SETTINGS.quantizer.restart_after, 10)
    assert build(restart_after=7).patience == 7
    broken = build(restarts=False, kmeans_start=False)
    assert (broken.patience, broken.kmeans_steps) == (0, 0)
    assert not build(quantizer="gradient").ema
    assert build(quantizer="cosine").cosine
    assert build(quantizer="fsq").levels == (4, 4)
    strict = SETTINGS.changed(commitment_weight=0.7)
    objective = recipes.objective_for("vqvae", recipes.build("vqvae", strict), strict)
    assert objective.beta == 0.7
