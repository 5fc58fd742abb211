"""Jobs in several processes, from whatever script."""

import os
import signal
import subprocess
import sys

import pytest
from slice_files import refusal

from pelvis import workers

SCRIPT = """
from math import factorial
from pelvis import workers
print(sorted(workers.run(factorial, [3, 4, 5], 2)))
"""


def test_a_script_needs_no_guard():
    command = [sys.executable, "-"]
    done = subprocess.run(command, input=SCRIPT, capture_output=True, text=True)
    assert done.stdout == "[(3, 6), (4, 24), (5, 120)]\n", done.stderr


def test_what_a_job_raises_is_raised():
    with pytest.raises(TypeError):
        list(workers.run(abs, ["a", "b"], 2))


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_process_that_is_killed_is_one_line():
    """As the system does where memory is short."""
    line = refusal(
        lambda: list(workers.run(signal.raise_signal, [signal.SIGKILL] * 2, 2))
    )
    assert "ended from outside" in line
