import matplotlib.pyplot as plt
import numpy as np

from lessons import n02 as draw


def texts(figure):
    return [t.get_text() for t in figure.findobj(plt.Text) if t.get_text()]


def test_collapse_draws_a_rate_and_sorted_spreads_for_each_training():
    bits = {"silent": [5.0, 0.0], "cured": [5.0, 9.0]}
    spreads = {"silent": np.array([0.0, 0.001]), "cured": np.array([0.3, 0.9])}
    left, right = draw.collapse(bits, spreads, threshold=0.01).axes
    assert left.lines[0].get_ydata()[-1] > 0  # a silent latent stays on a log axis
    assert list(left.lines[1].get_ydata()) == [5, 9]
    silent, cured, level = right.lines
    assert list(silent.get_ydata()) == [0.001, draw.LEAST_SPREAD]
    assert list(cured.get_ydata()) == [0.9, 0.3]
    assert level.get_ydata()[0] == 0.01
    assert silent.get_color() == left.lines[0].get_color()


def test_beta_curves_join_the_means_over_seeds():
    rows = [
        {"kind": "vae", "beta": beta, "bits": bits, "distortion": nats, "edges": 0.5}
        | {"neg_elbo": nats + 0.1, "seed": seed}
        for beta, bits, nats in ((10.0, 8, 0.3), (0.1, 64, 0.1))
        for seed, (bits, nats) in enumerate([(bits, nats), (2 * bits, nats + 0.2)])
    ]
    figure = draw.beta_curves(rows, {"vae": "VAE, spatial"})
    rate, edges, bound = figure.axes
    mean, single = rate.lines[:2]
    np.testing.assert_allclose(mean.get_xydata(), [[96, 0.2], [12, 0.4]])
    assert len(single.get_xdata()) == 4
    np.testing.assert_allclose(edges.lines[0].get_xydata(), [[96, 0.5], [12, 0.5]])
    np.testing.assert_allclose(bound.lines[0].get_xydata(), [[0.1, 0.3], [10, 0.5]])
    assert {"β: 10, 0.1, left to right", "VAE, spatial"} <= set(texts(figure))
