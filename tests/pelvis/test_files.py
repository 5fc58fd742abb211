"""Jobs in several processes."""

import os
import signal
import subprocess
import sys

import pytest
from slice_files import refusal

from pelvis.files import run_jobs


def test_what_a_job_raises_is_raised():
    with pytest.raises(TypeError):
        list(run_jobs(abs, ["a", "b"], 2))


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_process_that_is_killed_is_one_line():
    """As the system does where memory is short."""
    line = refusal(lambda: list(run_jobs(signal.raise_signal, [signal.SIGKILL] * 2, 2)))
    assert "ended from outside" in line


def test_a_script_needs_no_guard(tmp_path):
    script, call = tmp_path / "script.py", "run_jobs(abs, [-2, 2], 2)"
    script.write_text(
        f"from pelvis.files import run_jobs\nprint(sum(n for _, n in {call}))"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.stdout == "4\n", done.stderr
