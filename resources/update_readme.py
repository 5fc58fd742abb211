"""Write measured numbers into README.md and the notebooks; none is copied by hand.

    python resources/update_readme.py [--run quick]

stores the run's results in ``results_quick.json``, writes the tables between README's
markers (this run's, and those of ``benchmarks/results``), and how long each notebook
took into its opening. With ``--check`` it changes nothing and exits with 1 unless all
of it is what the stored files say.
"""

import argparse
import json
import re
import statistics
import sys
from pathlib import Path

from vqlib.results import MODELS as TITLES
from vqlib.results import as_markdown, collect
from vqlib.runs import Run, load_json, save_json, save_text

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks" / "results"
SECONDS = "notebook_seconds"
DURATION = re.compile(r"(Quick profile on two CPU cores: about \*\*)(.*?)(\*\*)")
MODELS = {"vae": "VAE, spatial", "vqvae": "VQ-VAE"}
SOURCES = {"phantom": "phantom", "real_slices": "real slices"}


def rows_of(cells: list[list[str]]) -> str:
    """A Markdown table; the first row holds its headings."""
    rule = ["---", *["---:"] * (len(cells[0]) - 1)]
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [cells[0], rule, *cells[1:]]
    )


def lines_of(stored: dict, score: str) -> list[dict]:
    """What is settled about one score, by data and rate."""
    return [line for line in stored["settled"] if line["score"] == score]


def rates_table(stored: dict) -> str:
    """VAE and VQ-VAE at equal rates: SSIM over the seeds, and who is ahead in what."""
    heads = [f"SSIM: {name}" for name in MODELS.values()]
    gaps = ["VQ-VAE − VAE (95 %)", "PSNR, dB", "edges in place"]
    cells = [["test split", "bits", "seeds", *heads, *gaps]]
    scores = {"ssim": "+.3f", "psnr": "+.2f", "edges": "+.3f"}
    found = (lines_of(stored, score) for score in scores)
    for lines in zip(*found, strict=True):
        first = lines[0]
        seeds = len(first["by_seed"])
        row = [SOURCES[first["data"]], f"{first['bits']:,.0f}", str(seeds)]
        for kind in MODELS:
            spread = f" ± {first[f'{kind}_sd']:.3f}" if seeds > 1 else ""
            row.append(f"{first[kind]:.3f}{spread}")
        for line, form in zip(lines, scores.values(), strict=True):
            mean, low, high = (
                format(line["difference"][key], form) for key in ("mean", "low", "high")
            )
            row.append(f"{mean} ({low} to {high})")
        cells.append(row)
    return rows_of(cells)


def rates_words(stored: dict) -> str:
    """What the seeds say, in a sentence for each data set."""
    sentences = [f"Each training has the arithmetic of {stored['steps']} steps."]
    lines = lines_of(stored, "ssim")
    for data, name in SOURCES.items():
        parts = []
        for line in (line for line in lines if line["data"] == data):
            gaps, spread = line["by_seed"], line["difference_sd"]
            mean, ahead = statistics.mean(gaps), sum(gap > 0 for gap in gaps)
            if len(gaps) < 2:
                continue
            if abs(mean) < spread or 0 < ahead < len(gaps):
                verdict = "the seed decides who is ahead"
            else:
                verdict = f"the {'VQ-VAE' if mean > 0 else 'VAE'} is ahead every time"
            parts.append(
                f"at {line['bits']:,.0f} bits {verdict} ({mean:+.3f} on average over "
                f"{len(gaps)} seeds, standard deviation {spread:.3f})"
            )
        if parts:
            sentences.append(f"On the {name}, in SSIM, {'; '.join(parts)}.")
    return " ".join(sentences)


