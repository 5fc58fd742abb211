"""The drawings are what their scripts draw, the README's table what was measured."""

import json
import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
RESOURCES = ROOT / "resources"


@pytest.fixture(autouse=True)
def beside_the_scripts(monkeypatch):
    monkeypatch.syspath_prepend(RESOURCES)


def run_script(name, *arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(RESOURCES / name), run_name="__main__")


def creator(svg):
    return re.search(r"<dc:title>(.*?)</dc:title>", svg).group(1)


def words(svg):
    return re.findall(r"<!-- (.*?) -->", svg)


@pytest.mark.parametrize("name", ["vae", "vqvae"])
def test_script_draws_the_committed_drawing(name, tmp_path, monkeypatch):
    run_script(f"draw_{name}.py", tmp_path / f"{name}.svg", monkeypatch=monkeypatch)
    drawn = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    kept = (RESOURCES / f"{name}.svg").read_text(encoding="utf-8")
    assert words(drawn) == words(kept)
    if creator(drawn) == creator(kept):  # else the same, drawn by another matplotlib
        assert drawn == kept


def test_vqvae_drawing_names_the_five_components():
    named = words((RESOURCES / "vqvae.svg").read_text(encoding="utf-8"))
    for component in (
        "Encoder",
        "embedding space (codebook)",
        "quantization",
        "Decoder",
        "training signal",
        "straight-through estimator",
    ):
        assert component in named


def test_text_of_drawings_needs_no_font():
    for path in RESOURCES.glob("*.svg"):
        assert "<text" not in path.read_text(encoding="utf-8"), path.name


def test_every_drawing_has_its_script():
    for path in [*RESOURCES.glob("*.svg"), *RESOURCES.glob("*.png")]:
        assert path.with_name(f"draw_{path.stem}.py").exists(), path.name


def test_results_figure_has_all_columns(tmp_path):
    import draw_results

    columns = {
        name: torch.rand(2, 1, 32, 16) for name in ("slice", "VAE", "VQ-VAE", "new")
    }
    figure = draw_results.draw(columns)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == list(columns)
    for axis in figure.axes:  # upright, and one window for all
        image = axis.images[0]
        assert image.get_array().shape == (16, 32)
        assert image.origin == "lower"
        assert image.get_clim() == (0, 1)


def test_texts_go_between_their_markers():
    import update_readme

    page = (
        "in <!-- time: begin -->old<!-- time: end --> minutes\n"
        "<!-- results: begin -->\nold\n<!-- results: end -->\nafter\n"
    )
    new = update_readme.with_blocks(page, {"time": "7", "results": "| a |"})
    assert new == page.replace("old", "7", 1).replace("old", "| a |", 1)


def test_the_table_of_codecs_takes_the_better_grid_and_names_larger_files():
    import update_readme

    at = {"data": "real_slices", "size": "128x64", "bits": 1024.0}
    rows = [
        at | {"kind": kind, "grid": grid, "ssim": {"mean": ssim}}
        for kind, grid, ssim in (
            ("vae", "32x16", 0.7),
            ("vqvae", "16x8", 0.6),
            ("vqvae", "32x16", 0.8),
            ("vqvae", "32x16", 0.7),
        )
    ]
    codec = at | {"mean_bytes": 200.0, "ssim": {"mean": 0.65}}
    codecs = [codec | {"codec": "AVIF", "met": 1}, codec | {"codec": "WebP", "met": 0}]
    table = update_readme.codecs_table({"rows": rows, "codecs": codecs})
    head, _, line = table.splitlines()
    assert head == "| test split | bytes | VAE, spatial | VQ-VAE | AVIF | WebP |"
    assert line == (
        "| real slices, 128 × 64 | 128 | 0.700 | 0.750 | 0.650 | 0.650 (200 bytes) |"
    )


