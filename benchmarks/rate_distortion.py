"""VAE and VQ-VAE at equal rate and cost: who reconstructs better, over several seeds?

At each rate a VQ-VAE stands against a VAE with spatial latents whose KL is held at the
VQ-VAE's nominal bits. Both have the same kind of encoder and decoder, the same
distortion and slices, and equal arithmetic: a network that costs less per slice takes
more steps. Beside them the textbook's VAE, an autoencoder without a limit, and image
codecs at the same bytes. The trainings lie in ``runs/benchmark-…``, so an interrupted
run goes on.

    python benchmarks/rate_distortion.py --real DIR --store
    python benchmarks/rate_distortion.py --real DIR --size 256x128 --store

The second form compares both models with the codecs at another size; it stores
``codecs.json``, to which it adds what the first one stored.
"""

import statistics
import time

import click
import numpy as np
import torch
from common import RESULTS, circumstances, spread, tell
from image_codecs import LOSSY_FORMS, available, header_bytes, lossy_within
from torch.utils.flop_counter import FlopCounterMode

from lessons.sharpness import edge_recovery
from vqlib import Experiment, metrics, profiles, recipes
from vqlib.data import SliceData, open_data
from vqlib.runs import Run, load_json, read_history, save_json

SCORES = ("ssim", "psnr", "ms_ssim", "edges")  # edges: the share that is in place
# size: for each rate the VQ-VAE's grid and K; the VAE's grid, and the K that makes as
# many bits on it
RATES = {
    "128x64": (
        ("16x8", 256, "32x16", 4),
        ("32x16", 32, "32x16", 32),
        ("32x16", 512, "32x16", 512),
    ),
    "64x32": (("8x4", 16, "16x8", 2), ("16x8", 16, "16x8", 16)),  # the smoke profile
}
WAYS = {"128x64": (("32x16", 4), ("64x32", 5)), "64x32": (("16x8", 2),)}
LARGER = (("32x16", 512), ("64x32", 512))  # grid and K of --size


def flops(kind: str, profile: profiles.Profile) -> int:
    """Of one slice, there and back."""
    model = recipes.build(kind, profile).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.reconstruct(torch.zeros(1, 1, *profile.shape))
    return counter.get_total_flops()


def at(base: profiles.Profile, grid: str, size: int) -> profiles.Profile:
    """The profile with another grid and K, trained with as much arithmetic."""
    changes = {"grid": grid, "codebook_size": size}
    profile = base.changed(**changes)
    if grid == base.grid or base.autoencoder.epochs:
        return profile
    steps = round(base.steps * flops("vqvae", base) / flops("vqvae", profile))
    return profile.changed(steps=steps)


def run_of(profile: profiles.Profile, data: str, seed: int) -> Run:
    """``benchmark-DATA-SEED`` and what differs from the quick profile."""
    usual = profiles.get("quick").as_dict()
    others = ("name", "size", "grid", "codebook_size", "steps")
    changed = [str(v) for k in others if (v := getattr(profile, k)) != usual[k]]
    return Run("-".join(["benchmark", data, str(seed), *changed]))


def trained(kind: str, profile, data: SliceData, run: Run, seed: int):
    """The model, and the seconds of an epoch: processor time where it was trained by
    this script, else what the loop measured."""
    marks = [time.process_time()]
    lab = Experiment(profile, None, run.name, seed, "cpu")
    lab.data = data
    model = lab.train(kind, on_epoch=lambda _: marks.append(time.process_time()))
    path = run.part(kind) / "processor_time.json"
    if len(marks) > 1:
        seconds = (marks[-1] - marks[0]) / (len(marks) - 1)
        save_json(path, {"seconds_per_epoch": round(seconds, 3)})
    if path.exists():
        return model, load_json(path)["seconds_per_epoch"]
    timing = load_json(run.part(kind) / "timing.json")
    return model, timing["train_seconds"] / timing["epochs"]


