import pytest
from commands import vqlib

from vqlib import results
from vqlib.runs import make_folder, run_folder, save_json


def write_part(part, **measured):
    scores = {"split": "test", "ssim": {"mean": 0.7, "low": 0.65, "high": 0.751}}
    scores |= {"psnr": {"mean": 23.456, "low": 23.0, "high": 24.0}, "ms_ssim": 0.9}
    folder = make_folder(run_folder("trial") / part)
    save_json(folder / "metrics.json", scores | measured)
    save_json(folder / "timing.json", {"train_seconds": 1234.5})


def rows():
    table = results.table(results.collect(run_folder("trial")))
    return {row[0]: row[1:] for row in table}


@pytest.mark.usefixtures("home")
def test_models_side_by_side():
    write_part("vqvae", bits_per_slice=4608.0, perplexity=301.26, codes_used=498)
    write_part("vae", bits_per_slice=4590.4)
    write_part("sharp_vqvae", bits_per_slice=None)
    write_part("prior", bits_per_slice=2100.6)
    found = rows()
    assert found["test split"] == ["VAE, spatial", "VQ-VAE", "sharp VQ-VAE"]
    assert found["SSIM"][0] == "0.700"
    assert found["… 95 % over patients"][0] == "0.650–0.751"
    assert found["PSNR, dB"] == ["23.46"] * 3
    assert found["bits per slice"] == ["4,590", "4,608", "–"]
    assert found["codebook perplexity"] == ["–", "301.3", "–"]
    assert found["codes used"] == ["–", "498", "–"]
    assert found["… under the prior"] == ["–", "–", "2,101"]
    assert "SSIM inside the body" not in found  # nobody measured it
    assert "0.650–0.751" in vqlib("results", "--run", "trial").output
    assert "| --- |" in vqlib("results", "--run", "trial", "--markdown").output


def test_two_levels_share_a_cell_and_a_model_has_the_bits_of_its_own_prior(home):
    write_part("sharp_vae", perplexity=301.26)
    write_part("vqvae2", perplexity_top=90.04, perplexity_bottom=210.5)
    write_part("flow", bits_per_slice=3000.0)
    found = rows()
    assert found["test split"] == ["VQ-VAE-2", "sharp VAE"]
    assert found["codebook perplexity"] == ["90.0 / 210.5", "301.3"]
    assert found["… under the prior"] == ["–", "3,000"]


def test_scores_of_other_weights_are_left_out(home):
    for part in ("vae", "vqvae"):
        write_part(part, checkpoint="of these weights")
    run = run_folder("trial")
    (run / "vae" / "best.safetensors").write_bytes(b"other weights")
    assert results.collect(run).keys() == {"run", "vqvae"}