def test_the_words_on_codecs_tell_how_the_models_were_trained():
    import update_readme

    def row(size, steps, seed, grid="32x16"):
        return {"size": size, "steps": steps, "seed": seed, "grid": grid}

    rows = [row("128x64", 1800, s) for s in (0, 1, 2)] + [row("256x128", 900, 0)]
    rows += [row("128x64", 5000, 0, "16x8")]
    assert update_readme.codecs_words({"rows": rows, "command": "it"}) == (
        "Models were trained at 128 × 64 for 1800 steps with 3 seeds, at "
        "256 × 128 for 900 steps with one seed (`it`)."
    )


def test_the_words_on_losses_count_a_lead_only_with_every_seed_and_score():
    import update_readme

    def rows(name, *values):
        scores = ("ssim", "psnr", "ms_ssim", "edges")
        return [
            {"distortion": name, "seed": seed, **dict.fromkeys(scores, value)}
            for seed, value in enumerate(values)
        ]

    stored = {"command": "it", "rows": rows("ours (vqlib)", 0.5, 0.6)}
    stored["rows"] += rows("better", 0.6, 0.7) + rows("lucky", 0.7, 0.5)
    stored["rows"] += rows("worse", 0.4, 0.5)
    assert update_readme.distortions_words(stored) == (
        "With every seed, ahead of vqlib's in all four scores: better; behind in all "
        "four: worse (`it`)."
    )
    stored["rows"][3]["edges"] = 0.0  # of "better", with the second seed
    assert "scores: none; behind" in update_readme.distortions_words(stored)


def test_the_words_on_longer_training_tell_what_is_beyond_it():
    import update_readme

    fit = {"data": "phantom", "ceiling": 0.95, "next": {"length": 4, "ssim": 0.92}}
    fit |= {"tried": {"length": 2, "foretold": 0.89, "ssim": 0.9}}
    fit |= {"reaches": {"a": 0.1, "b": 1.5, "c": 3.0, "d": None}}
    rows = [
        {"data": "phantom", "length": n, "ssim": {"mean": ssim}}
        for n, ssim in ((1.0, 0.85), (2.0, 0.9))
    ]
    words = update_readme.longer_words(
        {"fits": [fit], "rows": rows, "steps": 9, "command": "it"}
    )
    assert "reaches 0.850, 0.900 with 1, 2 times the quick profile's 9 steps" in words
    assert "its ceiling c at 0.950 and foretells 0.920 for 4 times" in words
    assert "without the longest training it foretold 0.890" in words
    assert words.endswith(
        "level with a before the shortest; with b at 1.5 times; with c, if the law "
        "holds, at 3 times; with d at no length. (`it`; one seed.)"
    )


def test_every_quoted_number_is_a_stored_one():
    import update_readme

    from vqlib.runs import load_json

    pages = update_readme.pages(load_json(RESOURCES / "results_quick.json"))
    assert len(pages) == 6  # README and the five notebooks, for their durations
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, path.name


def settled(*gaps, score="ssim", spread=0.001):
    mean = sum(gaps) / len(gaps)
    difference = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
    line = {"data": "phantom", "bits": 1024.0, "score": score, "by_seed": gaps}
    line |= {"vae": 0.8, "vae_sd": 0.01, "vqvae": 0.8 + mean, "vqvae_sd": 0.02}
    return line | {"difference": difference, "difference_sd": spread}


def test_the_words_on_seeds_follow_the_numbers():
    import update_readme

    def words(*gaps, spread=0.001):
        line = settled(*gaps, spread=spread)
        return update_readme.rates_words({"steps": 9, "settled": [line]})

    assert "the VQ-VAE is ahead every time" in words(0.03, 0.031, 0.032)
    assert "the VAE is ahead every time" in words(-0.03, -0.031, -0.032)
    assert "the seed decides" in words(-0.01, 0.03, 0.02)
    assert "the seed decides" in words(0.001, 0.02, 0.001, spread=0.02)
    assert "at 1,024 bits" in words(0.03, 0.031, 0.032)
    assert "+0.031 on average over 3 seeds" in words(0.03, 0.031, 0.032)


