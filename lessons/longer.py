"""How far models are from image codecs, and where longer training leads.

Figures and sentences from what ``benchmarks/rate_distortion.py`` and
``benchmarks/training_time.py`` stored. Taught in notebook 03, section 3.12.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.figure import Figure

from lessons.comparing import NAMES, data_panels
from lessons.style import colours, mark_levels


def codec_lines(gaps: Iterable[Mapping]) -> list[str]:
    """How far models are from codecs at the same bytes, a sentence for each data set,
    size, rate and model.

    Args:
        gaps: with ``data``, ``size``, ``kind`` of model, ``grid``, ``bits``, ``codec``,
            the share of slices that the codec brought within the limit as ``met``, and
            model − codec as ``ssim``.
    """
    found: dict[tuple, dict[str, list]] = {}
    keys = ("data", "size", "bits", "kind", "grid")
    for gap in sorted(gaps, key=lambda gap: [gap[key] for key in keys]):
        of_model = found.setdefault(tuple(gap[key] for key in keys), {})
        of_model.setdefault(gap["codec"], []).append(gap)
    lines = []
    for (data, size, bits, kind, grid), codecs in found.items():
        cells = [
            f"{name}{'' if all(g['met'] == 1 for g in one) else ' (larger files)'} "
            f"{np.mean([g['ssim'] for g in one]):+.3f}"
            for name, one in codecs.items()
        ]
        lines.append(
            f"{data.replace('_', ' ')}, {size}, {bits / 8:,.0f} bytes, "
            f"{NAMES[kind]} on {grid}: SSIM against {', '.join(cells)}"
        )
    return lines


def length_panels(
    rows: Iterable[Mapping], fits: Iterable[Mapping], codecs: Iterable[Mapping]
) -> Figure:
    """Score against length of training, a panel for each data set: a dot for each
    training, the fitted law as a line, dashed where it is beyond the longest, and the
    codecs at the same bytes as levels.

    Args:
        rows: with ``data``, ``length`` (1 is the profile's) and ``ssim`` with its
            ``mean``.
        fits: with ``data`` and ``curve``, pairs of length and score.
        codecs: with ``data``, ``codec`` and ``ssim`` with its ``mean``.
    """
    rows, codecs, fits = list(rows), list(codecs), {fit["data"]: fit for fit in fits}
    figure, panels = data_panels(rows, 3.4)
    colour = colours(["VQ-VAE"])[0]
    for axis, data, mine in panels:
        points = [(row["length"], row["ssim"]["mean"]) for row in mine]
        axis.plot(*zip(*points, strict=True), "o", color=colour)
        if data in fits:
            n, score = np.array(fits[data]["curve"]).T
            within = n <= max(row["length"] for row in mine)
            axis.plot(n[within], score[within], color=colour)
            axis.plot(n[~within], score[~within], ":", color=colour)
        mark_levels(
            axis,
            {r["codec"]: r["ssim"]["mean"] for r in codecs if r["data"] == data},
        )
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set(title=data.replace("_", " "), ylabel="SSIM (test)")
        axis.set_xlabel("length of training, in the profile's (log scale)")
    return figure


def length_lines(fits: Iterable[Mapping]) -> list[str]:
    """What the fitted laws say, in sentences.

    Args:
        fits: with ``data``, ``ceiling``, ``exponent``, ``next`` and, where it could be
            tried, ``tried``; ``reaches``: codec → the length that meets it, or None.
    """
    lines = []
    for fit in fits:
        name, after = fit["data"].replace("_", " "), fit["next"]
        lines.append(
            f"{name}: the curve bends towards SSIM {fit['ceiling']:.3f} (exponent "
            f"{fit['exponent']:.2f}); {after['ssim']:.3f} foretold for "
            f"{after['length']:g} times the profile's steps"
        )
        if tried := fit.get("tried"):
            lines.append(
                f"{name}: the shorter trainings alone foretell "
                f"{tried['foretold']:.3f} for {tried['length']:g} times the steps; "
                f"it is {tried['ssim']:.3f}"
            )
        for codec, length in fit["reaches"].items():
            when = f"at {length:.2g} times the steps" if length else "at no length"
            lines.append(f"{name}: level with {codec} {when}")
    return lines
