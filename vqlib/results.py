"""The results table of a run: what its parts measured, side by side.

Each part of a run folder (``vae_global``, ``vae``, ``vqvae``, ...) leaves a
``metrics.json`` with the scores of the test split and a ``timing.json``. This module
only collects and lays out what those files say, for the terminal and for the README.
"""

import shlex
from pathlib import Path

from vqlib import profiles
from vqlib.errors import UserError
from vqlib.runs import load_json, project_root, read_scores

# part of the run -> its heading in the table, in reading order
MODELS = {
    "vae_global": "VAE, one vector",
    "vae": "VAE, spatial",
    "vqvae": "VQ-VAE",
    "vqvae2": "VQ-VAE-2",
    "autoencoder": "autoencoder",
    "sharp_vae": "sharp VAE",
    "sharp_vqvae": "sharp VQ-VAE",
}
PRIORS = {"sharp_vae": "flow", "sharp_vqvae": "prior"}  # of a model's latents
ROWS = {  # label -> key in metrics.json or timing.json, and how it is written
    "SSIM": ("ssim", ".3f"),
    "… 95 % over patients": ("ssim", "interval"),
    "PSNR, dB": ("psnr", ".2f"),
    "MS-SSIM": ("ms_ssim", ".3f"),
    "SSIM inside the body": ("ssim_body", ".3f"),
    "bits per slice": ("bits_per_slice", ",.0f"),
    "… by code frequency": ("order0_bits", ",.0f"),
    "… under the prior": ("prior_bits", ",.0f"),
    "codebook perplexity": ("perplexity", ".1f"),
    "codes used": ("codes_used", "d"),
    "seconds of training": ("train_seconds", ",.0f"),
}
MISSING = "–"


def collect(run: Path) -> dict:
    """What a run folder measured so far: ``{"run": name, part: {...}, ...}``.

    A part is left out that is not finished, or whose weights are others than those that
    were scored. Raises `UserError` where no part is.
    """
    found = {}
    sources = {prior: model for model, prior in PRIORS.items()}
    for part in (*MODELS, *sources):
        beside = [run / sources[part]] if part in sources else []
        scores = read_scores(run / part, *beside)
        if scores is None:
            continue
        found[part] = {k: v for k, v in scores.items() if k != "checkpoint"}
        if (run / part / "timing.json").exists():
            found[part] |= load_json(run / part / "timing.json")
    if not found:
        words = ["vqlib", "tutorial", "--run", run.name]
        if (profile := profiles.named_like(run.name)) == run.name:
            words[2:] = ["--profile", profile]
        what = f"run {run.name!r} has no results in {run}"
        raise UserError(f"{what}; make them with: {shlex.join(words)}")
    return {"run": run.name, **found}


def stored_benchmark(name: str) -> dict | None:
    """What ``benchmarks/results/NAME.json`` of the cloned project holds, with the
    ``command`` that made it; None where it is not there."""
    for root in (project_root(), Path(__file__).parents[1]):  # runs may lie elsewhere
        path = root / "benchmarks" / "results" / f"{name}.json"
        if path.exists():
            return load_json(path)
    return None


def table(results: dict) -> list[list[str]]:
    """The results as rows of text: a row of headings, then one row per quantity."""
    measured = {part: results[part] for part in MODELS if part in results}
    for model, prior in PRIORS.items():
        if model in measured and prior in results:
            bits = results[prior]["bits_per_slice"]
            measured[model] = measured[model] | {"prior_bits": bits}
    models = [part for part in MODELS if part in measured]
    rows = [["test split", *(MODELS[part] for part in models)]]
    for label, (key, form) in ROWS.items():
        cells = [_cell(measured[part], key, form) for part in models]
        if set(cells) != {MISSING}:
            rows.append([label, *cells])
    return rows


def _cell(measured: dict, key: str, form: str) -> str:
    """One quantity of a model; of two levels of codes that of the top one first."""
    cells = []
    for name in (key, f"{key}_top", f"{key}_bottom"):
        value = measured.get(name)
        if form == "interval" and value is not None:
            cells.append(f"{value['low']:.3f}–{value['high']:.3f}")
        elif value is not None:
            cells.append(format(value["mean"] if type(value) is dict else value, form))
    return " / ".join(cells) or MISSING


def as_text(results: dict) -> str:
    """The table for a terminal, columns aligned."""
    rows = table(results)
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join(
        "  ".join([label.ljust(first), *map(str.rjust, cells, widths)])
        for label, *cells in rows
    )


def as_markdown(results: dict) -> str:
    """The table for a Markdown page."""
    head, *rows = table(results)
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