@torch.no_grad()
def slice_values(reconstruct, images) -> dict[str, np.ndarray]:
    """`SCORES` of every slice."""
    parts = []
    for target in images.split(64):
        back = reconstruct(target)
        found = metrics.slice_scores(back, target)
        parts.append(found | {"edges": edge_recovery(back, target)})
    return {s: torch.cat([p[s] for p in parts]).double().numpy() for s in SCORES}


def intervals(values: dict[str, np.ndarray], patients) -> dict[str, dict]:
    return {
        name: metrics.patient_bootstrap(value, patients)._asdict()
        for name, value in values.items()
    }


def measure(kind, profile, name, data: SliceData, seed: int) -> tuple[dict, dict]:
    """Train and score one model: its row of the table, and its values by slice."""
    run = run_of(profile, name, seed)
    model, seconds = trained(kind, profile, data, run, seed)
    torch.manual_seed(seed)  # a VAE reconstructs from draws
    values = slice_values(model.reconstruct, data.test.images)
    history = read_history(run.part(kind) / "history.csv")
    found = load_json(run.part(kind) / "metrics.json")
    keep = ("bits_per_slice", "order0_bits", "perplexity", "codes_used")
    row = {
        "data": name,
        "size": profile.size,
        "kind": kind,
        "seed": seed,
        "bits": None if kind == "autoencoder" else profile.nominal_bits,
        "grid": profile.grid,
        "codebook_size": profile.codebook_size if kind == "vqvae" else None,
        "gflop_per_slice": flops(kind, profile) / 1e9,
        "steps": profile.steps,
        "seconds": round(seconds * len(history["epoch"]), 1),
        "curve": [
            [round(seconds * epoch, 1), ssim]
            for epoch, ssim in zip(history["epoch"], history["val_ssim"], strict=True)
        ],
    }
    if kind == "vae_global":
        row["bits"] = found["bits_per_slice"]  # it chooses its rate by itself
    row |= {key: found[key] for key in keep if key in found}
    row |= intervals(values, data.test.patients.numpy())
    print(
        f"{name:<12} seed {seed}  {kind:<11} {profile.grid:>6}"
        f"  K {row['codebook_size'] or '–':<4}"
        f" SSIM {row['ssim']['mean']:.3f}  PSNR {row['psnr']['mean']:.2f} dB"
        f"  edges {row['edges']['mean']:.3f}  {row['bits_per_slice'] or 0:6.0f} bits"
        f"  {row['seconds']:.0f} s",
        flush=True,
    )
    return row, values


def rates_of(base: profiles.Profile, only: tuple[int, ...]) -> list[tuple]:
    """The entries of `RATES` that are asked for; all when none is."""
    rates = RATES[base.size]
    return [r for r in rates if not only or bits_of(*r[:2]) in only]


def bits_of(grid: str, size: int) -> float:
    return metrics.nominal_bits(profiles.parse_shape("grid", grid), size)


def is_trained(kind: str, profile: profiles.Profile, name: str, seed: int) -> bool:
    return (run_of(profile, name, seed).folder / kind / "metrics.json").exists()


def compare(
    base, name, data: SliceData, seed: int, rates, controls, ways, finished: bool
):
    """Everything that is trained with one seed: rows, and for each rate the values by
    slice of VQ-VAE less VAE."""
    rows, gaps = [], {}
    for grid, size, vae_grid, vae_size in rates:
        vq, vae = at(base, grid, size), at(base, vae_grid, vae_size)
        there = (is_trained(k, p, name, seed) for k, p in (("vqvae", vq), ("vae", vae)))
        if finished and not all(there):
            continue
        row_vae, of_vae = measure("vae", vae, name, data, seed)
        row_vq, of_vq = measure("vqvae", vq, name, data, seed)
        rows += [row_vae, row_vq]
        gaps[vq.nominal_bits] = {s: of_vq[s] - of_vae[s] for s in SCORES}
    for kind in ("vae_global", "autoencoder") if controls else ():
        if finished and not is_trained(kind, base, name, seed):
            continue
        rows.append(measure(kind, base, name, data, seed)[0])
    for grid, size in WAYS[base.size] if ways else ():
        rows.append(measure("vqvae", at(base, grid, size), name, data, seed)[0])
    return rows, gaps


