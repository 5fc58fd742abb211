"""Write measured numbers into README, docs and notebooks; none is copied by hand.

    python resources/update_readme.py [--run quick]

stores the run's results in ``results_quick.json``, and writes what stands between the
markers of README.md and docs/results.md, and how long each notebook took into its
opening and into README's table. With ``--check`` it changes nothing and exits with 1
unless all of it is what the stored files say.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import pandas as pd

from vqlib.results import MODELS, as_markdown, collect
from vqlib.runs import load_json, run_folder, save_json, save_text

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
STORED = Path(__file__).with_name("results_quick.json")
SECONDS = "notebook_seconds"
DURATION = re.compile(r"(Quick profile on two CPU cores: about \*\*)(.*?)(\*\*)")
DATA = {"phantom": "phantom", "real_slices": "real slices"}


def benchmark(name: str) -> dict:
    return load_json(ROOT / "benchmarks" / "results" / f"{name}.json")


def table(frame: pd.DataFrame) -> str:
    """A Markdown table of a frame whose cells are text."""
    rows = [list(frame.columns), ["---", *["---:"] * (frame.shape[1] - 1)]]
    return "\n".join("| " + " | ".join(row) + " |" for row in [*rows, *frame.values])


def spread(mean: pd.Series, deviation: pd.Series, digits: int = 3) -> list[str]:
    pairs = zip(mean, deviation, strict=True)
    return [f"{m:.{digits}f} ± {s:.{digits}f}" for m, s in pairs]


def rates() -> str:
    """VAE and VQ-VAE at equal nominal bits, three seeds."""
    of = pd.DataFrame(benchmark("rate_distortion")["settled"])
    gap = pd.json_normalize(of["difference"])
    of["gap"] = [
        f"{m:+.3f} ({low:+.3f} to {high:+.3f})"
        for m, low, high in zip(gap["mean"], gap["low"], gap["high"], strict=True)
    ]
    ssim, psnr, edges = (of[of["score"] == s] for s in ("ssim", "psnr", "edges"))
    return table(
        pd.DataFrame(
            {
                "test split": ssim["data"].map(DATA).tolist(),
                "bits": [f"{bits:,.0f}" for bits in ssim["bits"]],
                "SSIM: VAE": spread(ssim["vae"], ssim["vae_sd"]),
                "SSIM: VQ-VAE": spread(ssim["vqvae"], ssim["vqvae_sd"]),
                "VQ-VAE − VAE (95 %)": ssim["gap"].tolist(),
                "PSNR, dB": psnr["gap"].tolist(),
                "edges in place": edges["gap"].tolist(),
            }
        )
    )


def codecs() -> str:
    """Both models (the better grid) and image codecs at the same bytes per slice."""
    stored, place = benchmark("codecs"), ["data", "size", "bits"]
    of_models = pd.DataFrame(stored["rows"])
    of_models["ssim"] = [score["mean"] for score in of_models["ssim"]]
    by_grid = of_models.groupby([*place, "kind", "grid"])["ssim"].mean()
    best = by_grid.groupby([*place, "kind"]).max().unstack()
    found = {
        "VAE": best["vae"].map("{:.3f}".format),
        "VQ-VAE": best["vqvae"].map("{:.3f}".format),
    }
    of_codecs = pd.DataFrame(stored["codecs"]).set_index(place)
    of_codecs["text"] = [
        f"{score['mean']:.3f}" + ("" if met == 1 else f" ({size:,.0f} bytes)")
        for score, met, size in of_codecs[["ssim", "met", "mean_bytes"]].values
    ]
    for name, rows in of_codecs.groupby("codec", sort=False):
        found[name] = rows["text"]
    frame = pd.DataFrame(found).reset_index()
    split = frame["data"].map(DATA) + ", " + frame["size"].str.replace("x", " × ")
    frame.insert(0, "test split", split)
    frame.insert(1, "bytes", [f"{bits / 8:,.0f}" for bits in frame["bits"]])
    frame = frame.sort_values(["size", "data", "bits"]).drop(columns=place)
    return table(frame.fillna("–"))


CARD = {  # columns of the table of samples: heading, digits
    "texture": ("KID, texture", 1),
    "precision": ("precision", 2),
    "recall": ("recall", 2),
    "areas": ("organ areas", 2),
    "pieces": ("organ pieces", 1),
    "places": ("organ positions", 2),
    "agreement": ("agreement", 2),
    "prostate": ("… prostate", 2),
    "told apart": ("told apart", 2),
    "copies": ("copies", 2),
}


def shipped(what: str = "cards") -> dict:
    return load_json(ROOT / "vqlib" / "shipped" / "card.json")[what]


def card() -> str:
    """The shipped generator beside other patients and decoded test slices."""
    rows = []
    for name, scores in shipped().items():
        row = {"slices": name}
        for key, (heading, digits) in CARD.items():
            value = scores[key]
            if isinstance(value, list):  # mean and interval
                value = value[0]
            row[heading] = "–" if value is None else f"{value:.{digits}f}"
        rows.append(row)
    return table(pd.DataFrame(rows))


def usefulness() -> str:
    """What the shipped generator's pairs are worth to a segmenter."""
    dice = pd.DataFrame(shipped("usefulness"))
    columns = {"trained on": list(dice), "Dice": spread(dice.mean(), dice.std())}
    return table(pd.DataFrame(columns))


