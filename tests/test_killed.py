"""Long jobs that are killed at any moment, or meet a disk that is full or read-only:
what the same command makes afterwards is what an undisturbed run makes.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import content, refused, vqlib
from scan_files import write_volume
from slice_files import BLADDER, write_study

JOBS = {
    "phantom": "data phantom made --patients 1,1,1 --weeks 1 --slices 2",
    "convert": "data convert ../scans made --slices 4 --processes 2",
    "vqvae": "train vqvae --profile smoke --data-dir ../study --run r -p batch_size 2",
    "sharp_vqvae": "train sharp_vqvae --profile smoke --data-dir ../study --run r "
    "-p generator_batch_size 2 -p generator_epochs 12 -p generator_critic_start 0",
    "sample": "sample --n 4 --out made",
}


def make_sources(folder: Path) -> None:
    """Slices to train on, and scans to convert."""
    write_study(folder / "study", label=BLADDER)
    for number in range(4):
        write_volume(folder / "scans" / f"p{number}.nii.gz")


def run(job: str, home: Path, seconds: float | None = None) -> bool:
    """Run a job in its home; whether it was killed, which it is after so long."""
    home.mkdir(exist_ok=True)
    own = {"VQLIB_HOME": str(home), "VQLIB_CACHE": str(home / "../cache")}
    words = [sys.executable, "-m", "vqlib", *job.split()]
    env = os.environ | own | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            words, cwd=home, env=env, stderr=subprocess.PIPE, timeout=seconds
        )
    except subprocess.TimeoutExpired:  # it was killed
        return True
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return False


def made(home: Path) -> dict[str, bytes]:
    """What a job has made, but for how long it took."""
    return content(home, ("timing.json", "last.safetensors", ".lock"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no kill -9")
@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_was_killed_is_completed_by_the_next_run(name, tmp_path):
    """At two random moments, each in a home of its own."""
    make_sources(tmp_path)
    started = time.monotonic()
    run(JOBS[name], tmp_path / "whole")
    took = time.monotonic() - started
    chance, expected = random.Random(0), made(tmp_path / "whole")
    assert expected
    for number in range(2):
        home = tmp_path / f"killed-{number}"
        killed = run(JOBS[name], home, took * chance.uniform(0.1, 1))
        if killed and made(home) != expected:  # else it was killed at its very end
            run(JOBS[name], home)
        assert made(home) == expected


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, and what gives it another size or makes it read-only."""

    def mount(options):
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        return subprocess.run(words, capture_output=True).returncode == 0

    place = tmp_path / "disk"
    place.mkdir()
    if not sys.platform.startswith("linux") or not mount("size=64k"):
        pytest.skip("only root may make a small disk, on Linux")
    yield place, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", "-l", str(place)])


SIZES = {"phantom": (16, 64, 200), "vqvae": (4, 40, 150)}  # kB


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_a_full_or_read_only_disk_is_one_line_and_costs_nothing(
    name, tmp_path, disk, monkeypatch
):
    place, remount = disk
    make_sources(tmp_path)
    monkeypatch.setenv("VQLIB_CACHE", str(tmp_path / "cache"))

    def do(home, act):
        home.mkdir(exist_ok=True)
        monkeypatch.setenv("VQLIB_HOME", str(home))
        monkeypatch.chdir(home)
        return act(*JOBS[name].split())

    do(tmp_path / "whole", vqlib)
    home = place / "home"
    home.mkdir()
    (place / "study").symlink_to(tmp_path / "study")
    limits = {f"rw,size={size}k": "No space left on device" for size in SIZES[name]}
    for limit, reason in ({"ro": "Read-only file system"} | limits).items():
        assert remount(limit)
        assert reason in do(home, refused), limit
    assert remount("size=100m")
    do(home, vqlib)
    assert made(home) == made(tmp_path / "whole")