def test_the_table_of_rates_has_a_row_for_each_rate():
    import update_readme

    def table(*gaps):
        lines = [settled(*gaps, score=score) for score in ("ssim", "psnr", "edges")]
        return update_readme.rates_table({"settled": lines}).splitlines()

    lines = table(0.02, 0.02)
    assert len(lines) == 3
    cells = "| phantom | 1,024 | 2 | 0.800 ± 0.010 | 0.820 ± 0.020 | +0.020 (+0.010 to"
    assert lines[2].startswith(cells)
    assert lines[2].count("|") == lines[0].count("|") == 9
    # one seed has no spread
    assert table(0.02)[2].startswith("| phantom | 1,024 | 1 | 0.800 | 0.820 | +0.020")


def test_scaling_is_drawn_on_log_axes_with_its_exponent(tmp_path, monkeypatch):
    row = {"quantity": "codes K", "values": [64, 256, 1024, 4096]}
    row |= {"milliseconds": [5.0, 10.0, 20.0, 40.0], "exponent": 0.5}
    stored, picture = tmp_path / "s.json", tmp_path / "s.png"
    stored.write_text(json.dumps({"scaling": [row, row | {"quantity": "pixels"}]}))
    run_script("draw_scaling.py", "--stored", stored, picture, monkeypatch=monkeypatch)
    assert Image.open(picture).width > 600
    axes = plt.gcf().axes
    assert [axis.get_xlabel() for axis in axes] == ["codes K", "pixels"]
    assert {axis.get_xscale() + axis.get_yscale() for axis in axes} == {"loglog"}
    fitted = axes[0].lines[1]
    assert np.allclose(fitted.get_ydata(), [10, 20, 40])
    assert fitted.get_label() == "exponent 0.50"
    plt.close("all")


def test_scaling_is_told_by_its_exponents_and_ways():
    import update_readme

    ways = [
        {"profile": profile, "way": way, "milliseconds": ms}
        for profile, way, ms in (
            ("quick", "float32", 100.0),
            ("quick", "bfloat16", 150.0),
            ("full", "float32", 10.0),
            ("full", "bfloat16", 9.0),
        )
    ]
    rows = [{"quantity": "codes K", "exponent": 0.523}]
    stored = {"scaling": rows, "ways": ways, "device": "cpu", "command": "python x.py"}
    words = update_readme.scaling_words(stored)
    assert "on one core" in words
    assert "0.52 with codes K" in words
    assert "bfloat16 1.50 (quick), 0.90 (full) (`python x.py`)" in words


def test_costs_are_told_per_model_with_their_check():
    import update_readme

    row = {"profile": "full", "size": "256x128", "parameters": 1234567, "batch": 64}
    rows = [
        row | {"model": "vqvae2", "gflop_per_slice": 25.24, "peak_mib": 1536.0},
        row | {"model": "prior", "gflop_per_slice": 831.4, "peak_mib": 118.51},
    ]
    rows[1]["cache_mib_per_slice"] = 96.0
    measured = {"measured_mib_usual": 473.0, "measured_mib_returning": 289.0}
    tried = {"model": "vqvae", "profile": "quick", "batch": 128, "counted_mib": 264.8}
    stored = {"rows": rows, "check": tried | measured}
    lines = update_readme.costs_table(stored).splitlines()
    assert lines[2] == (
        "| full, 256 × 128 | VQ-VAE-2 | 1,234,567 | 25.2 | 64 | 1.5 GiB |"
    )
    assert lines[3].endswith("| prior | 1,234,567 | 831.4 | 64 | 119 MiB |")
    told = update_readme.costs_words(stored)
    assert "keeps 96 MiB (full) of keys" in told
    assert "batches of 128, on a CPU: 265 MiB are counted" in told
    assert "grows by 289 MiB" in told


def test_a_notebook_tells_its_measured_time():
    import update_readme

    cell = {"source": ["# T\n", "Quick profile on two CPU cores: about **x**; more"]}
    text = json.dumps({"cells": [cell]})
    source = json.loads(update_readme.with_duration(text, 130))["cells"][0]["source"]
    assert source[1] == "Quick profile on two CPU cores: about **2 minutes**; more"