def codecs_table(stored: dict) -> str:
    """Both models and image codecs at the same bytes; where a model was trained on
    several grids, the better one."""
    forms = list(dict.fromkeys(row["codec"] for row in stored["codecs"]))
    cells = [["test split", "bytes", *MODELS.values(), *forms]]

    def key(row: dict) -> tuple:
        return row["data"], row["size"], row["bits"]

    for place in dict.fromkeys(map(key, stored["codecs"])):
        data, size, bits = place
        line = [f"{SOURCES[data]}, {size.replace('x', ' × ')}", f"{bits / 8:,.0f}"]
        models = [row for row in stored["rows"] if key(row) == place]
        for kind in MODELS:
            ways: dict[str, list[float]] = {}
            for row in (row for row in models if row["kind"] == kind):
                ways.setdefault(row["grid"], []).append(row["ssim"]["mean"])
            best = max(map(statistics.mean, ways.values()), default=None)
            line.append("–" if best is None else f"{best:.3f}")
        codecs = {row["codec"]: row for row in stored["codecs"] if key(row) == place}
        for row in map(codecs.get, forms):
            larger = "" if row["met"] == 1 else f" ({row['mean_bytes']:,.0f} bytes)"
            line.append(f"{row['ssim']['mean']:.3f}{larger}")
        cells.append(line)
    return rows_of(cells)


def codecs_words(stored: dict) -> str:
    """How the models of each size were trained."""
    trained: dict[tuple, list[int]] = {}
    for row in stored["rows"]:
        if row["grid"] == "32x16":  # on other grids a step costs more or less
            trained.setdefault((row["size"], row["steps"]), []).append(row["seed"])
    ways = [
        f"at {size.replace('x', ' × ')} for {steps} steps with "
        + (f"{max(seeds) + 1} seeds" if max(seeds) else "one seed")
        for (size, steps), seeds in trained.items()
    ]
    return f"Models were trained {', '.join(ways)} (`{stored['command']}`)."


def longer_words(stored: dict) -> str:
    """Where the curve of SSIM against training time points."""
    sentences = []
    for found in stored["fits"]:
        rows = [row for row in stored["rows"] if row["data"] == found["data"]]
        scores = ", ".join(f"{row['ssim']['mean']:.3f}" for row in rows)
        lengths = ", ".join(f"{row['length']:g}" for row in rows)
        longest, after = rows[-1]["length"], found["next"]
        words = (
            f"On the {SOURCES[found['data']]} the VQ-VAE reaches {scores} with "
            f"{lengths} times the quick profile's {stored['steps']} steps. The law "
            f"c − a n^−b through them has its ceiling c at {found['ceiling']:.3f} and "
            f"foretells {after['ssim']:.3f} for {after['length']:g} times"
        )
        if tried := found.get("tried"):
            words += (
                f" (fitted without the longest training it foretold "
                f"{tried['foretold']:.3f} for that one)"
            )
        meets = []
        for codec, length in found["reaches"].items():
            if length is None:
                meets.append(f"{codec} at no length")
            elif length < rows[0]["length"]:
                meets.append(f"{codec} before the shortest")
            else:
                sure = "" if length <= longest else ", if the law holds,"
                meets.append(f"{codec}{sure} at {length:.2g} times")
        sentences.append(f"{words}; it is level with {'; with '.join(meets)}.")
    return " ".join(sentences) + f" (`{stored['command']}`; one seed.)"


def network_table(stored: dict) -> str:
    """The choice of the network: validation SSIM after equal processor time."""
    first = f"candidate, {stored['cpu_seconds']:g} s of one core"
    cells = [[first, "GFLOP per slice", "slices seen", "SSIM", "PSNR, dB"]]
    for row in sorted(stored["rows"], key=lambda row: -row["val_ssim"]):
        cells.append(
            [
                row["network"],
                f"{row['gflop_per_slice']:.2f}",
                f"{row['slices_seen']:,}",
                f"{row['val_ssim']:.3f}",
                f"{row['val_psnr']:.2f}",
            ]
        )
    return rows_of(cells)