def blind() -> str:
    """How often reviewers found the drawn slice of a pair."""
    stored = benchmark("blind_test")
    rows = [
        {
            "beside": beside,
            f"right of {stored['pairs']}": ", ".join(map(str, test["right"])),
            "by chance as many": ", ".join(f"{p:.2g}" for p in test["chance"]),
        }
        for beside, test in stored["tests"].items()
    ]
    return table(pd.DataFrame(rows))


def generation(data: str = "phantom") -> pd.DataFrame:
    """Every stored set of the two families, and of a VQ-VAE-2 beside them."""
    other = benchmark("vqvae2")["rows"]
    other = [row for row in other if not row["set"].startswith("ceiling")]  # of test
    rows = pd.DataFrame(benchmark("generation")["rows"] + other)
    return rows[rows["data"] == data]


def sets(rows: pd.DataFrame, by: list[str], scores: dict) -> str:
    """A table of scores: mean over the seeds stored, their standard deviation and, in
    brackets, the standard error over test patients."""
    grouped = rows.groupby(by, sort=False)
    found = grouped[by].first()
    patients = pd.json_normalize(rows["patients"].where(rows["patients"].notna(), {}))
    patients = patients.set_index(rows.index).reindex(columns=list(scores))
    errors = patients.groupby([rows[key] for key in by], sort=False).mean()
    for key, (heading, digits) in scores.items():
        if rows[key].notna().any():
            values = grouped[key].mean().astype(float), grouped[key].std().astype(float)
            three = zip(*values, errors[key], strict=True)
            found[heading] = [figure(*numbers, digits) for numbers in three]
    return table(found.assign(seeds=grouped["seed"].nunique().map(str)))


def figure(mean: float, deviation: float, error: float, digits: int) -> str:
    if pd.isna(mean):
        return "–"
    text = f"{mean:,.{digits}f}"
    text += "" if pd.isna(deviation) else f" ± {deviation:.{digits}f}"
    # 0: test patients do not enter this score
    return f"{text} ({error:.{digits}f})" if error > 0 else text


def families() -> str:
    """Both families, with label maps first and without, floor and ceilings beside."""
    rows = generation().query("share == 1")
    return sets(rows, ["set"], CARD | {"bits": ("bits a slice", 0)})


def families_real() -> str:
    """Both families on real slices, which have no label maps."""
    rows = generation("real").query("share == 1")
    return sets(rows, ["set"], CARD | {"bits": ("bits a slice", 0)})


def scaling() -> str:
    """Both families with other numbers of steps, and what a slice costs."""
    rows = generation().query("seed == 0 and seconds.notna()")
    rows = rows[rows["set"].str.endswith("first") & ~rows["set"].str.startswith("ceil")]
    rows = rows.sort_values(["set", "share"], ascending=[False, True])
    parts = pd.json_normalize(rows["seconds"]).set_index(rows.index)
    rows["autoencoder"] = parts[["sharp_vqvae", "sharp_vae"]].sum(axis=1)
    rows["prior"] = parts[["prior", "flow"]].sum(axis=1)
    rows["milliseconds"] = rows["sampling_seconds"] * 1000
    rows["steps"] = rows["share"].map("{:g} ×".format)
    more = {
        "autoencoder": ("autoencoder, s", 0),
        "prior": ("its prior, s", 0),
        "milliseconds": ("ms a slice", 0),
        "bits": ("bits a slice", 0),
    }
    return sets(rows, ["set", "steps"], CARD | more)


def critic_terms() -> str:
    """What the critic's part of the loss is made of, and what else might help."""
    rows = pd.DataFrame(benchmark("critic_terms")["rows"])
    return sets(rows, ["set"], {"ssim": ("SSIM", 3)} | CARD)


