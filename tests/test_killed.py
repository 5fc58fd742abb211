"""Long jobs that are killed at any moment, or meet a disk that is full or read-only:
what the same command makes afterwards is what an undisturbed run makes.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scan_files import write_volume
from slice_files import write_slice

from vqlib.cli import main

TRAIN = "train {} --profile smoke --data-dir ../study --run r -p batch_size 2"
JOBS = {  # commands, one after the other
    "phantom": ["data phantom made --patients 1,1,1 --weeks 1 --slices 2"],
    "convert": ["data convert ../scans made --slices 4 --processes 2"],
    "vqvae": [TRAIN.format("vqvae")],
    "sample": ["sample --n 4 --out made"],
}


def make_sources(folder: Path) -> None:
    """Slices to train on, and scans to convert."""
    label = np.ones((256, 128), np.uint8)
    label[100:150, 40:80] = 3
    for case, (split, count) in enumerate(
        {"train": 8, "validate": 2, "test": 2}.items(), start=4
    ):
        for number in range(count):
            write_slice(folder / "study", split, case, 0, number, label=label)
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


def content(home: Path) -> dict[str, bytes]:
    """Name -> bytes of what a job has made, but for how long it took."""
    timed = ("timing.json", "last.safetensors", ".lock")
    files = (path for path in home.rglob("*") if path.is_file())
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for path in files
        if not path.name.endswith(timed)
    }


def sweep(job: list[str], folder: Path, moments: int, seed: int = 0):
    """Kill a job at random moments, each in a home of its own, and complete it; yields
    whether it was killed (else it had ended), and whether all is as undisturbed."""
    started = time.monotonic()
    run(job, folder / "whole")
    took = time.monotonic() - started
    chance, expected = random.Random(seed), content(folder / "whole")
    assert expected
    for number in range(moments):
        home = folder / f"killed-{number}"
        killed = run(job, home, took * chance.uniform(0.1, 1))
        if killed and content(home) != expected:  # else it was killed at its very end
            run(job, home)
        yield killed, content(home) == expected


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

    def invoke(home):
        home.mkdir(exist_ok=True)
        monkeypatch.setenv("VQLIB_HOME", str(home))
        monkeypatch.chdir(home)
        (command,) = JOBS[name]
        return CliRunner().invoke(main, command.split())

    assert invoke(tmp_path / "whole").exit_code == 0
    home = place / "home"
    home.mkdir()
    (place / "study").symlink_to(tmp_path / "study")
    limits = {f"rw,size={size}k": "No space left on device" for size in SIZES[name]}
    for limit, reason in ({"ro": "Read-only file system"} | limits).items():
        assert remount(limit)
        result = invoke(home)
        assert result.exit_code == 1, (limit, result.output)
        assert isinstance(result.exception, SystemExit)
        last = result.stderr.splitlines()[-1]
        assert last.startswith("error: ")
        assert reason in last
    assert remount("size=100m")
    assert invoke(home).exit_code == 0
    assert content(home) == content(tmp_path / "whole")
