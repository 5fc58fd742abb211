"""What notebook 06 measures by itself: scores on trial, and neighbours in training.

A score that does not move when slices are made worse sees nothing. *Harms* make a set
of slices worse in known ways, each with a severity from 0 (as it was) to 1, and do one
thing: to the picture, to the anatomy, to the variety, or to the honesty of a set. A
score sees a harm where its badness never falls from step to step. `MUST_SEE` says which
scores exist to see which harm; that some are blind to others is no fault, as long as it
is known.
"""

from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from lessons.sharpness import blurred
from vqlib import generator
from vqlib.data import LABEL_NAMES, SliceDataset
from vqlib.metrics import Interval, Slices, thumbnail_distances
from vqlib.metrics.scorecard import SCORES, Card
from vqlib.runs import load_json

SHIPPED_CARD = Path(generator.__file__).parent / generator.SHIPPED / "card.json"
PATCH = 8  # pixels: what one code draws in the quick profile
SEVERITIES = (0.25, 0.5, 1.0)
MUST_SEE = {
    "blur": ("texture", "precision", "told apart"),
    "dropped modes": ("texture", "shape", "recall"),
    "shuffled patches": ("texture", "shape", "precision", "pieces", "told apart"),
    "wrong anatomy": ("shape", "places", "agreement"),
    "maps of other slices": ("agreement",),
    "copied training slices": ("nearest", "copies", "patches"),
}
# what lies below the best value of these is chance, and no fault
ONE_SIDED = ("texture", "shape", "told apart", "prior apart", "copies", "patches")


# each harm: slices, severity, training slices, seed -> slices


def blur(slices: Slices, severity: float, *_) -> Slices:
    """A Gaussian filter of up to 1.5 pixels."""
    return slices._replace(images=blurred(slices.images, 1.5 * severity))


