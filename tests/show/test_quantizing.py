"""Figures of quantization, and the sentences that numbers are put into."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vqlib.metrics import Interval
from vqlib.show import quantizing


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_frames_count_codes_in_use_and_those_out_of_sight():
    vectors = torch.tensor([[0.0, 0.0], [0.1, 0.0], [1.0, 1.0]])
    codebook = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.1, -0.1], [50.0, 50.0]])
    frame = ("step 1", vectors, codebook)
    figure = quantizing.codebook_frames({"row": [frame, frame]}, cells=True)
    assert [axis.get_title() for axis in figure.axes] == ["step 1: 2 of 4 in use"] * 2
    assert texts(figure) == ["1 code outside"] * 2
    assert figure.axes[0].get_xlim()[1] < 2  # the far code does not shrink the rest
    figure.draw_without_rendering()


def test_cells_are_those_of_the_nearest_code():
    codebook = torch.tensor([[0.0, 0.5], [1.0, 0.5], [0.5, 3.0]])
    vectors = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    figure = quantizing.codebook_frames({"": [("", vectors, codebook)]}, 0.1, True)
    tint = np.asarray(figure.axes[0].images[0].get_array())  # [y, x, 3]
    palette = 0.7 + 0.3 * quantizing._code_palette(3)
    assert np.allclose(tint[150, 10], palette[0])
    assert np.allclose(tint[150, -10], palette[1])


def test_regions_outline_a_mask_up_to_the_border_upright():
    mask = np.zeros((64, 32), bool)
    mask[:16, 24:] = True  # the patient's right, at the head
    figure = quantizing.regions(torch.rand(1, 1, 64, 32), {"mask": mask})
    (contour,) = [c for c in figure.axes[0].collections if len(c.get_paths())]
    points = np.concatenate([p.vertices for p in contour.get_paths()])
    x, z = figure.axes[0].get_xlim()[1], figure.axes[0].get_ylim()[1]
    middle = (points.min(0) + points.max(0)) / 2 / (x, z)
    assert middle == pytest.approx((8 / 64, 28 / 32), abs=0.02)


def test_like_code_vectors_get_like_colours():
    line = torch.linspace(0, 1, 20)[:, None] * torch.ones(1, 6)
    line += 1e-3 * torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    colours = quantizing.code_colours(line)
    assert colours.shape == (20, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert (np.abs(np.diff(colours[:, 0])) < 0.1).all()
    assert abs(colours[0, 0] - colours[-1, 0]) > 0.8
    assert np.ptp(colours[:, 1]) < 0.05  # what hardly varies takes no colours
    assert quantizing.code_colours(torch.rand(5, 2)).shape == (5, 3)


def test_colours_go_to_the_codes_that_occur():
    line = torch.linspace(0, 1, 20)[:, None] * torch.ones(1, 6)
    stray = 100 * torch.eye(6)[:1]  # one far code that nobody uses
    counts = torch.tensor([*[5] * 20, 0])
    colours = quantizing.code_colours(torch.cat([line, stray]), counts)
    assert abs(colours[0, 0] - colours[19, 0]) > 0.8
    plain = quantizing.code_colours(torch.cat([line, stray]))
    assert abs(plain[0, 0] - plain[19, 0]) < 0.2


def test_code_maps_show_each_code_upright_in_its_colour():
    palette = np.random.default_rng(0).random((4, 3))
    codes = torch.zeros(1, 16, 8, dtype=torch.int64)
    codes[0, 0, 7] = 3  # right, head
    image = torch.rand(1, 1, 64, 32)
    figure = quantizing.code_maps(image, codes, palette, image)
    axis = figure.axes[1]
    shown = np.asarray(axis.images[0].get_array())  # [w, h, 3], origin at the bottom
    assert axis.images[0].origin == "lower"
    assert np.allclose(shown[7, 0], palette[3])
    assert np.allclose(shown[0, 0], palette[0])
    assert axis.get_title() == "128 codes, 2 different"


def test_patient_pairs_draws_the_mean_of_each_patient():
    patients = np.array([9, 4, 4])
    scores = {"VAE": np.array([0.9, 0.2, 0.4]), "VQ-VAE": np.array([0.8, 0.5, 0.7])}
    figure = quantizing.patient_pairs(scores, patients)
    lines = [line.get_ydata() for line in figure.axes[0].lines]
    assert np.allclose(lines, [[0.3, 0.6], [0.9, 0.8]])
    assert texts(figure) == ["patient 004", "patient 009"]


def test_names_of_patients_with_equal_means_do_not_overlap():
    scores = {"VAE": np.array([0.1, 0.5, 0.9]), "VQ-VAE": np.array([0.5, 0.5, 0.5])}
    figure = quantizing.patient_pairs(scores, [1, 2, 3])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    boxes.sort(key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 for a, b in itertools.pairwise(boxes))


def row(data, kind, seed, mean):
    score = {"mean": mean, "low": mean - 0.01, "high": mean + 0.02}
    return {"data": data, "kind": kind, "seed": seed, "ssim": score}


ROWS = [
    row("real_slices", "vae", 0, 0.70),
    row("real_slices", "vqvae", 0, 0.72),
    row("real_slices", "vae", 1, 0.75),
    row("real_slices", "vqvae", 1, 0.71),
]


def difference(seed, mean, low, high, data="real_slices"):
    score = {"mean": mean, "low": low, "high": high}
    return {"data": data, "seed": seed, "ssim": score}


def test_seed_dots_has_a_panel_for_each_data_set_and_one_legend_entry_a_model():
    rows = [*ROWS, row("phantom", "vae", 0, 0.8)]
    figure = quantizing.seed_dots(rows, {"vae": "VAE", "vqvae": "VQ-VAE"})
    assert [axis.get_title() for axis in figure.axes] == ["real slices", "phantom"]
    legend = figure.axes[0].get_legend().get_texts()
    assert sorted(text.get_text() for text in legend) == ["VAE", "VQ-VAE"]


def test_seed_summary_says_who_leads_and_how_much_seeds_matter():
    found = [difference(0, 0.02, 0.01, 0.03), difference(1, -0.04, -0.06, 0.01)]
    (line,) = quantizing.seed_summary(ROWS, found)
    assert line.startswith("real slices: over 2 seeds VAE is above VQ-VAE by 0.0100")
    assert "VQ-VAE is ahead for 1 of them" in line
    assert "leaves out 0 for 1." in line
    assert line.endswith("by up to 0.0500.")  # the VAE, from 0.70 to 0.75


@pytest.mark.parametrize(
    ("interval", "start", "ending"),
    [
        (Interval(0.02, 0.01, 0.03), "a has the higher SSIM, by 0.0200 over b", "out"),
        (Interval(-0.02, -0.03, -0.01), "b has the higher SSIM, by 0.0200", "out"),
        (Interval(0.02, -0.01, 0.03), "a has the higher SSIM, by 0.0200", "holds"),
        (Interval(-0.02, -0.03, 0.01), "b has the higher SSIM, by 0.0200", "holds"),
    ],
)
def test_verdict_takes_its_direction_from_the_numbers(interval, start, ending):
    said = quantizing.verdict("a", "b", interval)
    assert said.startswith(start)
    assert ("leaves out 0" in said) == (ending == "out")
    assert ("holds 0" in said) == (ending == "holds")


def test_verdict_turns_the_interval_with_the_winner():
    said = quantizing.verdict("a", "b", Interval(-0.02, -0.03, -0.01))
    assert "0.0100 to 0.0300" in said


def test_staircase_draws_what_goes_forward_and_what_goes_back():
    x = torch.linspace(-1, 1, 5)
    figure = quantizing.staircase(x, x.round())
    forward, backward = (line.get_ydata() for line in figure.axes[0].lines)
    assert np.allclose(forward, x.round())
    assert np.allclose(backward, x)
