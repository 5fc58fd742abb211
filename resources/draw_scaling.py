"""Draw what `benchmarks/scaling.py` stored: how the time of a training step grows.

    python resources/draw_scaling.py [FILE]

Both axes are logarithmic, so a power law is a straight line and its exponent the slope.
The dashed line is the one fitted to the three largest sizes.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter

from lessons import use_style
from vqlib.runs import load_json

STORED = Path(__file__).parents[1] / "benchmarks" / "results" / "scaling.json"


def panels(rows: list[dict]):
    """A panel for each quantity: `values`, `milliseconds` and the fitted `exponent`."""
    figure, axes = plt.subplots(
        1,
        len(rows),
        figsize=(2.6 * len(rows), 2.8),
        layout="constrained",
        sharey=True,
    )
    for axis, row in zip(np.atleast_1d(axes), rows, strict=True):
        values, times = np.array(row["values"]), np.array(row["milliseconds"])
        axis.loglog(values, times, "o-", base=10)
        last = values[-3:]
        middle = np.exp(np.log(last).mean()), np.exp(np.log(times[-3:]).mean())
        fitted = middle[1] * (last / middle[0]) ** row["exponent"]
        label = f"exponent {row['exponent']:.2f}"
        axis.loglog(last, fitted, "--", color="0.4", base=10, label=label)
        axis.set_xlabel(row["quantity"])
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_major_formatter(lambda value, _: f"{value:,.0f}")
            ticks.set_minor_formatter(NullFormatter())
        axis.legend(loc="upper left")
    np.atleast_1d(axes)[0].set_ylabel("ms per step, one core")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stored", type=Path, default=STORED)
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path(__file__).with_name("scaling.png")
    )
    given = parser.parse_args()
    use_style()
    figure = panels(load_json(given.stored)["scaling"])
    figure.savefig(given.file, dpi=150, metadata={"Software": None})
