"""The scores on trial: does each one order corruptions that we know?

Real slices are made worse in steps (`vqlib.metrics.corruptions`), and every score says
how bad each step is. A score sees a corruption where its badness never falls from step
to step (rank correlation 1). `MUST_SEE` says which scores exist to see which
corruption. That some are blind to others is no fault, as long as it is known: nobody
should read variety from a spectrum. Taught in notebook 05.
"""

from itertools import combinations

from vqlib.metrics.corruptions import CORRUPTIONS, SEVERITIES, Slices
from vqlib.metrics.scorecard import SCORES, Card, Reference, score_card

MUST_SEE = {
    "blur": ("texture", "spectrum", "precision", "density"),
    "noise": ("texture", "spectrum", "precision", "density"),
    "dropped modes": ("texture", "shape", "recall", "coverage", "likeness"),
    "copied training slices": ("nearest", "copies"),
    "shuffled patches": ("texture", "shape", "precision", "neighbours", "pieces"),
    "wrong anatomy": ("shape", "places"),
    "wrong positions": ("places",),
}


def badness(name: str, value: float, floor: float) -> float:
    """How far a score is from that of real slices: 0 is best.

    For a score with a known best value (see `SCORES`) the distance from it, on either
    side; for precision and its kin how much it is below the floor. A Fréchet distance
    under 0 is an estimate of 0.
    """
    if name in ("texture", "shape"):
        return max(value, 0.0)
    best = SCORES[name].best
    return max(floor - value, 0.0) if best is None else abs(value - best)


def trial(
    name: str,
    slices: Slices,
    reference: Reference,
    floor: Card | None = None,
    seed: int = 0,
) -> dict[float, Card]:
    """The cards of real slices at each severity of a corruption; ``floor`` is that of
    the slices as they are, for callers that have it."""
    cards = {0.0: floor or score_card(slices, reference, seed)}
    for severity in SEVERITIES[1:]:
        worse = CORRUPTIONS[name](slices, severity, reference.train, seed)
        cards[severity] = score_card(worse, reference, seed)
    return cards


def order(cards: dict[float, Card]) -> dict[str, float | None]:
    """Rank correlation of severity and badness: score → gamma in [-1, 1], the share of
    pairs in the right order less that in the wrong one (Goodman and Kruskal 1954,
    doi 10.1080/01621459.1954.10501231).

    Pairs of equal badness count neither way, so that a score is not blamed for having
    reached its end. 0 where it does not move at all, None where it has no value.
    """
    severities, floor = sorted(cards), cards[min(cards)]
    found = {}
    for name in SCORES:
        values = [cards[s][name] for s in severities]
        if None in values:
            found[name] = None
            continue
        bad = [badness(name, v, floor[name]) for v in values]
        right = sum(b > a for a, b in combinations(bad, 2))
        wrong = sum(b < a for a, b in combinations(bad, 2))
        found[name] = (right - wrong) / max(right + wrong, 1)
    return found
