"""Models side by side: a figure and a table of what benchmarks have stored. Taught in
notebook 03."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lessons.style import DASHED, WIDTH, colours, panels, plain_log

NAMES = {  # kinds of the stored rows, as figures call them
    "vqvae": "VQ-VAE",
    "vae": "VAE",
    "vae_global": "VAE, one vector",
    "autoencoder": "autoencoder",
}


def rate_panels(
    rows: Sequence[Mapping],
    codecs: Sequence[Mapping] = (),
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
    table = pd.DataFrame(list(rows))
    table = table.assign(score=[row[score]["mean"] for row in rows])
    sets = list(table["data"].unique())
    figure, axes = panels(len(sets), 3.9, sharey=True)
    figure.set_figwidth(min(WIDTH, 4.9 * len(sets)))
    for axis, data in zip(axes, sets, strict=True):
        for kind, name in NAMES.items():
            mine = table[(table["data"] == data) & (table["kind"] == kind)]
            if mine["bits"].notna().any():
                _dots_and_means(axis, mine, name)
            elif len(mine):
                axis.axhline(mine["score"].mean(), label=name, **DASHED)
        forms = list(dict.fromkeys(row["codec"] for row in codecs))
        for form, grey, marker in zip(forms, colours(forms), "^vs", strict=False):
            points = sorted(
                (8 * row["mean_bytes"], row[score]["mean"])
                for row in codecs
                if (row["data"], row["codec"]) == (data, form)
            )
            style = {"color": grey, "marker": marker, "markersize": 5}
            axis.plot(*zip(*points, strict=True), "--", label=form, **style)
        plain_log("x", axis)
        axis.set(title=data.replace("_", " "), ylabel=label)
        axis.set_xlabel("bits per slice (log scale)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def _dots_and_means(axis, mine: pd.DataFrame, name: str) -> None:
    """A dot for each training of one model, a ring around the mean of each rate and
    grid, and a line through the best ring of each rate. Rates that differ by less than
    a tenth are one."""
    (colour,) = colours([name])
    axis.plot(mine["bits"], mine["score"], "o", ms=4, color=colour, alpha=0.6)
    rate = (np.log(mine["bits"].astype(float)) / np.log(1.1)).round()
    if name == NAMES["vae_global"]:
        rate = 0 * rate  # it sets its own rate, which differs from seed to seed
    means = mine.groupby([rate.rename("rate"), "grid"])[["bits", "score"]].mean()
    best = means.loc[means.groupby("rate")["score"].idxmax()].sort_values("bits")
    ring = {"color": colour, "markersize": 8, "fillstyle": "none"}
    axis.plot(best["bits"], best["score"], "o-", label=name, **ring)
    others = means.drop(best.index)
    axis.plot(others["bits"], others["score"], "o", **ring)


def ablation_table(rows: Sequence[Mapping]) -> pd.DataFrame:
    """One change at a time: a row for each ``quantizer``, compared with the first
    seed by seed. A difference is ``clear`` where it is more than twice its spread
    over the seeds."""
    table = pd.DataFrame(rows)
    scores = ["ssim", "codes_used", "perplexity"]
    means = table.groupby("quantizer", sort=False)[scores].mean()
    ssim = table.pivot(index="seed", columns="quantizer", values="ssim")
    gaps = ssim.sub(ssim[means.index[0]], axis=0)
    means.insert(1, "difference", gaps.mean())
    means.insert(2, "spread", gaps.std())
    means.insert(3, "clear", means["difference"].abs() > 2 * means["spread"])
    return means
