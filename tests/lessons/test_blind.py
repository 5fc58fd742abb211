import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lessons import blind, widgets


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def sets():
    return torch.ones(3, 1, 16, 8), torch.zeros(2, 1, 16, 8)


def test_the_order_is_random_and_the_truth_goes_along():
    test = blind.shuffled(*sets(), seed=1)
    np.testing.assert_array_equal(test.images.mean((1, 2)) == 1, test.real)
    assert test.real.sum() == 3
    assert test.real.tolist() != [True, True, True, False, False]


def test_score_and_luck():
    test = blind.shuffled(*sets())
    assert test.verdict() == "no answer yet"
    for real in test.real:
        test.answer(bool(real))
    assert test.over
    assert "5 of 5 right" in test.verdict()
    assert "3%" in test.verdict()  # 1 in 32
    test.answer(True)
    assert len(test.said) == 5


def test_still_form_shows_all_and_answers(capsys):
    test = blind.blind_test(*sets())
    shown = [a for a in plt.gcf().axes if a.images]
    assert len(shown) == 5
    numbers = ", ".join(str(i + 1) for i in np.flatnonzero(test.real))
    assert f"numbers {numbers}." in capsys.readouterr().out


def test_buttons_go_on_score_and_stop_at_the_end(monkeypatch):
    monkeypatch.setattr(widgets, "is_headless", lambda: False)
    test = blind.shuffled(*sets())
    picture, choices, said = blind.buttons(test).children
    assert isinstance(picture, ipywidgets.Image)
    real, _ = choices.children
    for _ in test.real:
        real.click()
    assert bytes(picture.value) == blind._png(test.images[-1])
    assert f"{int(test.real.sum())} of 5 right" in said.value
    assert "last one." in said.value
    assert real.disabled
