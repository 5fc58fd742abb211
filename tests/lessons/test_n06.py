import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from commands import text
from made_patients import base, judge, tiny

from lessons import n06, n06_figures
from vqlib.metrics import SCORES, Interval, Slices


@pytest.mark.parametrize("name", n06.HARMS)
def test_nothing_happens_at_severity_0_and_more_at_more(name):
    slices, changes = base(30), []
    before = slices.images.clone()
    for severity in (0.0, *n06.SEVERITIES):
        worse = n06.HARMS[name](slices, severity, tiny().train, 0)
        assert worse.images.shape == before.shape
        assert 0 <= worse.images.min() <= worse.images.max() <= 1
        pixels = (worse.images != before).flatten(1).float().mean()
        changes.append(float(pixels + (worse.labels != slices.labels).float().mean()))
        again = n06.HARMS[name](slices, severity, tiny().train, 0)
        assert torch.equal(again.images, worse.images)
    plain = slices._replace(labels=None)
    assert n06.HARMS[name](plain, 1.0, tiny().train, 0).labels is None
    assert changes[0] == 0
    assert changes[1] > 0
    if name not in ("blur", "dropped modes"):  # which change every pixel at once
        assert changes == sorted(changes)
    assert torch.equal(slices.images, before)


def test_ever_fewer_places_are_left_of_dropped_modes():
    drop = n06.HARMS["dropped modes"]
    left = [len(drop(base(), s, tiny().train, 0).positions.unique()) for s in (0, 1)]
    assert left[0] > 4 * left[1]
    worst = drop(base(), 1.0, tiny().train, 0)
    assert (worst.positions - 0.5).abs().max() < 0.1
    for image, label in zip(worst.images[:5], worst.labels[:5], strict=True):
        here = (base().images == image).flatten(1).all(1)
        assert torch.equal(base().labels[here][0], label)  # its own map


def test_patches_change_places_and_stay_whole():
    worse, side = n06.HARMS["shuffled patches"](base(2), 1.0, tiny().train, 0), 8

    def patches(images):
        whole = images[0, 0].unfold(0, side, side).unfold(1, side, side)
        return sorted(map(tuple, whole.reshape(-1, side**2).tolist()))

    assert patches(worse.images) == patches(base(2).images)


@pytest.mark.parametrize("harm", n06.HARMS)
def test_every_score_orders_what_it_must_see(harm):
    """In 48 small slices chance may exchange two neighbouring steps of four, no more,
    and the worst step is worse than none."""
    floor = judge()(base())
    cards = n06.trial(harm, base(), judge(), tiny().train, floor)
    gamma = n06.order(cards)
    for name in n06.MUST_SEE[harm]:
        values = [card[name] for card in cards.values()]
        assert gamma[name] >= 0.6, (name, values)
        bad = [n06.badness(name, value, floor[name]) for value in values]
        assert bad[-1] > bad[0], (name, values)


BADNESS = [  # score, value, floor, how bad that is
    ("copies", 0.25, 0.3, 0.2),
    ("copies", 0.0, 0.3, 0),
    ("nearest", 0.4, 1.0, 0.6),
    ("nearest", 1.4, 1.0, 0.4),
    ("recall", 0.5, 0.7, 0.2),
    ("recall", 0.9, 0.7, 0),
    ("agreement", 0.9, 0.95, 0.1),
    ("told apart", 0.4, 0.5, 0),
    ("texture", Interval(-0.3, -1, 1), Interval(0.0, -1, 1), 0),
    ("shape", Interval(4.0, 3, 5), Interval(0.5, 0, 1), 4),
]


@pytest.mark.parametrize(("name", "value", "floor", "expected"), BADNESS)
def test_badness_knows_which_way_is_better(name, value, floor, expected):
    assert n06.badness(name, value, floor) == pytest.approx(expected)


def flat_card(**changes):
    return dict.fromkeys(SCORES, 0.5) | {"places": None} | changes


def test_a_score_that_does_not_move_orders_nothing():
    found = n06.order(dict.fromkeys((0.0, 0.5, 1.0), flat_card()))
    assert found["texture"] == 0
    assert found["places"] is None
    steps = [flat_card(recall=v, copies=1 - v) for v in (0.9, 0.4, 0.5, 0.0, 0.0)]
    found = n06.order(dict(enumerate(steps)))
    # one of nine pairs the wrong way round, one even
    assert found["recall"] == pytest.approx((8 - 1) / 9)
    assert found["copies"] == pytest.approx((8 - 1) / 9)


