"""The command line: what it prints and how it exits."""

import json
import re
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from vqlib.cli import main
from vqlib.runs import Run, save_json


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def refused(*arguments):
    """What a refused command says: one line, no traceback."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    return last


def write_slice(folder, split, name):
    path = folder / f"keras_slices_{split}" / f"{name}.nii.gz"
    path.parent.mkdir(exist_ok=True, parents=True)
    seed = [*name.encode(), *split.encode()]  # no two slices are one picture
    image = np.random.default_rng(seed).random((256, 128), dtype=np.float32)
    nib.save(nib.Nifti1Image(image, np.eye(4)), path)
    return path


@pytest.fixture
def slices(tmp_path):
    for case, split in enumerate(("train", "validate", "test"), start=4):
        for number in (0, 1):
            name = f"case_{case:03d}_week_0_slice_{number}"
            write_slice(tmp_path / "slices", split, name)
    return tmp_path / "slices"


def test_help_is_quick():
    code = "import sys, vqlib.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_command_has_help():
    pages = [["tutorial"], ["train"], ["results"], ["data", "phantom"]]
    pages += [["data", "check"], ["data", "convert"], ["notebooks", "refresh"]]
    for page in pages:
        assert run(*page, "--help").exit_code == 0, page


def test_unknown_names_get_the_nearest(home):
    assert "did you mean 'tutorial'" in refused("tutorail")
    assert "did you mean 'phantom'" in refused("data", "fantom", "x")
    assert "did you mean 'vqvae'" in refused("train", "vqvea")
    assert "did you mean 'epochs'" in refused("train", "vae", "-p", "epoch", "3")
    assert "epochs must be int" in refused("train", "vae", "-p", "epochs", "three")
    assert "restarts must be bool" in refused("train", "vqvae", "-p", "restarts", "0")
    assert "did you mean 'full'" in refused("train", "vae", "--profile", "ful")


def test_tutorial_outside_the_project(home):
    assert "no notebooks in" in refused("tutorial")
    assert "as --seed 3" in refused("tutorial", "-p", "seed", "3")
    assert "no folder notebooks" in refused("lab")


def test_train_says_what_does_not_go_together(home):
    assert "use one of 32-true" in refused("train", "vae", "--precision", "8")
    assert "use one of auto, cpu, cuda" in refused("train", "vae", "--device", "gpu")
    assert "use one of csv, tensorboard" in refused("train", "vae", "--logger", "wandb")
    assert "must be bool" in refused("train", "vae", "-p", "augment", "perhaps")


def test_one_process_of_several_tells_an_error(home, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    result = run("train", "vqvea")
    assert result.exit_code == 1
    assert result.output == ""


def test_train_with_all_that_can_be_chosen(home, slices, monkeypatch):
    """On the CPU: mixed precision, channels last, a log; interrupted and taken up."""
    from vqlib.training import loop

    command = ["train", "autoencoder", "--profile", "smoke", "--data-dir", str(slices)]
    command += ["-p", "batch_size", "2", "-p", "augment", "true", "--channels-last"]
    command += ["--precision", "bf16-mixed", "--logger", "csv"]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_epoch", interrupt)
        result = run(*command)
    assert result.exit_code == 130
    assert "keeps every finished epoch, and the same command goes on" in result.stderr
    result = run(*command)
    assert result.exit_code == 0, result.output
    folder = Run("smoke").folder / "autoencoder"
    assert f"autoencoder is in {folder}" in result.output
    log = (folder / "logs" / "version_0" / "metrics.csv").read_text()
    assert len(log.splitlines()) == 3
    assert "val_ssim" in log


def test_a_network_that_cannot_be_compiled_is_told(home, slices, monkeypatch):
    from torch._dynamo.exc import TorchDynamoException

    from vqlib.experiment import Experiment

    def train(*_, compile, **__):
        assert compile
        raise TorchDynamoException("No working C++ compiler found\nin detail")

    monkeypatch.setattr(Experiment, "train", train)
    command = ("train", "vae", "--profile", "smoke", "--data-dir", str(slices))
    assert "compiler found); leave out --compile" in refused(*command, "--compile")


def test_phantom_wants_three_numbers_or_one(home, monkeypatch):
    for wrong in ("3,a", "2", "4,4", "0"):
        assert "such as 12,4,5" in refused("data", "phantom", "x", "--patients", wrong)
    assert not (home / "x").exists()
    asked = []
    monkeypatch.setattr(
        "pelvis.phantom.write.write_phantom", lambda _, **how: asked.append(how)
    )
    for given in ("3", "40", "5,1,2"):
        assert run("data", "phantom", "x", "--patients", given).exit_code == 0
    assert [how["patients"] for how in asked] == [(1, 1, 1), (32, 4, 4), (5, 1, 2)]


def test_check_of_a_good_folder(slices):
    result = run("data", "check", str(slices))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"no fault in {slices}"
    assert re.search(r"^slices +2 +2 +2$", result.stdout, re.MULTILINE)
    assert result.stderr == ""


def test_check_lists_every_fault(slices):
    broken = slices / "keras_slices_train" / "case_004_week_0_slice_1.nii.gz"
    broken.write_bytes(broken.read_bytes()[:500])
    nan = np.full((256, 128), np.nan, dtype=np.float32)
    path = slices / "keras_slices_test" / "case_006_week_0_slice_0.nii.gz"
    nib.save(nib.Nifti1Image(nan, np.eye(4)), path)
    also = write_slice(slices, "validate", "case_004_week_0_slice_7")  # as in train
    result = run("data", "check", str(slices))
    assert result.exit_code == 1
    faults = [x for x in result.stdout.splitlines() if x.startswith("fault: ")]
    assert len(faults) == 3
    for file in (broken, path, also):
        assert any(str(file) in fault for fault in faults)
    assert result.stderr == f"error: 3 faults in {slices}\n"


def test_check_for_machines(slices):
    result = run("data", "check", str(slices), "--json")
    report = json.loads(result.stdout)
    assert report["ok"] is True
    assert result.exit_code == 0
    keys = re.findall(r"\w+", run("data", "check", "--help").stdout)
    assert {*report, *report["splits"]["train"]} <= set(keys)
    result = run("data", "check", str(slices / "none"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["faults"][0]["remedy"]


def test_results(home):
    assert "vqlib tutorial --run none" in refused("results", "--run", "none")
    interval = {"mean": 0.7, "low": 0.6, "high": 0.8}
    save_json(Run("one").part("vae") / "metrics.json", {"ssim": interval})
    assert "0.600–0.800" in run("results", "--run", "one").output
    assert "| --- |" in run("results", "--run", "one", "--markdown").output
