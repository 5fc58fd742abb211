import numpy as np
import pandas as pd
import torch

from lessons import findings, n01, n02, n03, n05
from vqlib.results import stored_benchmark


def test_only_the_last_orientation_is_upright():
    image = torch.zeros(8, 4)
    image[:, 3] = 1.0  # the head end
    axes = n01.orientations(image).axes
    heads = []
    for axis in axes:
        shown = np.asarray(axis.images[0].get_array())
        top = shown[-1] if axis.images[0].origin == "lower" else shown[0]
        heads.append(shown.shape[1] > shown.shape[0] and bool(top.all()))
    assert heads == [False, False, True]
    assert axes[0].get_ylabel() == axes[2].get_xlabel() == "first index"


def test_codes_on_two_grids_are_stored():
    found = n05.grids(stored_benchmark("generation"))
    assert list(found.index) == ["32 x 16", "16 x 8", "16 x 8, map first"]
    bits = found["bits under the prior"]
    assert bits["32 x 16"] > bits["16 x 8"]
    assert found.notna().all(axis=None)


def test_organ_curves_show_prevalence_and_area_by_position():
    positions = torch.tensor([0.0, 0.1, 0.9, 1.0])
    areas = pd.DataFrame({"bone": [0.0, 4.0, 6.0, 8.0]})
    shares, sizes = n01.organ_curves(positions, areas, bins=2).axes
    assert shares.lines[0].get_xydata().tolist() == [[0.25, 50.0], [0.75, 100.0]]
    assert sizes.lines[0].get_xydata().tolist() == [[0.25, 2.0], [0.75, 7.0]]
    assert [t.get_text() for t in sizes.get_legend().get_texts()] == ["bone"]


def test_the_decoded_plane_is_upright_and_starts_at_the_lower_left():
    decoded = np.zeros((2, 3, 8, 4))  # rows by the second number, columns by the first
    decoded[0, 2, :, 3] = 1.0  # the head end of the lower right slice
    figure = n02.latent_plane(np.zeros((5, 2)), np.linspace(0, 1, 5), decoded, 2.0)
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
    curve, *pieces = n02.beta_curves(table).axes[0].lines
    np.testing.assert_allclose(curve.get_xydata(), [[4, -9], [1, -3]])
    for piece, beta, middle in zip(pieces, (0.5, 10), curve.get_xydata(), strict=True):
        (x0, y0), (x1, y1) = piece.get_xydata()
        assert np.isclose((y1 - y0) / (x1 - x0), -beta)
        np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], middle)


def test_a_set_is_nearer_to_its_like_than_to_noise():
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(60, 1, 8, 4), (32, 16))
    distance = n02.texture_distance(smooth[:30], smooth[30:])
    alike = distance(smooth[30:], matched=True)
    assert abs(alike) < distance(torch.rand(30, 1, 32, 16)) / 10


def test_like_code_vectors_get_like_colours():
    exact = torch.linspace(0, 1, 20)[:, None] * torch.ones(1, 6)
    line = exact + 1e-3 * torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    colours = n03.code_colours(line, torch.ones(20))
    assert colours.shape == (20, 3)
    assert 0 <= colours.min() <= colours.max() <= 1
    assert (np.abs(np.diff(colours[:, 0])) < 0.1).all()
    assert abs(colours[0, 0] - colours[-1, 0]) > 0.8
    assert np.ptp(colours[:, 1]) < 0.05  # what hardly varies takes no colours
    assert n03.code_colours(torch.rand(5, 2), torch.ones(5)).shape == (5, 3)
    codebook = torch.cat([exact, 100 * torch.eye(6)[:1]])  # the last is far, and unused
    colours = n03.code_colours(codebook, torch.tensor([*[5] * 20, 0]))
    assert abs(colours[0, 0] - colours[19, 0]) > 0.8
    plain = n03.code_colours(codebook, torch.ones(21))
    assert abs(plain[0, 0] - plain[19, 0]) < 0.2


def test_an_organ_grows_into_the_body_and_not_into_bone():
    labels = torch.zeros(32, 16, dtype=torch.uint8)
    labels[2:30, 2:14] = 1
    labels[10:16, 4:10] = 3
    labels[10:16, 10:12] = 2
    fuller, emptier = n05.grow(labels, 3, 2), n05.grow(labels, 3, -2)
    assert (fuller == 3).sum() > (labels == 3).sum() > (emptier == 3).sum() > 0
    assert torch.equal(fuller == 2, labels == 2)
    assert torch.equal(fuller > 0, labels > 0)
    assert (emptier[labels == 3] != 0).all()
    assert torch.equal(n05.grow(labels, 3, 0), labels)


def test_a_claim_says_whether_it_holds(monkeypatch):
    shown = []
    monkeypatch.setattr(findings, "display", lambda html: shown.append(html.data))
    monkeypatch.setattr(findings, "_found", {})
    findings.finding("a < b", True, "1 against 2")
    findings.finding("all alike", False, "3 of 5")
    findings.finding("a < b", False, "2 against 1")  # the cell was run again
    assert "In this run:</b> a &lt; b (1 against 2)." in shown[0]
    assert "Not here:</b> all alike (3 of 5)." in shown[1]
    findings.findings()
    assert shown[3].count("<li>") == 2
    assert "Not here:</b> a &lt; b (2 against 1)." in shown[3]
