"""Two or three processes on the CPU, which talk by gloo, train one model."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from commands import content, python, vqlib
from shared_training import ALL, CASES, KINDS, LOSSES, averages, losses_of, train
from slice_files import BLADDER, write_study

from vqlib.runs import load_checkpoint, read_history

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("shared_training.py")
COMMAND = ["train", "autoencoder", "--profile", "smoke", "-p", "epochs", "2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with slices, in which three processes have trained every model, and two
    have followed the command."""
    home = tmp_path_factory.mktemp("home")
    data = write_study(home / "slices", label=BLADDER)
    own = {"VQLIB_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    env = os.environ | own
    torchrun = ("torch.distributed.run", "--nproc-per-node", 3)
    python("-m", *torchrun, SCRIPT, home, env=env)
    by_itself = (*COMMAND, "--devices", 2, "--run", "two", "--data-dir", data)
    said = python("-m", "vqlib", *by_itself, env=env)  # starts the second one
    (home / "output.txt").write_text(said)
    return home


def of_all(home, name):
    """What each of the three processes has found."""
    paths = [home / f"{name}-{rank}.safetensors" for rank in range(3)]
    return [load_checkpoint(path)[0] for path in paths]


@pytest.mark.parametrize("case", CASES)
def test_all_processes_hold_the_same_weights(home, case):
    ranks = of_all(home, case)
    assert len({int(each.pop("seed")) for each in ranks}) == 3  # for their own noise
    assert len(ranks[0]) > 10
    for each in ranks[1:]:
        assert each.keys() == ranks[0].keys()
        for name, value in each.items():
            assert torch.equal(value, ranks[0][name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_three_processes_train_as_one_does(home, kind, tmp_path):
    """But for noise of their own: latents, dropout, blur."""
    alone = train(kind, tmp_path)["losses"]
    together = of_all(home, kind)[0]["losses"]
    exact = kind in ("autoencoder", "vqvae", "vqvae2", "maps")
    torch.testing.assert_close(together, alone, rtol=1e-3 if exact else 0.1, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients_are_those_of_the_whole_batch(home, name):
    ranks = of_all(home, "together")
    loss, by = losses_of(ALL)[name]
    loss.backward()
    mean = sum(each[f"{name} loss"] for each in ranks) / 3  # as it is reported
    torch.testing.assert_close(mean, loss.detach())
    for each in ranks:
        torch.testing.assert_close(each[f"{name} gradient"], by.grad)
        torch.testing.assert_close(each[f"{name} scored"], loss.detach())


def test_averages_are_those_of_one_process_with_the_joint_batch(home):
    (found, *_) = of_all(home, "together")
    for key, value in averages(ALL).items():
        torch.testing.assert_close(found[key], value)


def test_two_processes_train_as_one_does_which_writes_and_reports(home, monkeypatch):
    """A batch is a batch, however many share it; sums are only added up otherwise."""
    monkeypatch.setenv("VQLIB_HOME", str(home))
    vqlib(*COMMAND, "--data-dir", home / "slices", "--run", "one")
    folders = [home / "runs" / name / "autoencoder" for name in ("one", "two")]
    assert content(folders[0]).keys() == content(folders[1]).keys()
    assert json.loads((folders[1] / "timing.json").read_text())["epochs"] == 2
    assert (home / "output.txt").read_text().count("autoencoder is in") == 1
    one, two = (read_history(folder / "history.csv") for folder in folders)
    assert one.keys() == two.keys()
    for column in one:
        assert two[column] == pytest.approx(one[column], rel=1e-3), column
