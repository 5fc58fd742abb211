"""Real or generated? A test of the reader's own eye. Used in notebook 05.

Live there are two buttons and a running score; where nobody can press them all slices
are shown with numbers, and the answers are printed below. The score lives in the
widget and nowhere else.
"""

import io
from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import binom
from torch import Tensor

from lessons import widgets
from lessons.samples import sample_rows
from lessons.style import as_slices

COLUMNS = 4


@dataclass
class BlindTest:
    """Slices in random order, what they are, and what the reader said so far."""

    images: np.ndarray  # [N, H, W]
    real: np.ndarray  # [N] bool
    said: list[bool] = field(default_factory=list)  # real?

    @property
    def over(self) -> bool:
        return len(self.said) == len(self.real)

    @property
    def right(self) -> int:
        return int((np.array(self.said, bool) == self.real[: len(self.said)]).sum())

    def answer(self, real: bool) -> None:
        """What the reader says of the present slice; nothing more after the last."""
        if not self.over:
            self.said.append(real)

    def verdict(self) -> str:
        """The score, and how often pure guessing does as well or better."""
        asked = len(self.said)
        if not asked:
            return "no answer yet"
        luck = binom.sf(self.right - 1, asked, 0.5)
        was = "real" if self.real[asked - 1] else "generated"
        return (
            f"the last one was {was}; {self.right} of {asked} right "
            f"(guessing does as well in {luck:.0%} of all tries)"
        )


def shuffled(real: Tensor, generated: Tensor, seed: int = 0) -> BlindTest:
    """Both sets `[N, 1, H, W]`, `[M, 1, H, W]` in random order."""
    both = np.concatenate([as_slices(real), as_slices(generated)])
    order = np.random.default_rng(seed).permutation(len(both))
    return BlindTest(both[order], order < len(real))


def blind_test(real: Tensor, generated: Tensor, seed: int = 0) -> BlindTest:
    """Ask the reader which slices are real; see the top of this module."""
    test = shuffled(real, generated, seed)
    if widgets.is_headless():
        _still(test)
    else:
        from IPython.display import display

        display(buttons(test))
    return test


def _still(test: BlindTest) -> None:
    rows = {}
    for start in range(0, len(test.real), COLUMNS):
        last = min(start + COLUMNS, len(test.real))
        rows[f"{start + 1} to {last}"] = test.images[start:last]
    sample_rows(rows, width=2.0)
    plt.show()
    numbers = ", ".join(str(i + 1) for i in np.flatnonzero(test.real))
    print(f"Decide first, then read on. Real are numbers {numbers}.")


def buttons(test: BlindTest):
    """The widget: one slice at a time, two buttons, the score."""
    import ipywidgets  # of the extra `lab`, not needed headless

    picture = ipywidgets.Image(value=_png(test.images[0]), format="png", width=480)
    said = ipywidgets.HTML("Real or generated?")
    choices = [ipywidgets.Button(description=name) for name in ("real", "generated")]

    def press(button):
        test.answer(button.description == "real")
        said.value = f"{test.verdict()[0].upper()}{test.verdict()[1:]}."
        if test.over:
            said.value += " That was the last one."
            for choice in choices:
                choice.disabled = True
        else:
            picture.value = _png(test.images[len(test.said)])

    for choice in choices:
        choice.on_click(press)
    return ipywidgets.VBox([picture, ipywidgets.HBox(choices), said])


def _png(image: np.ndarray) -> bytes:
    """A picture of one slice, upright."""
    figure = sample_rows({"": image}, width=4.0)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return file.getvalue()
