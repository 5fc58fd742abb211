"""Models side by side: who is ahead, by how much, and whether that could be chance.

Figures and sentences from numbers that were measured before, by a notebook or by a
benchmark that stored them. Taught in notebook 03.
"""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lessons.style import WIDTH, colours, mark_levels
from vqlib.metrics import Interval

NAMES = {  # kinds of the stored rows, as figures call them
    "vqvae": "VQ-VAE",
    "vae": "VAE",
    "vae_global": "VAE, one vector",
    "autoencoder": "autoencoder",
}


def patient_pairs(
    scores: Mapping[str, np.ndarray], patients, label: str = "mean SSIM (test)"
) -> Figure:
    """The mean score of each patient under each model, a line for each patient.

    Args:
        scores: model → `[N]`, one value for each slice.
        patients: `[N]`, whose slice it is.
        label: of the scores.
    """
    patients = np.asarray(patients)
    figure, axis = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
    names, people = list(scores), np.unique(patients)
    means = np.array(
        [[np.mean(np.asarray(scores[n])[patients == p]) for n in names] for p in people]
    )  # [P, models]
    gap, height = 0.055 * max(np.ptp(means), 1e-9), -np.inf
    for row in means[:, -1].argsort():
        axis.plot(means[row], color="0.75", zorder=1)
        axis.scatter(range(len(names)), means[row], c=colours(names), s=40, zorder=2)
        height = max(means[row, -1], height + gap)  # names of equals above each other
        axis.annotate(
            f"patient {people[row]:03d}",
            (len(names) - 1, height),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="0.35",
        )
    axis.set_xticks(range(len(names)), names)
    axis.set_ylabel(label)
    axis.margins(x=0.25)
    return figure


def verdict(first: str, second: str, difference: Interval, what: str = "SSIM") -> str:
    """What a paired difference ``first − second`` says, as a sentence.

    Names the higher model, by how much, and whether the interval leaves out 0.
    """
    low, high = sorted(
        (difference.low, difference.high)
        if difference.mean >= 0
        else (-difference.low, -difference.high)
    )
    winner = first if difference.mean >= 0 else second
    loser = second if difference.mean >= 0 else first
    ending = (
        "it leaves out 0, so these patients do tell the two apart"
        if difference.low > 0 or difference.high < 0
        else "it holds 0, so these patients do not tell the two apart"
    )
    return (
        f"{winner} has the higher {what}, by {abs(difference.mean):.4f} over {loser} "
        f"(95 % interval {low:.4f} to {high:.4f}: {ending})"
    )


def data_panels(
    rows: Sequence[Mapping], height: float
) -> tuple[Figure, list[tuple[Axes, str, list[Mapping]]]]:
    """A figure so many inches high with a panel for each ``data`` of the rows, side by
    side: each panel, the name of its data set, and the rows of it."""
    sets = list(dict.fromkeys(row["data"] for row in rows))
    figure, axes = plt.subplots(
        1,
        len(sets),
        figsize=(min(WIDTH, 4.9 * len(sets)), height),
        layout="constrained",
        squeeze=False,
    )
    return figure, [
        (axis, data, [row for row in rows if row["data"] == data])
        for axis, data in zip(axes[0], sets, strict=True)
    ]


def rate_panels(
    rows: Iterable[Mapping],
    codecs: Iterable[Mapping] = (),
    score: str = "ssim",
    label: str = "SSIM (test)",
) -> Figure:
    """Score against rate for trainings from several seeds, a panel for each data set:
    a dot for each training, a line through the means; codecs dashed, at the bits that
    they took.

    Args:
        rows: with ``data``, ``kind``, ``grid``, ``bits`` and the score's ``mean``;
            where ``bits`` is None the score becomes a level.
        codecs: with ``data``, ``codec``, ``mean_bytes`` and the score's ``mean``.
        score: which of a row's scores.
        label: of that score.
    """
    rows, codecs = list(rows), list(codecs)
    figure, panels = data_panels(rows, 3.9)
    for axis, data, mine in panels:
        for kind, name in NAMES.items():
            found = [row for row in mine if row["kind"] == kind]
            points = [
                (row["bits"], row[score]["mean"], row["grid"])
                for row in found
                if row["bits"]
            ]
            if points:
                _dots_and_means(axis, points, name, joined=kind != "vae_global")
            elif found:
                level = float(np.mean([row[score]["mean"] for row in found]))
                mark_levels(axis, {name: level})
        forms = dict.fromkeys(row["codec"] for row in codecs)
        for form, grey, marker in zip(forms, colours(list(forms)), "^vs", strict=False):
            points = sorted(
                (8 * row["mean_bytes"], row[score]["mean"])
                for row in codecs
                if (row["data"], row["codec"]) == (data, form)
            )
            style = {"color": grey, "marker": marker, "markersize": 5}
            axis.plot(*zip(*points, strict=True), "--", label=form, **style)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.set(title=data.replace("_", " "), ylabel=label)
        axis.set_xlabel("bits per slice (log scale)")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def _dots_and_means(axis, points: Sequence, name: str, joined: bool) -> None:
    """Points (bits, score, grid) of one model, and a ring around each mean. Rates that
    differ by less than a tenth are one; where several grids spend it, the line goes
    through the best."""
    colour = colours([name])[0]
    style = {"markersize": 4, "color": colour, "alpha": 0.6}
    axis.plot(*zip(*(point[:2] for point in points), strict=True), "o", **style)
    places: dict[int, dict] = {}
    for bits, value, grid in points:
        place = round(np.log(bits) / np.log(1.1)) if joined else 0
        places.setdefault(place, {}).setdefault(grid, []).append((bits, value))
    rings = [[tuple(np.mean(f, 0)) for f in ways.values()] for ways in places.values()]
    best = sorted(max(means, key=lambda mean: mean[1]) for means in rings)
    style = {"color": colour, "markersize": 8, "fillstyle": "none"}
    axis.plot(*zip(*best, strict=True), "o-", label=name, **style)
    for mean in (mean for means in rings for mean in means if mean not in best):
        axis.plot(*mean, "o", **style)


