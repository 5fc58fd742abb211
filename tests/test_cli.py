from commands import refused, vqlib

from vqlib.runs import run_folder
from vqlib.training import loop


def test_outside_the_project(home):
    assert "no notebooks in" in refused("tutorial")
    assert "no folder notebooks" in refused("lab")


def test_one_process_of_several_tells_an_error(home, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert vqlib("train", "vqvea", code=1).output == ""


def test_train_with_all_that_can_be_chosen(home, slices, monkeypatch):
    """Mixed precision, augmentation; interrupted and taken up; in a folder whose name
    has spaces and other scripts."""
    command = ["train", "autoencoder", "--profile", "smoke", "--data-dir", slices]
    command += ["-p", "batch_size", "2", "-p", "augment", "true"]
    command += ["--precision", "bf16-mixed", "--run", "zwei Wörter 研究"]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_epoch", interrupt)
        said = vqlib(*command, code=130).stderr
    assert "keeps every finished epoch, and the same command goes on" in said
    folder = run_folder("zwei Wörter 研究") / "autoencoder"
    assert f"autoencoder is in {folder}" in vqlib(*command).output
    assert "val_ssim" in (folder / "history.csv").read_text()