def distortions_table(stored: dict) -> str:
    """The choice of the loss: validation scores after equal processor time."""
    titles = ("SSIM", "PSNR, dB", "MS-SSIM", "edges in place")
    first = f"loss, {stored['cpu_seconds']:g} s of one core, {stored['seeds']} seeds"
    cells = [[first, "slices seen", *titles]]
    for row in sorted(stored["table"], key=lambda row: -row["ssim"]):
        scores = [
            f"{row[score]:.{digits}f} ± {row[f'{score}_sd']:.{digits}f}"
            for score, digits in (
                ("ssim", 3),
                ("psnr", 2),
                ("ms_ssim", 3),
                ("edges", 3),
            )
        ]
        cells.append([row["distortion"], f"{row['slices_seen']:,.0f}", *scores])
    return rows_of(cells)


def distortions_words(stored: dict) -> str:
    """Which losses are ahead of the profile's, and which behind, with every seed."""
    of: dict[str, dict[int, dict]] = {}
    for row in stored["rows"]:
        of.setdefault(row["distortion"], {})[row["seed"]] = row
    ours = next(name for name in of if name.endswith("(vqlib)"))

    scores = ("ssim", "psnr", "ms_ssim", "edges")

    def names(sign: int) -> str:
        found = [
            name
            for name in of
            if name != ours
            and all(
                sign * (row[score] - of[ours][seed][score]) > 0
                for seed, row in of[name].items()
                for score in scores
            )
        ]
        return ", ".join(found) or "none"

    return (
        f"With every seed, ahead of vqlib's in all four scores: {names(1)}; "
        f"behind in all four: {names(-1)} (`{stored['command']}`)."
    )


def equal_cost_table(stored: dict) -> str:
    """Test SSIM after equal processor time, and codes used: means over the seeds."""
    places = sorted({(row["data"], row["grid"]) for row in stored["rows"]})
    first = f"trained for {stored['cpu_seconds']:g} s of one core"
    titles = [f"{SOURCES[d]}, {g.replace('x', ' × ')}" for d, g in places]
    found: dict[tuple[str, str], dict] = {}
    for row in stored["rows"]:
        of_model = found.setdefault((row["model"], row["recipe"]), {})
        of_model.setdefault((row["data"], row["grid"]), []).append(row)
    cells = [[first, "trained by", *titles]]
    for (model, recipe), of_model in found.items():
        line = [model, "its own habits" if recipe == "own" else "our schedule"]
        for place in places:
            rows = of_model.get(place, [])
            if not rows:
                line.append("–")
                continue
            scores = [row["ssim"]["mean"] for row in rows]
            spread = f" ± {statistics.stdev(scores):.3f}" if scores[1:] else ""
            codes = statistics.mean(row["codes_used"] for row in rows)
            word = "code" if codes == 1 else "codes"
            line.append(f"{statistics.mean(scores):.3f}{spread}, {codes:.0f} {word}")
        cells.append(line)
    return rows_of(cells)


def equal_cost_words(stored: dict) -> str:
    """Who is ahead, with each seed, and how far ours is in a fifth of the time."""
    sentences = []
    for line in (x for x in stored["verdict"] if x["score"] == "ssim"):
        gaps = ", ".join(f"{gap:+.3f}" for gap in line["by_seed"])
        fifth = line["ours_in_a_fifth"] - line["rival"]
        sentences.append(
            f"On the {SOURCES[line['data']]} at {line['grid'].replace('x', ' × ')} "
            f"codes ours is {gaps} from the best rival ({line['best_rival']}; "
            f"{'by seed' if line['by_seed'][1:] else 'one seed'}), and {fifth:+.3f} "
            "after a fifth of the time."
        )
    return " ".join(sentences)


CARD = {  # columns of README's table of samples: heading, digits
    "texture": ("Fréchet (texture)", 0),
    "shape": ("Fréchet (segmenter)", 0),
    "precision": ("precision", 2),
    "recall": ("recall", 2),
    "areas": ("organ areas", 2),
    "neighbours": ("organ neighbours", 2),
    "places": ("organ positions", 2),
    "nearest": ("to the nearest training slice", 2),
}


