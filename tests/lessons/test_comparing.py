"""Models side by side: figures of stored results, and the sentences they are put in."""

import numpy as np
import pytest

from lessons import comparing
from vqlib.metrics import Interval


@pytest.mark.parametrize(
    ("interval", "start", "ending"),
    [
        (Interval(0.02, 0.01, 0.03), "a has the higher SSIM, by 0.0200 over b", "out"),
        (
            Interval(-0.02, -0.03, -0.01),
            "b has the higher SSIM, by 0.0200 over a (95 % interval 0.0100 to 0.0300",
            "out",
        ),
        (Interval(0.02, -0.01, 0.03), "a has the higher SSIM, by 0.0200", "holds"),
        (Interval(-0.02, -0.03, 0.01), "b has the higher SSIM, by 0.0200", "holds"),
    ],
)
def test_verdict_takes_its_direction_from_the_numbers(interval, start, ending):
    said = comparing.verdict("a", "b", interval)
    assert said.startswith(start)
    assert ("leaves out 0" in said) == (ending == "out")
    assert ("holds 0" in said) == (ending == "holds")


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


def settled(by_seed, low, high, spread, score="ssim"):
    return {
        "data": "real_slices",
        "bits": 1024.0,
        "score": score,
        "by_seed": by_seed,
        "difference_sd": spread,
        "difference": {"mean": float(np.mean(by_seed)), "low": low, "high": high},
    }


@pytest.mark.parametrize(
    ("line", "ahead"),
    [
        (settled([0.03, 0.02], 0.01, 0.04, 0.005), "VQ-VAE"),
        (settled([-0.03, -0.02], -0.04, -0.01, 0.005), "VAE"),
        (settled([0.03, -0.01], 0.01, 0.04, 0.005), "not settled"),  # seeds disagree
        (settled([0.03, 0.02], -0.01, 0.04, 0.005), "not settled"),  # patients
        (settled([0.03, 0.02], 0.01, 0.04, 0.1), "not settled"),  # spread of seeds
    ],
)
def test_settled_only_where_seeds_patients_and_spread_agree(line, ahead):
    table = comparing.settled_table([line, line | {"score": "l1"}])
    assert list(table["ahead"]) == [ahead]
    assert table.index[0] == ("real slices", "1,024", "SSIM")


def test_ablation_compares_seed_by_seed():
    def rows(name, *values):
        common = {"quantizer": name, "codes_used": 9, "perplexity": 5.4}
        return [common | {"seed": n, "ssim": value} for n, value in enumerate(values)]

    found = rows("ours", 0.80, 0.90, 0.85) + rows("worse", 0.75, 0.86, 0.80)
    found += rows("alike", 0.81, 0.90, 0.84)
    found += rows("lucky", 0.95, 0.91, 0.85)  # ahead on average, by its first seed
    table = comparing.ablation_table(found)
    assert list(table.index) == ["ours", "worse", "alike", "lucky"]
    assert list(table["clear"]) == ["", "yes", "", ""]
    assert table.loc["worse", "difference"] == "-0.047 ± 0.006"
    assert table.loc["ours", ["SSIM", "codes used", "perplexity"]].tolist() == [
        "0.850",
        "9",
        "5",
    ]
