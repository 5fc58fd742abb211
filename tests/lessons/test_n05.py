import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from made_patients import judge, tiny

from lessons import n05, n05_figures
from lessons.style import SLICE_MM
from vqlib.metrics import SCORES, take


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def base(n=48):
    return take(tiny().validate, n)


@pytest.mark.parametrize("name", n05.HARMS)
def test_nothing_happens_at_severity_0_and_more_at_more(name):
    slices, changes = base(30), []
    before = slices.images.clone()
    for severity in (0.0, *n05.SEVERITIES):
        worse = n05.HARMS[name](slices, severity, tiny().train, 0)
        assert worse.images.shape == before.shape
        assert 0 <= worse.images.min() <= worse.images.max() <= 1
        changes.append(float((worse.images != before).flatten(1).float().mean()))
        again = n05.HARMS[name](slices, severity, tiny().train, 0)
        assert torch.equal(again.images, worse.images)
    assert changes[0] == 0
    assert changes[1] > 0
    if name not in ("blur", "dropped modes"):  # which change every pixel at once
        assert changes == sorted(changes)
    assert torch.equal(slices.images, before)


def test_ever_fewer_places_are_left_of_dropped_modes():
    drop = n05.HARMS["dropped modes"]
    left = [len(drop(base(), s, tiny().train, 0).positions.unique()) for s in (0, 1)]
    assert left[0] > 4 * left[1]
    worst = drop(base(), 1.0, tiny().train, 0)
    assert (worst.positions - 0.5).abs().max() < 0.1


def test_patches_change_places_and_stay_whole():
    worse = n05.HARMS["shuffled patches"](base(2), 1.0, tiny().train, 0)

    def patches(images):
        whole = images[0, 0].unfold(0, 4, 4).unfold(1, 4, 4)
        return sorted(map(tuple, whole.reshape(-1, 16).tolist()))

    assert patches(worse.images) == patches(base(2).images)


@pytest.mark.parametrize("harm", n05.HARMS)
def test_every_score_orders_what_it_must_see(harm):
    """In 48 small slices chance may exchange two neighbouring steps of four, no more,
    and the worst step is worse than none."""
    floor = judge()(base())
    cards = n05.trial(harm, base(), judge(), tiny().train, floor)
    gamma = n05.order(cards)
    for name in n05.MUST_SEE[harm]:
        values = [card[name] for card in cards.values()]
        assert gamma[name] >= 0.6, (name, values)
        bad = [n05.badness(name, value, floor[name]) for value in values]
        assert bad[-1] > bad[0], (name, values)


@pytest.mark.parametrize(
    ("name", "value", "floor", "expected"),
    [
        ("copies", 0.05, 0.3, 0),
        ("nearest", 0.4, 1.0, 0.6),
        ("recall", 0.5, 0.7, 0.2),
        ("recall", 0.9, 0.7, 0),
        ("texture", -0.3, 0.0, 0),
        ("shape", 4.0, 0.5, 4),
    ],
)
def test_badness_knows_which_way_is_better(name, value, floor, expected):
    assert n05.badness(name, value, floor) == pytest.approx(expected)


def test_a_score_that_does_not_move_orders_nothing():
    card = dict.fromkeys(SCORES, 0.5) | {"places": None}
    found = n05.order({0.0: card, 0.5: card, 1.0: card})
    assert found["texture"] == 0
    assert found["places"] is None
    steps = [card | {"recall": v, "copies": 1 - v} for v in (0.9, 0.4, 0.5, 0.0, 0.0)]
    found = n05.order(dict(enumerate(steps)))
    # one of nine pairs the wrong way round, one even
    assert found["recall"] == pytest.approx((8 - 1) / 9)
    assert found["copies"] == pytest.approx((8 - 1) / 9)


def bodies(n=3):
    random = torch.Generator().manual_seed(0)
    images = 0.4 + 0.1 * torch.rand(n, 1, 64, 32, generator=random)
    body = torch.zeros(n, 64, 32, dtype=torch.bool)
    body[:, 6:-6, 4:-4] = True
    return images * body[:, None], body


@pytest.mark.parametrize("kind", n05.KINDS)
def test_changes_the_mask_alone_inside_the_body(kind):
    images, body = bodies()
    found = n05.plant(images, body, kind, seed=1)
    changed = found.images[:, 0] != images[:, 0]
    assert changed.flatten(1).any(1).all()
    assert not (changed & ~found.masks).any()
    assert not (found.masks & ~body).any()
    assert 0 <= found.images.min() <= found.images.max() <= 1
    assert torch.equal(found.images, n05.plant(images, body, kind, seed=1).images)
    assert not torch.equal(found.masks, n05.plant(images, body, kind, seed=2).masks)