def card_table(stored: dict) -> str:
    """The score card: real slices, samples of each model, controls."""
    cells = [["slices", *(heading for heading, _ in CARD.values())]]
    first = ("real, other patients", "real codes, decoded", "VQ-VAE + prior")
    names = [*first, *sorted(stored["cards"].keys() - set(first), reverse=True)]
    for name in names:
        card = stored["cards"][name]
        values = ((card[key], digits) for key, (_, digits) in CARD.items())
        cells.append([name, *("–" if v is None else f"{v:.{n}f}" for v, n in values)])
    return rows_of(cells)


def card_words(stored: dict) -> str:
    """Where the prior's samples come first, where not, and what they are good for."""
    real = ("real, other patients", "real codes, decoded")
    sets = {n: card for n, card in stored["cards"].items() if n not in real}
    ahead, behind = [], []
    for key, (heading, _) in CARD.items():
        there = {
            name: card[key] for name, card in sets.items() if card[key] is not None
        }
        if key == "nearest":
            continue  # neither near nor far is good
        best = (max if key in ("precision", "recall") else min)(there, key=there.get)
        ours = best == "VQ-VAE + prior"
        (ahead if ours else behind).append(heading if ours else f"{heading}: {best}")
    useful = {name: dice["mean"] for name, dice in stored["usefulness"].items()}
    with_samples = useful["real and VQ-VAE + prior"]
    others = f"; others are first in {'; '.join(behind)}" if behind else ""
    return (
        f"Of {len(sets)} ways to make slices the VQ-VAE with its prior is first in "
        f"{', '.join(ahead) or 'nothing'}{others}. A segmenter trained on "
        f"{stored['samples']} real slices reaches a mean Dice of {useful['real']:.2f} "
        f"on the test patients, on as many samples {useful['VQ-VAE + prior']:.2f}, on "
        f"both {with_samples:.2f} (`{stored['command']}`)."
    )


def loading_words(stored: dict) -> str:
    """How fast a folder is opened, beside the plain loop over its files."""
    ratio = {name: row["ratio"] for name, row in stored["times"].items()}
    peaks = stored["peak_memory_mb"]
    alone = peaks["the loader, first opening"]["an epoch"]
    within = peaks["with PyTorch, first opening"]
    own = within["an epoch"] - within["import torch"]
    return (
        f"Measured on {stored['slices']:,} phantom slices with labels, as many as "
        f"HipMRI has, on {stored['cores']} cores: beside a loop of "
        "`nibabel.load(path).get_fdata()` over the images alone, the first opening is "
        f"{ratio['first opening']:.1f} times as fast, a later one "
        f"{ratio['later opening']:.0f} times, and a shuffled epoch of batches "
        f"{ratio['epoch']:.0f} times. The process that decodes and reads takes {alone} "
        f"MB at its peak, all in all; one that has PyTorch loaded, whose import takes "
        f"{within['import torch']} MB, takes {own} MB more. Making a phantom of that "
        f"size took {stored['phantom_seconds'] / 60:.1f} minutes "
        "(`python benchmarks/data_loading.py --store`)."
    )


def costs_table(stored: dict) -> str:
    """What each model needs, by profile."""
    cells = [["profile", "model", "parameters", "GFLOP per slice", "batch", "memory"]]
    for row in stored["rows"]:
        cells.append(
            [
                f"{row['profile']}, {row['size'].replace('x', ' × ')}",
                TITLES.get(row["model"], row["model"]),
                f"{row['parameters']:,}",
                f"{row['gflop_per_slice']:,.1f}",
                f"{row['batch']}",
                memory(row["peak_mib"]),
            ]
        )
    return rows_of(cells)


def costs_words(stored: dict) -> str:
    """What the table cannot tell: the prior's sampling, and a count that was tried."""
    caches = " and ".join(
        f"{memory(row['cache_mib_per_slice'])} ({row['profile']})"
        for row in stored["rows"]
        if row.get("cache_mib_per_slice")
    )
    tried = stored["check"]
    return (
        f"Sampling with the transformer keeps {caches} of keys and values for each "
        f"slice. The count tried "
        f"on the {tried['profile']} profile's {TITLES[tried['model']]} with batches of "
        f"{tried['batch']}, on a CPU: {memory(tried['counted_mib'])} are counted; the "
        f"process grows by {memory(tried['measured_mib_returning'])} where the C "
        "library returns at once what is freed, and by "
        f"{memory(tried['measured_mib_usual'])} where it keeps it, as it usually does "
        "(`python benchmarks/model_costs.py --check --store`)."
    )


