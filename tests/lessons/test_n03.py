"""Figures of quantization: codebooks, cells, gradients, codes in colour."""

import numpy as np
import pytest
import torch

from lessons import n03


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_frames_count_codes_in_use_and_those_out_of_sight():
    vectors = torch.tensor([[0.0, 0.0], [0.1, 0.0], [1.0, 1.0]])
    codebook = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.1, -0.1], [50.0, 50.0]])
    frame = ("step 1", vectors, codebook)
    figure = n03.codebook_frames({"row": [frame, frame]}, cells=True)
    assert [axis.get_title() for axis in figure.axes] == ["step 1: 2 of 4 in use"] * 2
    assert texts(figure) == ["1 code outside"] * 2
    assert figure.axes[0].get_xlim()[1] < 2  # the far code does not shrink the rest
    figure.draw_without_rendering()


def test_cells_are_those_of_the_nearest_code():
    codebook = torch.tensor([[0.0, 0.5], [1.0, 0.5], [0.5, 3.0]])
    vectors = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    figure = n03.codebook_frames({"": [("", vectors, codebook)]}, 0.1, True)
    tint = np.asarray(figure.axes[0].images[0].get_array())  # [y, x, 3]
    palette = 0.7 + 0.3 * n03._code_palette(3)
    assert np.allclose(tint[150, 10], palette[0])
    assert np.allclose(tint[150, -10], palette[1])


def test_regions_outline_a_mask_up_to_the_border_upright():
    mask = np.zeros((64, 32), bool)
    mask[:16, 24:] = True  # the patient's right, at the head
    figure = n03.regions(torch.rand(1, 1, 64, 32), {"mask": mask})
    (contour,) = [c for c in figure.axes[0].collections if len(c.get_paths())]
    points = np.concatenate([p.vertices for p in contour.get_paths()])
    x, z = figure.axes[0].get_xlim()[1], figure.axes[0].get_ylim()[1]
    middle = (points.min(0) + points.max(0)) / 2 / (x, z)
    assert middle == pytest.approx((8 / 64, 28 / 32), abs=0.02)


def test_like_code_vectors_get_like_colours():
    line = torch.linspace(0, 1, 20)[:, None] * torch.ones(1, 6)
    line += 1e-3 * torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    colours = n03.code_colours(line, torch.ones(20))
    assert colours.shape == (20, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert (np.abs(np.diff(colours[:, 0])) < 0.1).all()
    assert abs(colours[0, 0] - colours[-1, 0]) > 0.8
    assert np.ptp(colours[:, 1]) < 0.05  # what hardly varies takes no colours
    assert n03.code_colours(torch.rand(5, 2), torch.ones(5)).shape == (5, 3)


def test_colours_go_to_the_codes_that_occur():
    line = torch.linspace(0, 1, 20)[:, None] * torch.ones(1, 6)
    stray = 100 * torch.eye(6)[:1]  # one far code that nobody uses
    counts = torch.tensor([*[5] * 20, 0])
    colours = n03.code_colours(torch.cat([line, stray]), counts)
    assert abs(colours[0, 0] - colours[19, 0]) > 0.8
    plain = n03.code_colours(torch.cat([line, stray]), torch.ones(21))
    assert abs(plain[0, 0] - plain[19, 0]) < 0.2


def test_coloured_codes_show_each_code_upright_in_its_colour():
    palette = np.random.default_rng(0).random((4, 3))
    codes = torch.zeros(1, 16, 8, dtype=torch.int64)
    codes[0, 0, 7] = 3  # right, head
    image = torch.rand(1, 1, 64, 32)
    figure = n03.coloured_codes(image, codes, palette, image)
    axis = figure.axes[1]
    shown = np.asarray(axis.images[0].get_array())  # [w, h, 3], origin at the bottom
    assert axis.images[0].origin == "lower"
    assert np.allclose(shown[7, 0], palette[3])
    assert np.allclose(shown[0, 0], palette[0])
    assert axis.get_title() == "128 codes, 2 different"
