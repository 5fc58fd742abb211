"""Models side by side: figures and tables of stored results."""

import numpy as np

from lessons import comparing


def row(data, kind, bits, mean, grid="32x16"):
    score = {"ssim": {"mean": mean}}
    return {"data": data, "kind": kind, "bits": bits, "grid": grid} | score


ROWS = [
    row("real_slices", "vae", 1024.0, 0.70),
    row("real_slices", "vae", 1024.0, 0.74),
    row("real_slices", "vae", 4608.0, 0.80),
    row("real_slices", "vqvae", 1024.0, 0.71),
    row("real_slices", "autoencoder", None, 0.95),
    row("phantom", "vae", 1024.0, 0.60),
]
CODECS = [
    {"data": "real_slices", "codec": "WebP", "mean_bytes": n, "ssim": {"mean": m}}
    for n, m in ((500.0, 0.9), (100.0, 0.6))
]


def test_rate_panels_have_a_dot_for_each_training_and_a_line_through_the_means():
    figure = comparing.rate_panels(ROWS, CODECS)
    assert [axis.get_title() for axis in figure.axes] == ["real slices", "phantom"]
    axis = figure.axes[0]
    dots = [line for line in axis.lines if len(line.get_xdata()) == 3]
    assert sorted(dots[0].get_ydata()) == [0.70, 0.74, 0.80]
    means = next(line for line in axis.lines if line.get_label() == "VAE")
    assert np.allclose(means.get_xydata(), [[1024, 0.72], [4608, 0.80]])
    codec = next(line for line in axis.lines if line.get_label() == "WebP")
    assert np.allclose(codec.get_xydata(), [[800, 0.6], [4000, 0.9]])
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named == {"VAE", "VQ-VAE", "WebP", "autoencoder"}
    level = next(line for line in axis.lines if line.get_label() == "autoencoder")
    assert set(level.get_ydata()) == {0.95}  # it has no rate


def test_ablation_compares_seed_by_seed():
    def rows(name, *values):
        common = {"quantizer": name, "codes_used": 9, "perplexity": 5.4}
        return [common | {"seed": n, "ssim": value} for n, value in enumerate(values)]

    found = rows("ours", 0.80, 0.90, 0.85) + rows("worse", 0.75, 0.86, 0.80)
    found += rows("alike", 0.81, 0.90, 0.84)
    found += rows("lucky", 0.95, 0.91, 0.85)  # ahead on average, by its first seed
    table = comparing.ablation_table(found)
    assert list(table.index) == ["ours", "worse", "alike", "lucky"]
    assert list(table["clear"]) == [False, True, False, False]
    worse = table.loc["worse", ["ssim", "difference", "spread"]]
    assert np.allclose(worse.astype(float), [0.8033, -0.0467, 0.0058], atol=1e-4)
    assert table.loc["ours", "codes_used"] == 9