def scaling_words(stored: dict) -> str:
    """With which power a training step grows, and what other ways of it cost."""
    powers = ", ".join(
        f"{row['exponent']:.2f} with {row['quantity']}" for row in stored["scaling"]
    )
    usual = {
        row["profile"]: row["milliseconds"]
        for row in stored["ways"]
        if row["way"] == "float32"
    }
    ways: dict[str, list[str]] = {}
    for row in stored["ways"]:
        if row["way"] != "float32":
            ratio = row["milliseconds"] / usual[row["profile"]]
            ways.setdefault(row["way"], []).append(f"{ratio:.2f} ({row['profile']})")
    others = "; ".join(f"{way} {', '.join(times)}" for way, times in ways.items())
    where = "one core" if stored["device"] == "cpu" else "a GPU"
    return (
        f"Exponents of a step of the VQ-VAE on {where}, fitted to the three largest "
        f"sizes: {powers}. Its time in other ways, in units of float32's: {others} "
        f"(`{stored['command']}`)."
    )


def memory(mib: float) -> str:
    """MiB, or GiB where there are many."""
    return f"{mib / 1024:.1f} GiB" if mib >= 1000 else f"{mib:.3g} MiB"


def duration(seconds: float) -> str:
    """Minutes, as one tells a reader."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute" + ("s" if minutes > 1 else "")


def blocks(results: dict) -> dict[str, str]:
    """What belongs between the markers of README.md, by name."""
    found = {"results": as_markdown(results)}
    if SECONDS in results:
        found["time"] = duration(sum(results[SECONDS].values()))
    for name, writers in {
        "rate_distortion": {"seeds": rates_table, "seeds-words": rates_words},
        "codecs": {"codecs": codecs_table, "codecs-words": codecs_words},
        "training_time": {"longer": longer_words},
        "network": {"network": network_table},
        "distortions": {
            "distortions": distortions_table,
            "distortions-words": distortions_words,
        },
        "quality_at_equal_cost": {
            "cost": equal_cost_table,
            "cost-words": equal_cost_words,
        },
        "score_card": {"card": card_table, "card-words": card_words},
        "model_costs": {"costs": costs_table, "costs-words": costs_words},
        "scaling": {"scaling-words": scaling_words},
        "data_loading": {"loading": loading_words},
    }.items():
        path = BENCHMARKS / f"{name}.json"
        if path.exists():
            found |= {key: write(load_json(path)) for key, write in writers.items()}
    return found


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
        source = "".join(cell["source"])
        text = DURATION.sub(rf"\g<1>{duration(seconds)}\g<3>", source)
        if text != source:
            cell["source"] = text.splitlines(keepends=True)
    return json.dumps(cells, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def pages(results: dict) -> dict[Path, str]:
    """Every file that quotes a number, as it should be."""
    readme = ROOT / "README.md"
    found = {readme: with_blocks(readme.read_text(encoding="utf-8"), blocks(results))}
    for stem, seconds in results.get(SECONDS, {}).items():
        path = ROOT / "notebooks" / f"{stem}.ipynb"
        found[path] = with_duration(path.read_text(encoding="utf-8"), seconds)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="quick")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    stored = Path(__file__).with_name("results_quick.json")
    if not given.check:
        results, times = (
            collect(Run(given.run)),
            Run(given.run).folder / f"{SECONDS}.json",
        )
        if times.exists():
            results[SECONDS] = load_json(times)
        save_json(stored, results)
    stale = [
        (path, text)
        for path, text in pages(load_json(stored)).items()
        if path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        print(path.name, "differs" if given.check else "written")
        if not given.check:
            save_text(path, text)
    if given.check and stale:
        sys.exit(
            f"the numbers are not those of {stored.name}; run {Path(__file__).name}"
        )
