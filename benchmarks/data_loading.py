"""Opening a folder of slices and an epoch of batches, against a plain loop.

The loop is what most projects on these slices do, at every start and some at every
epoch: `nibabel.load(path).get_fdata()`, file after file. It neither scales nor sizes a
slice; what we open is scaled, at the size of the run (256 x 128), and with its labels.
So the ratios that are named first compare with a loop over the images alone; the label
files are another loop. All turns are interleaved: each times the loop on its share of
the files, then a first opening into an empty cache, five later ones, and an epoch.

The folder has the size of HipMRI: 34 + 4 + 3 men of the phantom, 211 volumes of 60
slices, 12,660 files and as many labels. It is made first, which is timed too; with
``--folder`` the time that is stored of an earlier making stays.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import click
import nibabel as nib
from common import RESULTS, tell

from vqlib import profiles
from vqlib.data import make_loader, open_data
from vqlib.runs import load_json

PROFILE = profiles.get("full")
BATCH = 16

MEMORY = """
import sys
from pathlib import Path

def peak():  # of this process; what getrusage says may be its parent's
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("VmHWM")) / 1024

peaks = {}
folder, batch_size = Path(sys.argv[1]), int(sys.argv[2])
"""

LOADER = """
import numpy as np
from vqlib import profiles
from vqlib.data.cache import load_slices
from vqlib.data.layout import SliceIndex
peaks["imports"] = peak()
size = profiles.get("full").shape
index = SliceIndex.from_folder(folder)
images = load_slices(index, size, progress=False).images
peaks["opening"] = peak()
order = np.random.default_rng(0).permutation(len(images))
for start in range(0, len(images), batch_size):
    assert images[order[start : start + batch_size]].max() <= 1
peaks["an epoch"] = peak()
assert "torch" not in sys.modules
"""

WITH_TORCH = """
import torch
peaks["import torch"] = peak()
from vqlib import profiles
from vqlib.data import make_loader, open_data
data = open_data(folder, profiles.get("full"), progress=False)
peaks["opening"] = peak()
for split in (data.train, data.validate, data.test):
    for batch in make_loader(split, batch_size, shuffle=True):
        pass
peaks["an epoch"] = peak()
"""

TELL = "import json; print(json.dumps(peaks))"


def timed(action) -> tuple[float, float]:
    """Seconds on the clock and of all processors, of one call."""
    clock, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - clock, time.process_time() - processor


def read(paths: list[Path]) -> None:
    for path in paths:
        nib.load(path).get_fdata()


def epoch(data) -> None:
    for split in (data.train, data.validate, data.test):
        for _ in make_loader(split, BATCH, shuffle=True):
            pass


def turn(folder: Path, images: list[Path], labels: list[Path], n: int) -> dict:
    """Everything once; the loops on a share of the ``n`` files, brought up to all."""
    times = {
        "loop": tuple(s * n / len(images) for s in timed(lambda: read(images))),
        "loop over labels": tuple(
            s * n / len(labels) for s in timed(lambda: read(labels))
        ),
    }
    shutil.rmtree(os.environ["VQLIB_CACHE"], ignore_errors=True)
    times["first opening"] = timed(lambda: open_data(folder, PROFILE, progress=False))
    later = [timed(lambda: open_data(folder, PROFILE, False)) for _ in range(5)]
    times["later opening"] = tuple(map(statistics.median, zip(*later, strict=True)))
    data = open_data(folder, PROFILE, progress=False)
    times["epoch"] = timed(lambda: epoch(data))
    return times


def memory(folder: Path) -> dict | None:
    """Peak resident memory in MB of fresh processes, of all that is in them: of one
    that fills the cache, and of one that finds it filled; the loader alone, and with
    PyTorch around it. None where the system does not tell."""
    if not Path("/proc/self/status").exists():
        return None
    found = {}
    for name, script in (("the loader", LOADER), ("with PyTorch", WITH_TORCH)):
        shutil.rmtree(os.environ["VQLIB_CACHE"], ignore_errors=True)
        code = "\n".join([MEMORY, script, TELL])
        command = [sys.executable, "-c", code, str(folder), str(BATCH)]
        for turn in ("first", "later"):
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks = {k: round(v) for k, v in json.loads(done.stdout).items()}
            found[f"{name}, {turn} opening"] = peaks
    return found


def summary(turns: list[dict]) -> dict:
    """Median seconds, and for each kind of work the ratios of the loop to it."""
    rows = {}
    for name in turns[0]:
        clock, processor = zip(*(t[name] for t in turns), strict=True)
        ratios = [t["loop"][0] / t[name][0] for t in turns]
        rows[name] = {
            "seconds": statistics.median(clock),
            "processor_seconds": statistics.median(processor),
            "ratio": statistics.median(ratios),
            "ratio_lowest": min(ratios),
            "ratio_highest": max(ratios),
            "processor_ratio": statistics.median(
                t["loop"][1] / t[name][1] for t in turns
            ),
        }
    return rows


@click.command(help=__doc__)
@click.option("--folder", type=Path, help="Slices with labels; else a phantom is made.")
@click.option("--turns", default=6, show_default=True)
@click.option("--short", is_flag=True, help="Four volumes, two turns.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(folder: Path | None, turns: int, short: bool, store: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["VQLIB_CACHE"] = str(Path(scratch, "cache"))
        made = None
        patients, weeks = ("2,1,1", "1") if short else ("34,4,3", "6")
        if folder is None:
            folder = Path(scratch, "phantom")
            command = [sys.executable, "-m", "vqlib", "data", "phantom", str(folder)]
            command += ["--patients", patients, "--weeks", weeks]
            made = timed(lambda: subprocess.run(command, check=True))[0]
        turns = 2 if short else turns
        images = sorted(folder.glob("keras_slices_*/case_*"))
        labels = sorted(folder.glob("keras_slices_seg_*/seg_*"))
        found = [
            turn(folder, images[i::turns], labels[i::turns], len(images))
            for i in range(turns)
        ]
        peaks = memory(folder)
    rows = summary(found)
    print(f"{len(images)} slices; times are medians of {turns} turns")
    print(
        f"{'':<18}{'s':>9}{'loop is':>12}{'(lowest, highest)':>22}{'processor s':>14}"
    )
    for name, row in rows.items():
        spread = f"({row['ratio_lowest']:.1f}, {row['ratio_highest']:.1f})"
        print(
            f"{name:<18}{row['seconds']:>9.3f}{row['ratio']:>10.1f} x{spread:>22}"
            f"{row['processor_seconds']:>14.3f}"
        )
    for name, peak in (peaks or {}).items():
        steps = ", ".join(f"{step} {value} MB" for step, value in peak.items())
        print(f"peak memory, {name}: {steps}")
    if made:
        print(f"the phantom was made in {made:.0f} s on {os.cpu_count()} cores")
    elif (stored := RESULTS / "data_loading.json").exists():
        made = load_json(stored)["phantom_seconds"]
    result = {
        "slices": len(images),
        "turns": turns,
        "batch_size": BATCH,
        "cores": os.cpu_count(),
        "nibabel": version("nibabel"),
        "times": rows,
        "peak_memory_mb": peaks,
        "phantom_seconds": made,
    }
    tell("data_loading", result, store)


if __name__ == "__main__":
    main()