def drop_modes(slices: Slices, severity: float, *_) -> Slices:
    """Only slices from an ever narrower middle part of the volume, some repeatedly, at
    the positions where they belong; at worst from a tenth of it."""
    off = (slices.positions - 0.5).abs()
    reach = 0.5 * (1 - 0.9 * severity)
    kept = torch.nonzero(off <= max(reach, float(off.min())))[:, 0]
    rows = kept[torch.arange(len(off)) * len(kept) // len(off)]
    return Slices(*(None if x is None else x[rows] for x in slices))


def shuffle_patches(slices: Slices, severity: float, _, seed: int) -> Slices:
    """A share of the patches of each slice change places: what shuffled codes do."""
    rng, images = np.random.default_rng(seed), slices.images.clone()
    grid = images.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)  # a view
    rows, columns = grid.shape[2:4]
    for own in grid[:, 0]:
        chosen = rng.permutation(rows * columns)[: round(severity * rows * columns)]
        to = rng.permutation(chosen)
        moved = own[chosen // columns, chosen % columns].clone()
        own[to // columns, to % columns] = moved
    return slices._replace(images=images)


def join_halves(slices: Slices, severity: float, _, seed: int) -> Slices:
    """Wrong anatomy with true texture: in a share of the slices, the upper half is that
    of another slice of the set, half a volume away."""
    images, half = slices.images.clone(), slices.images.shape[-1] // 2
    for i in _chosen(slices, severity, seed):
        images[i, ..., half:] = slices.images[_far_from(slices, i), ..., half:]
    return slices._replace(images=images)


def exchange_maps(slices: Slices, severity: float, _, seed: int) -> Slices:
    """True slices with wrong maps: a share of them with the map of a slice that lies
    half a volume away."""
    if slices.labels is None:
        return slices
    labels = slices.labels.clone()
    for i in _chosen(slices, severity, seed):
        labels[i] = slices.labels[_far_from(slices, i)]
    return slices._replace(labels=labels)


def copy_training(
    slices: Slices, severity: float, train: SliceDataset, seed: int
) -> Slices:
    """A share of the slices replaced by training slices at the same positions, with
    their maps."""
    images = slices.images.clone()
    labels = None if slices.labels is None else slices.labels.clone()
    for i in _chosen(slices, severity, seed):
        row = (train.positions - slices.positions[i]).abs().argmin()
        images[i] = train.images[row]
        if labels is not None and train.labels is not None:
            labels[i] = train.labels[row]
    return slices._replace(images=images, labels=labels)


HARMS: dict[str, Callable] = {
    "blur": blur,
    "dropped modes": drop_modes,
    "shuffled patches": shuffle_patches,
    "wrong anatomy": join_halves,
    "maps of other slices": exchange_maps,
    "copied training slices": copy_training,
}


def _chosen(slices: Slices, share: float, seed: int) -> np.ndarray:
    """Rows to change; those of a larger share contain those of a smaller one."""
    n = len(slices.images)
    return np.random.default_rng(seed).permutation(n)[: round(share * n)]


def _far_from(slices: Slices, row: int) -> int:
    """The row of the slice nearest to half a volume away."""
    elsewhere = (slices.positions[row] + 0.5) % 1
    return int((slices.positions - elsewhere).abs().argmin())


def badness(name: str, value: float | Interval, floor: float | Interval) -> float:
    """How far a score is from its best value (see `SCORES`), or how much it is below
    the floor for precision and recall: 0 is best."""
    value, floor = (x.mean if isinstance(x, Interval) else x for x in (value, floor))
    best = SCORES[name].best
    if best is None:
        return max(floor - value, 0.0)
    return max(value - best, 0.0) if name in ONE_SIDED else abs(value - best)


def trial(
    harm: str, slices: Slices, judge: Callable, train: SliceDataset, floor: Card
) -> dict[float, Card]:
    """Severity → the card of slices with a harm done to them; ``floor`` is the card of
    the slices as they are."""
    worse = {s: HARMS[harm](slices, s, train, 0) for s in SEVERITIES}
    return {0.0: floor} | {s: judge(x) for s, x in worse.items()}


def order(cards: dict[float, Card]) -> dict[str, float | None]:
    """Rank correlation of severity and badness: score → gamma in [-1, 1], the share of
    pairs in the right order less that in the wrong one, ties left out (Goodman and
    Kruskal 1954, doi 10.1080/01621459.1954.10501231). 0 where a score does not move,
    None where it has no value."""
    severities, floor = sorted(cards), cards[min(cards)]
    found: dict[str, float | None] = dict.fromkeys(SCORES)
    for name in SCORES:
        values = [cards[s][name] for s in severities]
        if None not in values:
            bad = [badness(name, v, floor[name]) for v in values]
            signs = [np.sign(b - a) for a, b in combinations(bad, 2)]
            found[name] = float(np.sum(signs) / max(np.count_nonzero(signs), 1))
    return found


def moved(card: Card, floor: Card, least: float = 0.05) -> list[str]:
    """The scores that are worse than the floor's by more than ``least``, or, for those
    with an interval, by more than half of it."""
    found = []
    for name in SCORES:
        value = card[name]
        if value is None or floor[name] is None:
            continue
        bad, usual = (badness(name, x, floor[name]) for x in (value, floor[name]))
        unsure = isinstance(value, Interval)
        if bad - usual > (0.5 * (value.high - value.low) if unsure else least):
            found.append(name)
    return found


def card_table(cards: Mapping[str, Card]) -> pd.DataFrame:
    """Score cards as a table: a row for each score, a column for each set, the first of
    them the floor; a star where one is worse than the floor, see `moved`. Scores that
    no set has are left out."""
    rows, floor = {}, next(iter(cards.values()))
    worse = [moved(card, floor) for card in cards.values()]
    for name, score in SCORES.items():
        cells = [
            _cell(card[name]) + (" *" if name in found else "")
            for card, found in zip(cards.values(), worse, strict=True)
        ]
        if any(cells):
            best = "as the floor" if score.best is None else f"{score.best:g}"
            rows[score.title] = [best, *cells]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["best", *cards])


def _cell(value: float | Interval | None) -> str:
    if isinstance(value, Interval):
        return f"{value.mean:.1f} ({value.low:.1f} to {value.high:.1f})"
    return "" if value is None else f"{value:.2f}"


def grain(slices: Slices, margin: int = 2) -> dict[str, float]:
    """How much pixels that lie side by side differ on average, in air and in each
    tissue of the maps, at least ``margin`` pixels from its border; NaN where there is
    no such pixel."""
    found, names = {}, ("air", "fat and muscle", *LABEL_NAMES[2:])
    steps = slices.images[:, 0].diff(dim=1).abs()  # [N, H - 1, W]
    for value, name in enumerate(names):
        other = (slices.labels != value).float()[:, None]
        inside = max_pool2d(other, 2 * margin + 1, 1, margin)[:, 0] == 0
        found[name] = float(steps[inside[:, 1:] & inside[:, :-1]].mean())
    return found


def nearest_training(samples: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """For each sample `[N, 1, H, W]` the distance `[N]` to its nearest training slice,
    and that slice `[N, 1, H, W]`, mirrored where it is nearer so."""
    distance, row = thumbnail_distances(samples, train).min(1)
    nearest = train[row]
    errors = [
        (samples - x).square().mean((1, 2, 3)) for x in (nearest, nearest.flip(2))
    ]
    turned = (errors[1] < errors[0])[:, None, None, None]
    return distance, torch.where(turned, nearest.flip(2), nearest)


def rows_at(positions: Tensor, wanted: Tensor, seed: int = 0) -> Tensor:
    """A row for each wanted position: one of those nearest to it, by lot."""
    rng, rows = np.random.default_rng(seed), []
    for place in wanted:
        gap = (positions - place).abs()
        rows.append(rng.choice(torch.nonzero(gap <= gap.min() + 0.01)[:, 0].numpy()))
    return torch.tensor(rows)


def distance_from_floor(card: Card, floor: Card) -> dict[str, float]:
    """How much further each score is from its best than the floor's, 0 for no more. A
    score that the floor cannot have counts from its best."""
    found = {}
    for name in SCORES:
        if (value := card[name]) is not None:
            usual = floor[name]
            least = 0.0 if usual is None else badness(name, usual, usual)
            far = badness(name, value, value if usual is None else usual)
            found[SCORES[name].title] = max(far - least, 0.0)
    return found


def stored_rows(stored: dict | None, data: str) -> pd.DataFrame | None:
    """What is stored of a data set, at the usual training time: a row for each set and
    seed, ceilings left out. None where nothing of it is stored."""
    rows = [
        row
        for row in (stored or {}).get("rows", [])
        if row.get("data", data) == data
        and row.get("share", 1) == 1
        and not row["set"].startswith("ceiling")
    ]
    return pd.DataFrame(rows) if rows else None


def stored_card(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds of `stored_rows`: a row for each
    score, a column for each set."""
    scores = [name for name in SCORES if name in rows and rows[name].notna().any()]
    found = rows.groupby("set", sort=False)[scores]
    mean, spread = found.mean().astype(float), found.std().astype(float)
    text = mean.map("{:.2f}".format) + spread.map(" ± {:.2f}".format)
    text = text.where(spread.notna(), mean.map("{:.2f}".format))
    titles = {name: SCORES[name].title for name in scores}
    return text.where(mean.notna(), "").rename(columns=titles).T


def shipped_card() -> pd.DataFrame:
    """`stored_card` of the shipped generator, with floor and ceiling, beside the test
    patients of the phantom ``standard``, which it has not seen."""
    cards = load_json(SHIPPED_CARD)["cards"]
    rows = [
        {"set": name.split(", seed")[0]}
        | {k: x[0] if isinstance(x, list) else x for k, x in card.items()}
        for name, card in cards.items()
    ]
    return stored_card(pd.DataFrame(rows))


def shipped_usefulness() -> pd.DataFrame:
    """Dice on test slices of segmenters that learned from slices, from pairs that the
    shipped generator drew, and from both: mean and standard deviation over seeds."""
    found = load_json(SHIPPED_CARD)["usefulness"]
    found = pd.DataFrame(found).agg(["mean", "std"]).T
    return found.rename_axis("trained on")