def settle(name: str, gaps: dict[int, dict], rows: list[dict], patients) -> list[dict]:
    """For each rate and score: both means, their spread over seeds, the difference by
    seed, and its interval over patients after averaging over seeds."""
    lines = []
    for bits in next(iter(gaps.values())):  # the first seed has every rate
        for score in SCORES:
            line = {"data": name, "bits": bits, "score": score}
            for kind, grid in (("vae", None), ("vqvae", _grid_at(rows, bits))):
                means = [
                    row[score]["mean"]
                    for row in rows
                    if (row["data"], row["kind"], row["bits"]) == (name, kind, bits)
                    and grid in (None, row["grid"])
                ]
                line[kind] = statistics.mean(means)
                line[f"{kind}_sd"] = spread(means)
            by_seed = [of[bits][score] for of in gaps.values() if bits in of]
            line["by_seed"] = [float(values.mean()) for values in by_seed]
            line["difference_sd"] = spread(line["by_seed"])
            mean = metrics.patient_bootstrap(np.mean(by_seed, 0), patients)
            lines.append(line | {"difference": mean._asdict()})
    return lines


def _grid_at(rows: list[dict], bits: float) -> str:
    """Of the VQ-VAE that stands for this rate, not of the second way."""
    rates = RATES[rows[0]["size"]]
    return next(grid for grid, size, *_ in rates if bits_of(grid, size) == bits)


def codec_rows(name: str, data: SliceData, size: str, rates) -> list[dict]:
    """The image formats on the same test slices, each slice within the same bytes; they
    take minutes and no chance, so what was found once is kept."""
    bits = "-".join(f"{rate:g}" for rate in rates)
    path = Run(f"benchmark-codecs-{data.fingerprint[:8]}-{size}-{bits}").folder
    path = path.with_suffix(".json")
    if path.exists():
        return load_json(path)["rows"]
    rows = encoded(name, data, size, rates)
    path.parent.mkdir(exist_ok=True)
    save_json(path, {"rows": rows})
    return rows


def encoded(name: str, data: SliceData, size: str, rates) -> list[dict]:
    images, patients = data.test.images, data.test.patients.numpy()
    rows = []
    for form in filter(available, LOSSY_FORMS):
        limits = [bits / 8 for bits in rates]
        for bits, coded in zip(rates, lossy_within(images, limits, form), strict=True):
            back = iter(coded.images.split(64))
            values = slice_values(lambda _, back=back: next(back), images)
            row = {
                "data": name,
                "size": size,
                "codec": form,
                "bits": bits,
                "header_bytes": header_bytes(tuple(images.shape[-2:]), form),
                "mean_bytes": float(coded.sizes.mean()),
                "met": float(coded.met.mean()),  # share of slices within the limit
            } | intervals(values, patients)
            rows.append(row)
            below = "" if row["met"] == 1 else f", met by {row['met']:.0%} of slices"
            print(
                f"{name:<12} {size:<8} {form:<10} SSIM {row['ssim']['mean']:.3f}"
                f"  {row['mean_bytes']:.0f} of {bits / 8:.0f} bytes{below}",
                flush=True,
            )
    return rows


def tell_settled(lines: list[dict]) -> None:
    print(f"\n{'':<12}{'bits':>6}  {'':<8}{'VAE':>16}{'VQ-VAE':>16}  VQ-VAE − VAE")
    for line in lines:
        cells = (f"{line[k]:.3f} ± {line[f'{k}_sd']:.3f}" for k in ("vae", "vqvae"))
        gap = line["difference"]
        print(
            f"{line['data']:<12}{line['bits']:>6.0f}  {line['score']:<8}"
            + "".join(f"{cell:>16}" for cell in cells)
            + f"  {gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f};"
            f" seeds ± {line['difference_sd']:.3f})"
        )