def test_what_moved_beyond_chance():
    # the prostate's agreement stands beside the scores, and is none of them
    floor = flat_card(texture=Interval(0.0, -2, 2)) | {"prostate": 0.9}
    card = floor | {"texture": Interval(1.5, -0.5, 3.5), "recall": 0.2}
    assert n06.moved(card, floor) == ["recall"]
    card |= {"texture": Interval(5.0, 3, 7)}
    assert n06.moved(card, floor) == ["texture", "recall"]
    far = n06.distance_from_floor(card, floor)
    assert far["KID, texture"] == 5
    assert far["recall"] == pytest.approx(0.3)
    assert far["precision"] == 0


def test_cards_become_a_table():
    a = flat_card(shape=Interval(1.0, 0, 2))
    b = flat_card(agreement=None, recall=0.1, precision=0.46)
    table = n06.card_table({"a": a, "b": b})
    assert "organ positions" not in table.index  # nobody has it
    assert table.loc["KID, segmenter", "a"] == "1.0 (0.0 to 2.0)"
    assert table.loc["recall", "b"] == "0.10 *"  # worse than the floor
    assert table.loc["precision", "b"] == "0.46"  # by chance
    assert table.loc["agreement", "b"] == ""
    assert table.loc["recall", "best"] == "as the floor"


def test_a_stored_card_is_a_mean_over_seeds():
    found = (("x", 0, 0.5), ("x", 1, 0.7), ("floor", 0, 0.2))
    keys = ("set", "seed", "recall")
    rows = [{"data": "phantom"} | dict(zip(keys, row, strict=True)) for row in found]
    others = [rows[0] | {"data": "real"}, rows[0] | {"share": 4.0}]
    others += [rows[0] | {"set": "ceiling of x"}]
    kept = n06.stored_rows({"rows": rows + others}, "phantom")
    assert len(kept) == len(rows)
    table = n06.stored_card(kept)
    assert table.loc["recall", "x"] == "0.60 ± 0.14"
    assert table.loc["recall", "floor"] == "0.20"  # one seed has no spread
    assert list(table.index) == ["recall"]
    assert n06.stored_rows({"rows": rows}, "elsewhere") is None
    assert n06.stored_rows(None, "phantom") is None


def test_the_shipped_generator_is_judged_beside_patients_it_has_not_seen():
    # those of the quick phantom are among the men that it learned from
    source = text("notebooks/06_judging_samples.ipynb")
    assert "of_run" not in source
    assert "shipped_generator" not in source
    table = n06.shipped_card()
    assert list(table)[2:] == ["shipped"]
    assert "±" in table.loc["recall", "shipped"]  # seeds
    assert "±" not in table.loc["recall"].iloc[0]


def test_grain_is_measured_inside_each_tissue():
    images, labels = (
        torch.zeros(1, 1, 24, 24),
        torch.zeros(1, 24, 24, dtype=torch.uint8),
    )
    labels[:, 8:16], labels[:, 16:] = 3, 1
    images[:, :, 8:16:2] = 0.5  # stripes in the bladder
    images[:, :, 16:] = 0.8  # a step at its border
    found = n06.grain(Slices(images, labels=labels))
    assert found["bladder"] == 0.5
    assert found["air"] == found["fat and muscle"] == 0
    assert math.isnan(found["prostate"])


def test_a_mirrored_copy_is_shown_as_it_lies():
    train = tiny().train.images
    distance, twin = n06.nearest_training(train[[3]].flip(2), train)
    assert distance[0] == pytest.approx(0, abs=1e-6)
    assert torch.equal(twin, train[[3]].flip(2))


def test_rows_by_lot_near_a_place():
    positions = torch.linspace(0, 1, 5).repeat(4)
    rows = n06.rows_at(positions, torch.tensor([0.5] * 20))
    assert set(positions[rows].tolist()) == {0.5}
    assert len(rows.unique()) > 1


def test_frames_stand_around_what_must_be_seen():
    orders = {"blur": {"a": 1.0, "b": 0.0}, "copies": {"a": -1.0, "b": 0.5}}
    seen = {"blur": ["a"], "copies": []}
    must = {"blur": ("a",), "copies": ("b", "gone")}
    axis = n06_figures.trial_table(orders, seen, must, {"a": "A", "b": "B"}).axes[0]
    colours = [text.get_color() for text in axis.texts]
    assert colours == ["black", "0.6", "0.6", "0.6"]  # noticed: only blur by A
    corners = [(frame.get_x(), frame.get_y()) for frame in axis.patches]
    assert np.round(np.array(corners) + 0.46).tolist() == [[0, 0], [1, 1]]


def test_each_pair_has_one_drawn_slice_on_a_random_side():
    white = torch.ones(5, 1, 16, 8)
    sides = n06_figures.blind_test(white, 0 * white, seed=1)
    assert set(sides) == {"left", "right"}
    axes = plt.gcf().axes
    for number, side in enumerate(sides):
        held_out = axes[2 * number + (side == "left")]
        assert held_out.images[0].get_array().mean() == 1
