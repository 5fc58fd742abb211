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

TRAIN = "train {} --profile smoke --data-dir ../study --run r -p batch_size 2"
JOBS = {  # commands, one after the other
    "phantom": ["data phantom made --patients 1,1,1 --weeks 1 --slices 2"],
    "convert": ["data convert ../scans made --slices 4 --processes 2"],
    "vqvae": [TRAIN.format("vqvae")],
    "sample": ["sample --n 4 --out made"],
}


def make_sources(folder: Path) -> None:
    """Slices to train on, and scans to convert."""
    write_study(folder / "study", label=BLADDER)
    for number in range(4):
        write_volume(folder / "scans" / f"p{number}.nii.gz")


def run(job: list[str], home: Path, seconds: float = 1e5) -> bool:
    """Run a job in its home; whether it was killed, which it is after so long."""
    home.mkdir(exist_ok=True)
    env = os.environ | {"VQLIB_HOME": str(home), "VQLIB_CACHE": str(home / "../cache")}
    env["OMP_NUM_THREADS"] = "1"
    end = time.monotonic() + seconds
    for command in job:
        words = [sys.executable, "-m", "vqlib", *command.split()]
        process = subprocess.Popen(words, cwd=home, env=env, stderr=subprocess.PIPE)
        try:
            said = process.communicate(timeout=max(0, end - time.monotonic()))[1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return True
        assert process.returncode == 0, said.decode()[-2000:]
    return False


def made(home: Path) -> dict[str, bytes]:
    """What a job has made, but for how long it took."""
    return content(home, ("timing.json", "last.safetensors", ".lock"))


def sweep(job: list[str], folder: Path, moments: int, seed: int = 0):
    """Kill a job at random moments, each in a home of its own, and complete it; yields
    whether it was killed (else it had ended), and whether all is as undisturbed."""
    started = time.monotonic()
    run(job, folder / "whole")
    took = time.monotonic() - started
    chance, expected = random.Random(seed), made(folder / "whole")
    assert expected
    for number in range(moments):
        home = folder / f"killed-{number}"
        killed = run(job, home, took * chance.uniform(0.1, 1))
        if killed and made(home) != expected:  # else it was killed at its very end
            run(job, home)
        yield killed, made(home) == expected


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no kill -9")
@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_was_killed_is_completed_by_the_next_run(name, tmp_path):
    make_sources(tmp_path)
    found = list(sweep(JOBS[name], tmp_path, moments=2))
    assert all(same for _, same in found), found


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
        (command,) = JOBS[name]
        return act(*command.split())

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
