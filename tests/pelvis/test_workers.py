"""Jobs in several processes, from whatever script."""

import os
import signal
import subprocess
import sys

import pytest

from pelvis import workers
from vqlib.errors import UserError

SCRIPT = """
from math import factorial
from pelvis import workers
print(sorted(workers.run(factorial, [3, 4, 5], 2)))
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_every_job_comes_back_with_its_result(processes):
    assert sorted(workers.run(abs, [-1, 2, -3], processes)) == [
        (-3, 3),
        (-1, 1),
        (2, 2),
    ]


def test_what_a_job_raises_is_raised():
    with pytest.raises(TypeError):
        list(workers.run(abs, ["a", "b"], 2))


@pytest.mark.parametrize("given", ["file", "standard input"])
def test_a_script_needs_no_guard(tmp_path, given):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    command = [sys.executable, str(path) if given == "file" else "-"]
    done = subprocess.run(command, input=SCRIPT, capture_output=True, text=True)
    assert done.stdout == "[(3, 6), (4, 24), (5, 120)]\n", done.stderr


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_process_that_is_killed_is_one_line():
    """As the system does where memory is short."""
    with pytest.raises(UserError, match="ended from outside") as fault:
        list(workers.run(signal.raise_signal, [signal.SIGKILL] * 2, 2))
    assert "\n" not in str(fault.value)