def settled_lines(
    settled: Iterable[Mapping], names: Mapping[str, str] | None = None
) -> list[str]:
    """What several seeds settle, a sentence for each data set, rate and score.

    Args:
        settled: with ``data``, ``bits``, ``score``, ``by_seed`` (the difference
            VQ-VAE − VAE of each seed), ``difference_sd`` (its spread over seeds) and
            ``difference`` (its mean with its interval over patients).
        names: the scores to tell of → their names; SSIM, PSNR and edges in place when
            not given.
    """
    names = names or {"ssim": "SSIM", "psnr": "PSNR", "edges": "share of edges"}
    lines = []
    for line in settled:
        if line["score"] not in names:
            continue
        seeds, mean = line["by_seed"], float(np.mean(line["by_seed"]))
        ahead = sum(value > 0 for value in seeds)
        beyond = line["difference"]["low"] > 0 or line["difference"]["high"] < 0
        if ahead in (0, len(seeds)) and beyond and abs(mean) > line["difference_sd"]:
            often = "whatever the seed" if seeds[1:] else "with the one seed tried"
            leader = "VQ-VAE" if mean > 0 else "VAE"
            who = f"{leader} is ahead, {often}, by {abs(mean):.3f}"
        else:
            who = f"not settled: VQ-VAE differs from VAE by {mean:+.3f}"
        spread = f" ± {line['difference_sd']:.3f}" if seeds[1:] else ""
        lines.append(
            f"{line['data'].replace('_', ' ')}, {line['bits']:5,.0f} bits, "
            f"{names[line['score']]}: {who}{spread} "
            f"(VQ-VAE ahead for {ahead} of {len(seeds)})"
        )
    return lines


def ablation(rows: Iterable[Mapping], scores: Mapping[str, str]) -> Figure:
    """One change at a time: a row for each variant, a dot for each seed, a panel for
    each score. The band is the range of the first variant.

    Args:
        rows: with ``quantizer`` and the scores as numbers, first variant first.
        scores: score → its label.
    """
    rows = list(rows)
    names = list(dict.fromkeys(row["quantizer"] for row in rows))
    figure, axes = plt.subplots(
        1,
        len(scores),
        figsize=(WIDTH, 0.25 * len(names) + 0.9),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, (score, label) in zip(axes[0], scores.items(), strict=True):
        first = [row[score] for row in rows if row["quantizer"] == names[0]]
        axis.axvspan(min(first), max(first), color="0.9", zorder=0)
        axis.axvline(float(np.mean(first)), color="0.7", linewidth=1, zorder=0)
        for place, name in enumerate(names):
            values = [row[score] for row in rows if row["quantizer"] == name]
            axis.plot(values, [place] * len(values), "o", color="#D55E00", alpha=0.6)
            axis.plot(np.mean(values), place, "|", color="black", markersize=13)
        axis.set_xlabel(label)
        axis.grid(axis="y", color="0.93")
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].invert_yaxis()
    return figure


def ablation_lines(rows: Iterable[Mapping], score: str, digits: int) -> list[str]:
    """Which variants differ from the first one by more than twice what that difference
    spreads from seed to seed: a sentence each.

    Args:
        rows: with ``quantizer``, ``seed`` and the score; the first variant first.
        score: which of them.
        digits: behind the point.
    """
    of: dict[str, dict[int, float]] = {}
    for row in rows:
        of.setdefault(row["quantizer"], {})[row["seed"]] = row[score]
    (_, first), *others = of.items()
    lines = []
    for name, by_seed in others:
        gaps = [value - first[seed] for seed, value in by_seed.items()]
        if len(gaps) < 2:
            continue
        mean, spread = np.mean(gaps), np.std(gaps, ddof=1)
        if abs(mean) > 2 * spread:
            lines.append(f"{name}: {mean:+.{digits}f} ± {spread:.{digits}f}")
    return lines


def rate_distortion(
    points: Mapping[str, object],
    score: str = "SSIM (test)",
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Quality against rate: higher is better, further left is cheaper.

    Args:
        points: name → ``(bits, score)``, or a list of them, joined by a line. A score
            is a number or an interval ``(mean, low, high)``.
        score: label of the vertical axis.
        marks: text → score of controls that have no rate, drawn as horizontal lines.
    """
    figure, axis = plt.subplots(figsize=(6.0, 3.8), layout="constrained")
    for (name, given), colour in zip(
        points.items(), colours(list(points)), strict=True
    ):
        pairs = [given] if np.isscalar(given[0]) else sorted(given, key=lambda p: p[0])
        bits = [pair[0] for pair in pairs]
        mean, low, high = np.transpose(
            [(p[1],) * 3 if np.isscalar(p[1]) else p[1] for p in pairs]
        )
        axis.errorbar(
            bits,
            mean,
            yerr=[mean - low, high - mean],
            fmt="o-",
            capsize=3,
            color=colour,
            label=name,
        )
    mark_levels(axis, marks or {})
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_xlabel("bits per slice (log scale)")
    axis.set_ylabel(score)
    axis.legend()
    return figure