def larger_slices(
    sources: dict, size: str, steps: int | None, finished: bool, store: bool
) -> None:
    """Models and codecs at another size, one seed; beside them what is stored."""
    stored = RESULTS / "rate_distortion.json"
    old = load_json(stored) if stored.exists() else {"rows": [], "codecs": []}
    rows = [row for row in old["rows"] if row["kind"] in ("vqvae", "vae")]
    codecs = list(old["codecs"])
    for name, folder in sources.items():
        base = profiles.get("quick", steps=steps, size=size)
        data = open_data(folder, base)
        found = [profiles.get("quick", steps=steps, size=size, grid=g, codebook_size=k)
                 for g, k in LARGER]  # fmt: skip
        rates = [profile.nominal_bits for profile in found]
        codecs += codec_rows(name, data, size, rates)
        for kind in ("vqvae", "vae"):
            for profile in found:
                if not finished or is_trained(kind, profile, name, 0):
                    rows.append(measure(kind, profile, name, data, 0)[0])
    gaps = [
        {
            **{k: row[k] for k in ("data", "size", "kind", "grid", "bits", "seed")},
            "codec": other["codec"],
            "met": other["met"],
            "ssim": row["ssim"]["mean"] - other["ssim"]["mean"],
        }
        for row in rows
        for other in codecs
        if all(row[key] == other[key] for key in ("data", "size", "bits"))
    ]
    tell("codecs", {"rows": rows, "codecs": codecs, "gaps": gaps}, store)


def with_stored(found: dict) -> dict:
    """What was found, beside what is stored of other rates and data sets."""
    path = RESULTS / "rate_distortion.json"
    old = load_json(path) if path.exists() else {"command": ""}
    of = {(line["data"], line["bits"]) for line in found["settled"]}
    both = {
        key: [row for row in old.get(key, []) if (row["data"], row["bits"]) not in of]
        + rows
        for key, rows in found.items()
    }
    for key in ("settled", "codecs"):  # tables in order, however they came together
        both[key].sort(key=lambda row: (row["data"], row["bits"]))
    commands = [*old["command"].split("; "), circumstances()["command"]]
    return both | {"command": "; ".join(dict.fromkeys(filter(None, commands)))}


@click.command(help=__doc__)
@click.option("--real", metavar="DIR", help="Real slices, besides the phantom.")
@click.option("--only", type=click.Choice(["phantom", "real_slices"]), help="Of both.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", type=int, help="Of each training; the profile's if left out.")
@click.option(
    "--bits", type=int, multiple=True, help="Only this rate, and not the controls."
)
@click.option("--ways", is_flag=True, help="Other grids that spend about as many bits.")
@click.option("--finished", is_flag=True, help="Train nothing: tell what is there.")
@click.option("--size", help="Beside codecs alone, at this size: 256x128.")
@click.option("--short", is_flag=True, help="Seconds: the smoke profile, one seed.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(real, only, seeds, steps, bits, ways, finished, size, short, store) -> None:
    torch.set_num_threads(1)  # one core: its time is then comparable on a busy machine
    base = profiles.get("smoke" if short else "quick", steps=steps)
    sources = {"phantom": None} | ({"real_slices": real} if real else {})
    sources = {k: v for k, v in sources.items() if only in (None, k)}
    if size:
        return larger_slices(sources, size, steps, finished, store)
    datas = {name: open_data(folder, base) for name, folder in sources.items()}
    rates = rates_of(base, bits)
    codecs, rows, gaps = [], [], {name: {} for name in datas}
    for name, data in datas.items():
        codecs += codec_rows(name, data, base.size, [bits_of(*r[:2]) for r in rates])
    for seed in range(1 if short else seeds):
        for name, data in datas.items():
            more, gaps[name][seed] = compare(
                base,
                name,
                data,
                seed,
                rates,
                controls=not bits and not seed,
                ways=ways or short,
                finished=finished,
            )
            rows += more
    settled = []
    for name, data in datas.items():
        settled += settle(name, gaps[name], rows, data.test.patients.numpy())
    tell_settled(settled)
    result = {"settled": settled, "rows": rows, "codecs": codecs}
    if store and (bits or only):
        result = with_stored(result)
    tell("rate_distortion", {"profile": base.name, "steps": base.steps} | result, store)


if __name__ == "__main__":
    main()
