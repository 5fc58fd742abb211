"""The score card as a table: sets of slices against scores. Used in notebook 05."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lessons.style import WIDTH
from vqlib.metrics.scorecard import SCORES, Card
from vqlib.metrics.trials import badness

ROW, HEAD, NAME = 0.3, 1.35, 2.3  # inches: rows, slanted headings, names at the left


def score_table(cards: Mapping[str, Card], floor: str) -> Figure:
    """One row for each set, one column for each score that any of them has.

    Args:
        cards: name of the set → `vqlib.metrics.scorecard.score_card`.
        floor: the row of real slices that the others are held against; drawn first.

    The heading says what real slices have: 0, another number, or ↑ where more is better
    and the floor's value is as much as one can ask for. The darker a cell, the further
    it lies from there, beyond the floor, on the scale of the column's worst.
    """
    names = [floor, *(name for name in cards if name != floor)]
    shown = [key for key in SCORES if any(cards[n][key] is not None for n in names)]
    size = (WIDTH, HEAD + ROW * len(names))
    figure, axis = plt.subplots(figsize=size)
    figure.subplots_adjust(NAME / WIDTH, 0.02, 0.97, 1 - HEAD / size[1])
    for column, key in enumerate(shown):
        usual = cards[floor][key]
        far = [_far(key, cards[name][key], usual) for name in names]
        colour = Normalize(0, max(far) or 1)
        for row, (name, value) in enumerate(zip(names, far, strict=True)):
            shade = plt.get_cmap("Oranges")(0.75 * colour(value))
            axis.add_patch(plt.Rectangle((column, row), 1, 1, color=shade, lw=0))
            text = _written(cards[name][key])
            axis.text(column + 0.5, row + 0.55, text, ha="center", va="center", size=8)
        best = SCORES[key].best
        goal = "↑" if best is None else f"{best:g}"
        axis.text(
            column + 0.5, -0.15, f"{SCORES[key].title} ({goal})", rotation=40, size=8
        )
    axis.set(xlim=(0, len(shown)), ylim=(len(names), 0), xticks=[])
    axis.set_yticks([row + 0.5 for row in range(len(names))], names)
    axis.tick_params(length=0)
    axis.axhline(1, color="0.3", linewidth=1)
    for column in range(1, len(shown)):
        if SCORES[shown[column]].about != SCORES[shown[column - 1]].about:
            axis.axvline(column, color="0.3", linewidth=1)
    for side in axis.spines.values():
        side.set_visible(False)
    return figure


def _far(key: str, value: float | None, floor: float | None) -> float:
    """How much worse than the floor."""
    if value is None or floor is None:
        return 0.0
    return max(0.0, badness(key, value, floor) - badness(key, floor, floor))


def _written(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
