"""Files of the repository, and commands as a user gives them."""

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from vqlib.cli import main

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))


def text(name: str | Path) -> str:
    """What a file of the repository holds."""
    return (ROOT / name).read_text(encoding="utf-8")


def vqlib(*words, code: int = 0, answer: str | None = None) -> Result:
    """``vqlib WORDS``, which must end with that exit status and without a traceback."""
    result = CliRunner().invoke(main, [str(word) for word in words], input=answer)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code == code, result.output
    return result


def refused(*words, answer: str | None = None) -> str:
    """The one line that a refused command ends with."""
    last = vqlib(*words, code=1, answer=answer).stderr.splitlines()[-1]
    assert last.startswith("error: ")
    return last


def program(*words, **how) -> str:
    """What another program prints, which must succeed."""
    done = subprocess.run(map(str, words), capture_output=True, text=True, **how)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    return done.stdout


def python(*words, **how) -> str:
    """The same of this Python."""
    return program(sys.executable, *words, **how)


def content(folder: Path, but: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Name -> bytes of all files below a folder, but of names that end so."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not path.name.endswith(but)
    }