def test_readme_links_lead_somewhere():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", page)
    local = [a or b for a, b in targets if "://" not in (a or b)]
    assert local
    for target in local:
        assert (ROOT / target).exists(), target


def test_the_race_at_equal_cost_is_told_with_its_seeds():
    import update_readme

    def row(model, seed, ssim, recipe="ours"):
        found = {"data": "phantom", "grid": "32x16", "recipe": recipe, "seed": seed}
        return found | {
            "model": model,
            "ssim": {"mean": ssim},
            "codes_used": 100 + seed,
        }

    rows = [row("vqlib", 0, 0.8), row("vqlib", 1, 0.82), row("other", 0, 0.5, "own")]
    verdict = {"data": "phantom", "grid": "32x16", "score": "ssim", "rival": 0.5}
    verdict |= {"best_rival": "other", "ours_in_a_fifth": 0.4, "by_seed": [0.3, 0.32]}
    stored = {"cpu_seconds": 120.0, "rows": rows, "verdict": [verdict]}
    table = update_readme.equal_cost_table(stored)
    for part in ("trained for 120 s", "0.810 ± 0.014, 100 codes", "0.500, 100 codes"):
        assert part in table, part
    words = update_readme.equal_cost_words(stored)
    for part in ("+0.300, +0.320", "(other; by seed)", "-0.100 after a fifth"):
        assert part in words, part


def test_the_score_card_is_told_by_its_numbers():
    import update_readme

    def card(value, **other):
        return dict.fromkeys(update_readme.CARD, value) | other

    real = {"real, other patients": card(0.0), "real codes, decoded": card(0.1)}
    ours = card(1.0, recall=0.3, texture=9.4, areas=None)
    stored = {
        "cards": real
        | {"VQ-VAE + prior": ours, "noise": card(2.0, recall=0.1, texture=9.0)},
        "usefulness": {
            name: {"mean": 0.5 + 0.1 * n}
            for n, name in enumerate(
                ("real", "VQ-VAE + prior", "real and VQ-VAE + prior")
            )
        },
        "samples": 64,
        "command": "python this.py",
    }
    table = update_readme.card_table(stored).splitlines()
    assert table[4].startswith("| VQ-VAE + prior | 9 | 1 | 1.00 | 0.30 | – |")
    words = update_readme.card_words(stored)
    assert "Of 2 ways" in words
    assert "first in Fréchet (segmenter), recall, organ neighbours" in words
    assert "others are first in Fréchet (texture): noise; precision: noise" in words
    assert "Dice of 0.50 on the test patients, on as many samples 0.60" in words
    assert "on both 0.70 (`python this.py`)" in words


def test_the_words_on_loading_follow_the_numbers():
    import update_readme

    ratios = {"first opening": 3.04, "later opening": 108.6, "epoch": 49.4}
    words = update_readme.loading_words(
        {
            "times": {name: {"ratio": ratio} for name, ratio in ratios.items()},
            "peak_memory_mb": {
                "the loader, first opening": {"an epoch": 109},
                "with PyTorch, first opening": {"import torch": 500, "an epoch": 612},
            },
            "slices": 12660,
            "cores": 2,
            "phantom_seconds": 210.0,
        }
    )
    for part in ("12,660", "3.0 times", "109 times", "49 times", "109 MB", "112 MB"):
        assert part in words, part


def test_the_stored_rates_are_drawn(tmp_path, monkeypatch):
    from vqlib.runs import save_json

    row = {"data": "phantom", "kind": "vae", "grid": "32x16", "bits": 1024.0}
    row |= {"ssim": {"mean": 0.7}}
    codec = {"data": "phantom", "codec": "WebP", "mean_bytes": 99.0}
    stored = {"rows": [row], "codecs": [codec | {"ssim": {"mean": 0.6}}]}
    save_json(tmp_path / "stored.json", stored)
    arguments = ("--stored", tmp_path / "stored.json", tmp_path / "drawn.png")
    run_script("draw_rate_distortion.py", *arguments, monkeypatch=monkeypatch)
    assert (tmp_path / "drawn.png").stat().st_size > 5000
