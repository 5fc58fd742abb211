import os
import signal

import pytest
from commands import python
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
    script = tmp_path / "script.py"
    lines = "from pelvis.files import run_jobs", "print(*run_jobs(abs, [-2, 2], 2))"
    script.write_text("\n".join(lines))
    assert python(script) == "(-2, 2) (2, 2)\n"
