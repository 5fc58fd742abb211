"""Draw `benchmarks/results/rate_distortion.json`: all families, rate against score.

    python resources/draw_rate_distortion.py [--score ssim] [FILE]

A dot is one training, a line joins the means over seeds at each rate. Codecs, at the
bytes that their files took less their headers, are dashed; the autoencoder has no rate
and is a level.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from lessons import comparing
from lessons.style import use_style
from vqlib.runs import load_json

STORED = Path(__file__).parents[1] / "benchmarks" / "results" / "rate_distortion.json"
LABELS = {
    "ssim": "SSIM (test)",
    "psnr": "PSNR, dB (test)",
    "ms_ssim": "MS-SSIM (test)",
    "edges": "share of edges in place (test)",
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--score", choices=LABELS, default="ssim")
    parser.add_argument("--stored", type=Path, default=STORED)
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path(__file__).with_name("rate_distortion.png"),
    )
    given = parser.parse_args()
    use_style()
    found = load_json(given.stored)
    figure = comparing.rate_panels(
        found["rows"], found["codecs"], given.score, LABELS[given.score]
    )
    figure.savefig(given.file, dpi=150, metadata={"Software": None})
