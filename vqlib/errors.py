"""The one exception that the user is meant to read."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A fault in what the user gave.

    The message is one line: which file or setting, what is wrong with it, what to do.
    The command line prints it without a traceback and exits with status 1.
    """

    def __init__(self, message: str):
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Text with what cannot be printed written out: names of files may hold anything,
    line ends included."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def unknown_name(what: str, name: str, known: Iterable[str]) -> UserError:
    """An error for a name that does not exist, with the nearest one that does."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return UserError(f"unknown {what} {name!r}; {hint}")