def network() -> str:
    """Candidates for the network after equal processor time."""
    rows = pd.DataFrame(benchmark("network")["rows"])
    rows = rows.sort_values("val_ssim", ascending=False)
    return table(
        pd.DataFrame(
            {
                "candidate": rows["network"],
                "GFLOP per slice": rows["gflop_per_slice"].map("{:.2f}".format),
                "slices seen": rows["slices_seen"].map("{:,}".format),
                "SSIM": rows["val_ssim"].map("{:.3f}".format),
                "PSNR, dB": rows["val_psnr"].map("{:.2f}".format),
            }
        )
    )


def losses() -> str:
    """Candidates for the loss after equal processor time, three seeds."""
    rows = pd.DataFrame(benchmark("distortions")["table"])
    rows = rows.sort_values("ssim", ascending=False)
    scores = {"ssim": ("SSIM", 3), "psnr": ("PSNR, dB", 2), "ms_ssim": ("MS-SSIM", 3)}
    columns = {"loss": rows["distortion"]}
    for key, (heading, digits) in scores.items():
        columns[heading] = spread(rows[key], rows[f"{key}_sd"], digits)
    return table(pd.DataFrame(columns))


def cost() -> str:
    """Ours and other people's VQ-VAEs after equal processor time."""
    rows = pd.DataFrame(benchmark("quality_at_equal_cost")["rows"])
    rows["ssim"] = [score["mean"] for score in rows["ssim"]]
    rows["place"] = rows["data"].map(DATA) + ", " + rows["grid"].str.replace("x", " × ")
    rows["trained by"] = rows["recipe"].map({"ours": "our schedule", "own": "its own"})

    def cell(group: pd.DataFrame) -> str:
        deviation = f" ± {group['ssim'].std():.3f}" if len(group) > 1 else ""
        codes = group["codes_used"].mean()
        return f"{group['ssim'].mean():.3f}{deviation}, {codes:.0f} codes"

    cells = rows.groupby(["model", "trained by", "place"], sort=False)[
        ["ssim", "codes_used"]
    ].apply(cell)
    return table(cells.unstack().reset_index().fillna("–"))


def costs() -> str:
    """Parameters, arithmetic and memory of each model."""
    rows = pd.DataFrame(benchmark("model_costs")["rows"])
    return table(
        pd.DataFrame(
            {
                "profile": rows["profile"]
                + ", "
                + rows["size"].str.replace("x", " × "),
                "model": rows["model"].replace(MODELS),
                "parameters": rows["parameters"].map("{:,}".format),
                "GFLOP per slice": rows["gflop_per_slice"].map("{:,.1f}".format),
                "batch": rows["batch"].astype(str),
                "memory, MiB": rows["peak_mib"].map("{:,.0f}".format),
                "hours at 20 TFLOP/s": rows["gpu_hours"].map("{:.2f}".format),
            }
        )
    )


def loading() -> str:
    """How fast a folder is opened, beside a plain loop over its files."""
    stored = benchmark("data_loading")
    ratio = {name: row["ratio"] for name, row in stored["times"].items()}
    return (
        f"Measured on {stored['slices']:,} phantom slices with labels, as many as "
        f"HipMRI has, on {stored['cores']} cores, beside a loop of "
        "`nibabel.load(path).get_fdata()` over the images: the first opening is "
        f"{ratio['first opening']:.1f} times as fast, a later one "
        f"{ratio['later opening']:.0f} times, an epoch of shuffled batches "
        f"{ratio['epoch']:.0f} times (`data_loading.json`)."
    )


