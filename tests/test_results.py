"""The results table, from result files made up here."""

import pytest

from vqlib import results
from vqlib.errors import UserError
from vqlib.runs import make_folder, run_folder, save_json


def part_of(run, part):
    return make_folder(run / part)


def write_part(run, part, **measured):
    scores = {"split": "test", "ssim": {"mean": 0.7, "low": 0.65, "high": 0.751}}
    scores |= {"psnr": {"mean": 23.456, "low": 23.0, "high": 24.0}, "ms_ssim": 0.9}
    save_json(part_of(run, part) / "metrics.json", scores | measured)
    save_json(part_of(run, part) / "timing.json", {"train_seconds": 1234.5})


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    return run_folder("trial")


def test_models_side_by_side(run):
    write_part(run, "vqvae", bits_per_slice=4608.0, perplexity=301.26, codes_used=498)
    write_part(run, "vae", bits_per_slice=4590.4)
    write_part(run, "sharp_vqvae", bits_per_slice=None)
    save_json(part_of(run, "prior") / "metrics.json", {"bits_per_slice": 2100.6})
    rows = {row[0]: row[1:] for row in results.table(results.collect(run))}
    assert rows["test split"] == ["VAE, spatial", "VQ-VAE", "sharp VQ-VAE"]
    assert rows["SSIM"][0] == "0.700"
    assert rows["… 95 % over patients"][0] == "0.650–0.751"
    assert rows["PSNR, dB"] == ["23.46"] * 3
    assert rows["bits per slice"] == ["4,590", "4,608", "–"]
    assert rows["codebook perplexity"] == ["–", "301.3", "–"]
    assert rows["codes used"] == ["–", "498", "–"]
    assert rows["… under the prior"] == ["–", "–", "2,101"]
    assert "SSIM inside the body" not in rows  # nobody measured it


def test_two_levels_share_a_cell_and_a_model_has_the_bits_of_its_own_prior(run):
    with pytest.raises(UserError, match="vqlib tutorial --run trial"):
        results.collect(run)
    write_part(run, "sharp_vae", perplexity=301.26)
    write_part(run, "vqvae2", perplexity_top=90.04, perplexity_bottom=210.5)
    save_json(part_of(run, "flow") / "metrics.json", {"bits_per_slice": 3000.0})
    rows = {row[0]: row[1:] for row in results.table(results.collect(run))}
    assert rows["test split"] == ["VQ-VAE-2", "sharp VAE"]
    assert rows["codebook perplexity"] == ["90.0 / 210.5", "301.3"]
    assert rows["… under the prior"] == ["–", "3,000"]


def test_scores_of_other_weights_are_left_out(run):
    for part in ("vae", "vqvae"):
        write_part(run, part, checkpoint="of these weights")
    (part_of(run, "vae") / "best.safetensors").write_bytes(b"other weights")
    assert results.collect(run).keys() == {"run", "vqvae"}
