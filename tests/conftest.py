import os

import pytest
from slice_files import write_slice

# Before torch is loaded: the tests' networks are so small that threads only wait for
# one another, the longer the more else runs.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty project folder."""
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def slices(tmp_path):
    """A small data folder in the HipMRI layout: two train patients, one with 11 slices
    so that natural order shows."""
    folder = tmp_path / "study"
    for number in range(11):
        write_slice(folder, "train", 4, 0, number)
    write_slice(folder, "train", 4, 1, 0)
    write_slice(folder, "train", 12, 0, 3)
    write_slice(folder, "validate", 36, 0, 0)
    write_slice(folder, "test", 40, 2, 0)
    return folder