def findings(results: dict) -> str:
    """Three findings of README, in the words that the numbers allow."""
    ssim = {
        name: results[kind]["ssim"]["mean"]
        for name, kind in (("VAE", "vae"), ("VQ-VAE", "vqvae"))
    }
    first = max(ssim, key=ssim.get)
    settled = benchmark("rate_distortion")["settled"]
    lines = [line for line in settled if line["score"] == "ssim"]
    gaps = [gap for line in lines for gap in line["by_seed"]]
    sets, rates = ({line[key] for line in lines} for key in ("data", "bits"))
    flow, prior = results["flow"], results["prior"]
    cards = shipped()
    floor = cards["floor: other patients"]
    ours = pd.DataFrame([c for name, c in cards.items() if name.startswith("shipped")])
    rows = generation().query("share == 1")
    short = rows.groupby("set")["areas"].mean()
    areas = {
        way: " and ".join(
            f"{short[f'{family}, {way}']:.0%}"
            for family in ("VQ-VAE + transformer", "VAE + flow")
        )
        for way in ("organs first", "plain")
    }
    return (
        f"1. At equal nominal bits the {first} reconstructs better: SSIM "
        f"{max(ssim.values()):.3f} against {min(ssim.values()):.3f}. The VAE is ahead "
        f"in {sum(gap < 0 for gap in gaps)} of {len(gaps)} further comparisons "
        f"({len(sets)} data sets, {len(rates)} rates, "
        f"{len(lines[0]['by_seed'])} seeds).\n"
        "2. Both families can have a learned prior. Given a slice's label map, and for "
        "patients it has not seen, it "
        f"shortens the codes of a VQ-VAE from {prior['uniform_bits']:,.0f} bits a "
        f"slice to {prior['bits_per_slice']:,.0f}, and the latents of a VAE from "
        f"{flow['kl_bits']:,.0f} to {flow['bits_per_slice']:,.0f}.\n"
        "3. Draw a label map first, then the slice, and new slices have the anatomy of "
        "other patients. A segmenter finds the organs of the map in them (Dice "
        f"{ours['agreement'].mean():.2f}; in held-out slices "
        f"{floor['agreement']:.2f}), and organ areas are off by "
        f"{ours['areas'].mean():.0%} (those of other patients by "
        f"{floor['areas']:.0%}). So it is for the trained generator. After the short "
        f"training of the notebooks, areas are off by {areas['organs first']} (VQ-VAE "
        f"and VAE); without a map by {areas['plain']}."
    )


def main_rows(results: dict) -> str:
    """The rows of the results table that README shows."""
    wanted = ("SSIM", "… 95 %", "PSNR", "bits per slice", "… under", "seconds")
    head, rule, *rows = as_markdown(results).splitlines()
    kept = [row for row in rows if row.removeprefix("| ").startswith(wanted)]
    return "\n".join([head, rule, *(r for r in kept if "inside" not in r)])


def minutes(seconds: float) -> str:
    count = max(1, round(seconds / 60))
    return f"{count} minute" + ("s" if count > 1 else "")


def with_blocks(page: str, texts: dict[str, str]) -> str:
    """The page with each text between its markers, which must be there."""
    for name, text in texts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = page.split(begin)
        old, after = rest.split(end)
        space = "\n" if old.startswith("\n") else ""
        page = f"{before}{begin}{space}{text}{space}{end}{after}"
    return page


def with_duration(notebook: str, seconds: float) -> str:
    """The text of a notebook file with its opening's time filled in."""
    cells = json.loads(notebook)
    for cell in cells["cells"][:2]:
        text = DURATION.sub(rf"\g<1>{minutes(seconds)}\g<3>", "".join(cell["source"]))
        cell["source"] = text.splitlines(keepends=True)
    return json.dumps(cells, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def pages(results: dict) -> dict[Path, str]:
    """Every file that quotes a number, as it should be."""
    seconds = results.get(SECONDS, {})
    in_readme = {"results": main_rows(results), "findings": findings(results)}
    in_readme["time"] = minutes(sum(seconds.values()))
    tables = (rates, codecs, card, usefulness, blind, families, families_real)
    tables += (scaling, critic_terms, network, losses, cost, costs, loading)
    in_docs = {write.__name__: write() for write in tables}
    found = {
        path: with_blocks(path.read_text(encoding="utf-8"), texts)
        for path, texts in (
            (README, in_readme),
            (ROOT / "docs" / "results.md", in_docs),
        )
    }
    for stem, taken in seconds.items():
        path = ROOT / "notebooks" / f"{stem}.ipynb"
        found[path] = with_duration(path.read_text(encoding="utf-8"), taken)
        row = rf"(\(notebooks/{stem}\.ipynb\) \| )\d+"  # of README's table
        found[README] = re.sub(row, rf"\g<1>{minutes(taken).split()[0]}", found[README])
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="quick")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if not given.check:
        results = collect(run_folder(given.run))
        times = run_folder(given.run) / f"{SECONDS}.json"
        if times.exists():
            results[SECONDS] = load_json(times)
        save_json(STORED, results)
    stale = [
        (path, text)
        for path, text in pages(load_json(STORED)).items()
        if path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        print(path.name, "differs" if given.check else "written")
        if not given.check:
            save_text(path, text)
    if given.check and stale:
        sys.exit(f"the numbers are not the stored ones; run {Path(__file__).name}")
