"""What was found: each claim of a lesson, beside the numbers of this run it rests on.

A sentence about a figure can be true in one run and false in the next. So the claim is
computed where the figure is drawn, and says so itself where it does not hold.
"""

from html import escape

from IPython.display import HTML, display

_found: dict[str, tuple[bool, str]] = {}  # claim -> whether it holds, its numbers


def finding(claim: str, holds: bool, numbers: str) -> None:
    """Show a claim in a box, with its numbers and whether it holds in this run.

    >>> finding("the VAE is ahead at equal bits", 0.9 > 0.8, "SSIM 0.90 against 0.80")
    <IPython.core.display.HTML object>
    """
    _found[claim] = bool(holds), numbers
    display(HTML(f'<div style="{_BOX}">{_sentence(claim)}</div>'))


def findings() -> None:
    """Show all claims so far as a list: the summary of a notebook."""
    items = "".join(f"<li>{_sentence(claim)}</li>" for claim in _found)
    display(HTML(f"<ul>{items}</ul>"))


_BOX = "border-left: 4px solid #0072b2; padding: 0.4em 0.8em; margin: 0.5em 0"


def _sentence(claim: str) -> str:
    holds, numbers = _found[claim]
    start = "&#10003; <b>In this run:</b>" if holds else "&#10007; <b>Not here:</b>"
    return f"{start} {escape(claim)} ({escape(numbers)})."
