import matplotlib.pyplot as plt
import numpy as np

from lessons import n02 as draw


def texts(figure):
    return [t.get_text() for t in figure.findobj(plt.Text) if t.get_text()]


def test_rate_control_marks_the_rate_that_was_asked_for():
    history = {
        "bits": [1, 3, 2],
        "beta": [0.1, 0.3, 0.2],
        "distortion": [0.5, 0.3, 0.2],
    }
    figure = draw.rate_control(history, target_bits=2.5)
    bits, beta, _ = figure.axes
    assert [line.get_ydata()[0] for line in bits.lines] == [1, 2.5]
    assert beta.get_yscale() == "log"


def test_trainings_draws_each_model_where_it_has_the_quantity():
    histories = {
        "VAE, spatial": {"val_ssim": [0.1, 0.2], "val_bits": [100, 90]},
        "autoencoder": {"val_ssim": [0.3, 0.4]},
    }
    ssim, bits = draw.trainings(histories, 80).axes
    assert len(ssim.lines) == 2
    assert len(bits.lines) == 2  # one model, and the rate that was asked for
    assert ssim.lines[0].get_color() == bits.lines[0].get_color()


def test_uncertain_edge_draws_the_average_and_the_median():
    edges = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    *_, average, median = draw.uncertain_edge(np.arange(3), edges).axes[0].lines
    np.testing.assert_allclose(average.get_ydata(), [0, 1 / 3, 1])
    np.testing.assert_allclose(median.get_ydata(), [0, 0, 1])


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


def test_unit_bits_are_sorted():
    figure = draw.unit_bits(np.array([1.0, 3.0, 2.0]), np.array([0.1, 1, 0.5]), 0.01)
    bars, right = figure.axes
    assert [bar.get_height() for bar in bars.patches] == [3, 2, 1]
    np.testing.assert_allclose(right.lines[0].get_ydata(), [1, 0.5, 0.1])


def test_by_frequency_has_a_colour_a_model_and_a_style_a_kind():
    frequency, one, two = np.array([0.1, 0.2]), np.array([1.0, 0.5]), np.array([0.8, 0])
    curves = {
        "VAE": {"solid: all": one, "dashed: right": two},
        "x": {"solid: all": two},
    }
    axis = draw.by_frequency(frequency, curves, "share", log=True).axes[0]
    solid, dashed, other = axis.lines[:3]
    np.testing.assert_allclose(dashed.get_ydata(), two)
    assert [line.get_linestyle() for line in axis.lines[:3]] == ["-", "--", "-"]
    assert solid.get_color() == dashed.get_color() != other.get_color()
    assert axis.get_yscale() == "log"
