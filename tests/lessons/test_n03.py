"""Figures of quantization: codebooks, cells, gradients, codes in colour."""

import numpy as np
import torch

from lessons import n03


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
