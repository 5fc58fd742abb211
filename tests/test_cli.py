"""The command line: what it prints and how it exits."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from vqlib.cli import main
from vqlib.runs import make_folder, run_folder, save_json


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


def test_help_is_quick():
    code = "import sys, vqlib.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_command_has_help():
    pages = [["tutorial"], ["train"], ["results"], ["data", "phantom"]]
    pages += [["data", "check"], ["data", "convert"], ["notebooks", "refresh"]]
    for page in pages:
        assert run(*page, "--help").exit_code == 0, page


def test_tutorial_outside_the_project(home):
    assert "no notebooks in" in refused("tutorial")
    assert "no folder notebooks" in refused("lab")


def test_one_process_of_several_tells_an_error(home, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    result = run("train", "vqvea")
    assert result.exit_code == 1
    assert result.output == ""


def test_train_with_all_that_can_be_chosen(home, slices, monkeypatch):
    """Mixed precision, augmentation; interrupted and taken up; in a folder whose name
    has spaces and other scripts."""
    from vqlib.training import loop

    command = ["train", "autoencoder", "--profile", "smoke", "--data-dir", str(slices)]
    command += ["-p", "batch_size", "2", "-p", "augment", "true"]
    command += ["--precision", "bf16-mixed", "--run", "zwei Wörter 研究"]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_epoch", interrupt)
        result = run(*command)
    assert result.exit_code == 130
    assert "keeps every finished epoch, and the same command goes on" in result.stderr
    result = run(*command)
    assert result.exit_code == 0, result.output
    folder = run_folder("zwei Wörter 研究") / "autoencoder"
    assert f"autoencoder is in {folder}" in result.output
    assert "val_ssim" in (folder / "history.csv").read_text()


def test_results(home):
    assert "vqlib tutorial --run none" in refused("results", "--run", "none")
    interval = {"mean": 0.7, "low": 0.6, "high": 0.8}
    save_json(
        make_folder(run_folder("one") / "vae") / "metrics.json", {"ssim": interval}
    )
    assert "0.600–0.800" in run("results", "--run", "one").output
    assert "| --- |" in run("results", "--run", "one", "--markdown").output
