import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from lessons import codebook as book
from lessons import codes as draw
from lessons.editing import editing
from lessons.style import EXTENT, LABEL_COLOURS, SLICE_MM
from vqlib.data import LABEL_NAMES
from vqlib.metrics.codes import PermutationTest

GRID = (8, 4)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def slices(n=2):
    return torch.rand(n, 1, 32, 16, generator=torch.Generator().manual_seed(0))


def panels(figure):
    return [axis for axis in figure.axes if axis.images]


def test_colours_of_labels_and_of_other_kinds():
    assert draw.kind_colours(LABEL_NAMES) == list(LABEL_COLOURS.values())
    assert len(set(draw.kind_colours(("dark", "medium", "bright")))) == 3


def test_rank_frequency_sorts_and_leaves_out_unused_codes():
    figure = draw.rank_frequency({"train": torch.tensor([1, 0, 6, 3])})
    x, y = figure.axes[0].lines[0].get_data()
    assert list(x) == [1, 2, 3]
    assert y.tolist() == pytest.approx([0.6, 0.3, 0.1])
    assert figure.axes[0].lines[1].get_ydata()[0] == 0.25


def test_usage_distances_have_a_row_for_each_split():
    figure = draw.usage_distances({"train": {4: 0.1, 5: 0.2}, "test": {40: 0.4}}, "JS")
    axis = figure.axes[0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["train", "test"]
    assert list(axis.lines[0].get_xdata()) == [0.1, 0.2]
    assert axis.lines[1].get_xdata()[0] == pytest.approx(0.15)  # the median


def test_code_maps_are_upright():
    values = torch.arange(64.0).view(2, *GRID)
    figure = draw.code_maps(slices(), values, slices(), "component")
    shown = panels(figure)[1].images[0]
    assert np.array_equal(shown.get_array(), values[0].T)
    assert shown.origin == "lower"
    assert tuple(shown.get_extent()) == EXTENT
    assert shown.get_clim() == (0, 63)  # one scale for both rows


def test_position_maps_share_a_scale_unless_each_has_its_label():
    maps = {"a": np.eye(*GRID), "b": np.arange(32.0).reshape(GRID)}
    shared = panels(draw.position_maps(maps, "bits"))
    assert shared[0].images[0].get_clim() == shared[1].images[0].get_clim() == (0, 31)
    own = panels(draw.position_maps(maps, ("bits", "nats")))
    assert own[0].images[0].get_clim() == (0, 1)
    assert own[1].images[0].get_clim() == (0, 31)


def test_chance_levels_show_null_and_observed():
    tests = {"patients": PermutationTest(0.5, np.array([0.1, 0.2]))}
    axis = draw.chance_levels(tests, "bits").axes[0]
    assert list(axis.lines[0].get_xdata()) == [0.1, 0.2]
    assert list(axis.lines[1].get_xdata()) == [0.5, 0.5]


def test_hits_fill_the_codes_and_outline_the_kind():
    where = torch.zeros(2, *GRID, dtype=torch.bool)
    where[0, 2, 3] = True
    figure = draw.hits(slices(), where, where, ["one", "two"])
    first, second = panels(figure)
    overlay = first.images[1].get_array()  # [w, h, 4]
    assert overlay[3, 2, :3].tolist() == pytest.approx(list(to_rgb(draw.HIT)))
    assert overlay[..., 3].astype(bool).sum() == 1
    assert not second.images[1].get_array()[..., 3].any()
    assert first.get_title() == "one"
    # the outline of one patch: its four sides, in mm
    assert len(first.lines) == 4
    assert not second.lines
    xs = np.concatenate([line.get_xdata() for line in first.lines])
    assert xs.min() == pytest.approx(2 * SLICE_MM[0] / 8)
    assert xs.max() == pytest.approx(3 * SLICE_MM[0] / 8)


def test_codebook_plane_separates_kinds_and_crosses_out_unused_codes():
    points = np.arange(8.0).reshape(4, 2)
    figure = book.codebook_plane(
        points,
        torch.tensor([0, 1, 1, -1]),
        ("dark", "bright"),
        torch.tensor([0.1, 0.2, 0.3, torch.nan]),
        torch.tensor([10, 5, 1, 0]),
        (0.4, 0.2),
    )
    left, grey, often = figure.axes[:3]
    assert [len(c.get_offsets()) for c in left.collections] == [1, 2]
    for axis, values in ((grey, [0.1, 0.2, 0.3]), (often, [10.0, 5.0, 1.0])):
        assert [len(c.get_offsets()) for c in axis.collections] == [1, 3]
        found = axis.collections[1].get_array()
        np.testing.assert_allclose(found, values)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "dark (1)",
        "bright (2)",
    ]
    assert "40%" in left.get_xlabel()


def test_pair_density_and_channel_bars():
    figure = book.pair_density(np.arange(50.0), np.arange(50.0), "codes", "patches")
    assert figure.axes[0].collections[0].get_array().sum() == 50
    figure = book.channel_bars({"VAE": torch.tensor([1.0, 3.0, 2.0])})
    assert [bar.get_height() for bar in figure.axes[0].patches] == [3, 2, 1]


def test_reach_maps_are_centred_and_take_zeros():
    reach = np.zeros((5, 3))
    reach[2, 1] = 1
    axis = book.reach_maps({"decoder": reach}, ("change",)).axes[0]
    assert axis.images[0].get_extent() == [-2.5, 2.5, -1.5, 1.5]
    assert axis.images[0].get_array().min() > 0
    reach[2, 1] = np.nan  # nothing to show in the middle
    figure = book.reach_maps(dict.fromkeys("abc", reach + 1), ("", "", ""))
    assert len(panels(figure)) == 3


def test_company_matrix_is_symmetric_about_chance():
    lift = np.array([[2.0, -1.0], [np.nan, 0.5]])
    figure = book.company_matrix(lift)
    image = figure.axes[0].images[0]
    assert image.get_clim() == (-2, 2)
    assert np.array_equal(image.get_array().filled(9), [[2, 9], [-1, 0.5]])  # upright


def test_purity_points_are_in_the_colour_of_the_meaning():
    labels = np.array([0, 1, 1, -1])
    meanings = labels, np.array([0.5, 1.0, 0.7, 0.0]), np.array([10.0, 20, 30, 0])
    figure = book.purity_points(meanings, ("air", "bone", "gut"))
    axis = figure.axes[0]
    shown = [dots.get_offsets().data.tolist() for dots in axis.collections]
    assert shown == [[[10.0, 0.5]], [[20.0, 1.0], [30.0, 0.7]]]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["air (1)", "bone (2)"]


def test_patch_rows_take_rows_of_different_length():
    rows = {"bone": torch.rand(3, 12, 12), "fat": torch.rand(1, 12, 12)}
    figure = book.patch_rows(rows, ("alone",))
    assert len(panels(figure)) == 4
    assert figure.axes[0].get_title() == "alone"
    assert figure.axes[0].get_ylabel() == "bone"


def test_editing_frames_the_block_in_all_panels():
    image = slices(1)
    box = (slice(2, 4), slice(1, 3))
    figure = editing({"a": image, "b": image, "change": image - 0.5}, box, GRID)
    for axis in panels(figure)[:3]:
        frame = axis.patches[0]
        assert frame.get_x() == pytest.approx(SLICE_MM[0] / 4)
        assert frame.get_height() == pytest.approx(SLICE_MM[1] / 2)
    low, high = panels(figure)[2].images[0].get_clim()
    assert low == -high
