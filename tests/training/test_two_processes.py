"""Two or three processes on the CPU, which talk by gloo, train one model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from shared_training import KINDS, train
from slice_files import write_slice

from vqlib.cli import main
from vqlib.runs import load_checkpoint, read_history

HERE = Path(__file__).parent
COMMAND = ["train", "autoencoder", "--profile", "smoke", "-p", "epochs", "2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with slices, in which three processes have trained every model, and two
    have followed the command."""
    home = tmp_path_factory.mktemp("home")
    random = np.random.default_rng(0)
    for case, (split, count) in enumerate(
        {"train": 8, "validate": 2, "test": 2}.items(), start=4
    ):
        for number in range(count):
            pixels = random.random((32, 16), dtype=np.float32).repeat(8, 0).repeat(8, 1)
            write_slice(home / "slices", split, case, 0, number, pixels)
    own = {"VQLIB_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    how = {"env": os.environ | own, "capture_output": True, "text": True}
    torchrun = ["torch.distributed.run", "--nproc-per-node", "3"]
    by_itself = ["vqlib", *COMMAND, "--devices", "2", "--run", "two"]
    for command in (
        [*torchrun, HERE / "shared_training.py", home],
        [*by_itself, "--data-dir", home / "slices"],  # starts the second one itself
    ):
        ended = subprocess.run([sys.executable, "-m", *command], **how)
        assert ended.returncode == 0, ended.stderr[-3000:]
    (home / "output.txt").write_text(ended.stdout)
    return home


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_processes_hold_the_same_weights(home, kind):
    ranks = [
        load_checkpoint(home / f"{kind}-{rank}.safetensors")[0] for rank in range(3)
    ]
    assert len({int(each.pop("seed")) for each in ranks}) == 3  # for their own noise
    assert len(ranks[0]) > 10
    for each in ranks[1:]:
        assert each.keys() == ranks[0].keys()
        for name, value in each.items():
            assert torch.equal(value, ranks[0][name]), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_three_processes_train_as_one_does(home, kind, tmp_path):
    """But for noise of their own: latents, dropout, blur."""
    alone = train(kind, tmp_path)["losses"]
    together = load_checkpoint(home / f"{kind}-0.safetensors")[0]["losses"]
    exact = kind in ("autoencoder", "vqvae", "vqvae2", "maps")
    torch.testing.assert_close(together, alone, rtol=1e-3 if exact else 0.1, atol=0)


@pytest.mark.slow
def test_one_process_writes_and_reports(home):
    folder = home / "runs" / "two" / "autoencoder"
    assert {path.name for path in folder.iterdir()} == {
        "settings.json",
        "last.safetensors",
        "best.safetensors",
        "history.csv",
        "timing.json",
        "metrics.json",
    }
    assert json.loads((folder / "timing.json").read_text())["epochs"] == 2
    assert (home / "output.txt").read_text().count("autoencoder is in") == 1


@pytest.mark.slow
def test_two_processes_train_as_one_does(home, monkeypatch):
    """A batch is a batch, however many share it; sums are only added up otherwise."""
    monkeypatch.setenv("VQLIB_HOME", str(home))
    arguments = [*COMMAND, "--data-dir", str(home / "slices"), "--run", "one"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    one, two = (
        read_history(home / "runs" / name / "autoencoder" / "history.csv")
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    for column in one:
        assert two[column] == pytest.approx(one[column], rel=1e-3), column
