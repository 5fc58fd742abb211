import matplotlib.pyplot as plt

from lessons.scores import score_table
from vqlib.metrics.scorecard import SCORES


def card(value, **other):
    return dict.fromkeys(SCORES, value) | other


def test_the_table_has_a_row_for_each_set_and_tells_which_way_is_better():
    cards = {
        "ours": card(0.5, recall=0.125, places=None),
        "real": card(0.25, recall=0.75, places=None),
    }
    figure = score_table(cards, floor="real")
    (axis,) = figure.axes
    assert [t.get_text() for t in axis.get_yticklabels()] == ["real", "ours"]
    texts = [text.get_text() for text in axis.texts]
    assert "recall (↑)" in texts
    assert "Fréchet, texture (0)" in texts
    assert not any("positions" in text for text in texts)  # nobody has that score
    assert texts.count("0.125") == 1
    shades = {
        (p.get_x(), p.get_y()): p.get_facecolor()
        for p in axis.patches
    }  # fmt: skip
    column = [s for s in SCORES if s != "places"].index("recall")
    assert sum(shades[column, 1][:3]) < sum(shades[column, 0][:3])  # darker is worse
    plt.close(figure)


def test_a_missing_value_is_a_dash():
    figure = score_table({"real": card(0.1), "ours": card(0.1, places=None)}, "real")
    assert [t.get_text() for t in figure.axes[0].texts].count("–") == 1
    plt.close(figure)