def test_a_body_too_thin_for_it_gets_it_all_the_same():
    images, body = bodies(1)
    body[:] = False
    body[:, 30:32, 10:20] = True
    assert n05.plant(images, body, "lesion").masks.any()
    with pytest.raises(ValueError, match="tumour"):
        n05.plant(images, body, "tumour")


def test_area_under_the_curve_of_a_score_that_knows_and_one_that_does_not():
    images, body = bodies()
    masks = n05.plant(images, body, "implant").masks
    knows = n05.on_codes(masks, (32, 16))
    assert n05.auc(knows, masks, body) == 1
    assert n05.auc(-knows, masks, body) == 0
    assert n05.auc(torch.zeros(3, 32, 16), masks, body) == 0.5
    outside = n05.on_codes(body, (32, 16)) == 0  # not asked
    assert n05.auc(knows + 5 * outside, masks, body) == 1
    assert np.isnan(n05.auc(knows, torch.zeros_like(masks), body))


def test_maps_lie_on_the_slice_with_one_scale_and_a_frame():
    maps = torch.arange(16.0).view(2, 4, 2)
    maps[1, 3, 1] = torch.nan
    marks = [(0, 0), (2, 1)]
    figure = n05_figures.grid_maps(maps, ["a", "b"], "number", marks=marks)
    first, second, bar = figure.axes
    assert [axis.get_title() for axis in (first, second)] == ["a", "b"]
    for axis in (first, second):
        assert axis.images[0].get_clim() == (0, 14)
        assert tuple(axis.images[0].get_extent())[1::2] == SLICE_MM
    assert first.images[0].get_array()[1, 0] == maps[0, 0, 1]  # the second index is up
    frame = second.patches[0]
    assert frame.get_xy() == pytest.approx((2 * SLICE_MM[0] / 4, SLICE_MM[1] / 2))
    assert bar.get_xlabel() == "number"


def test_surprisal_lies_under_its_slice_with_what_was_planted():
    nats = torch.full((2, 8, 4), 3.0)
    nats[1, 0, 0] = 5.0
    masks = torch.zeros(2, 32, 16, dtype=torch.bool)
    masks[:, 16:24, 8:12] = True
    images = torch.rand(2, 1, 32, 16)
    figure = n05_figures.surprisal_maps(images, nats, ["x", "y"], 6.0, masks)
    panels = np.reshape(figure.axes[:4], (2, 2))
    assert panels[0, 1].get_title() == "y"
    assert panels[0, 0].images[0].get_array().shape == (16, 32)
    assert panels[1, 1].images[0].get_array()[0, 0] == 5
    assert panels[1, 0].images[0].get_clim() == (0, 6)
    x, y = panels[1, 0].collections[0].get_paths()[0].vertices.mean(0)
    assert (x, y) == pytest.approx((SLICE_MM[0] * 20 / 32, SLICE_MM[1] * 10 / 16), 0.03)


def sets():
    return torch.ones(3, 1, 16, 8), torch.zeros(2, 1, 16, 8)


def test_the_order_is_random_and_the_truth_goes_along(capsys):
    test = n05_figures.blind_test(*sets(), seed=1)
    np.testing.assert_array_equal(test.images.mean((1, 2)) == 1, test.real)
    assert test.real.tolist() != [True, True, True, False, False]
    assert len([axis for axis in plt.gcf().axes if axis.images]) == 5
    numbers = ", ".join(str(i + 1) for i in np.flatnonzero(test.real))
    assert f"numbers {numbers}." in capsys.readouterr().out


def test_buttons_go_on_score_and_stop_at_the_end():
    test = n05_figures.shuffled(*sets(), seed=1)
    picture, choices, verdict = n05_figures.buttons(test).children
    assert isinstance(picture, ipywidgets.Image)
    for real in test.real:
        choices.children[0 if real else 1].click()
    assert bytes(picture.value) == n05_figures._png(test.images[-1])
    assert "5 of 5 right" in verdict.value
    assert "3%" in verdict.value  # 1 in 32
    assert "last one." in verdict.value
    assert all(choice.disabled for choice in choices.children)
    test.answer(True)
    assert len(test.answers) == 5
