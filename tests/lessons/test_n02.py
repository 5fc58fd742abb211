import numpy as np
import pandas as pd
import torch

from lessons import n02 as draw


def test_the_decoded_plane_is_upright_and_starts_at_the_lower_left():
    decoded = np.zeros((2, 3, 8, 4))  # rows by the second number, columns by the first
    decoded[0, 2, :, 3] = 1.0  # the head end of the lower right slice
    figure = draw.latent_plane(np.zeros((5, 2)), np.linspace(0, 1, 5), decoded, 2.0)
    (image,) = figure.axes[1].images
    shown = np.asarray(image.get_array())  # [2 · 4, 3 · 8], row 0 at the bottom
    assert image.origin == "lower"
    assert shown.shape == (8, 24)
    assert (shown[3, 16:] == 1).all()
    assert shown.sum() == 8


def test_each_beta_has_its_slope():
    table = pd.DataFrame(
        {"name": "VAE, spatial", "beta": [0.5, 10.0], "rate": [4000, 1000]}
        | {"distortion": [-9000, -3000], "neg_elbo": [-1.0, -0.5], "edges": [0.6, 0.2]}
    )
    curve, *pieces = draw.beta_curves(table).axes[0].lines
    np.testing.assert_allclose(curve.get_xydata(), [[4, -9], [1, -3]])
    for piece, beta, middle in zip(pieces, (0.5, 10), curve.get_xydata(), strict=True):
        (x0, y0), (x1, y1) = piece.get_xydata()
        assert np.isclose((y1 - y0) / (x1 - x0), -beta)
        np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], middle)


def test_a_set_is_nearer_to_its_like_than_to_noise():
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(60, 1, 8, 4), (32, 16))
    distance = draw.texture_distance(smooth[:30], smooth[30:])
    alike = distance(smooth[30:], matched=True)
    assert abs(alike) < distance(torch.rand(30, 1, 32, 16)) / 10
