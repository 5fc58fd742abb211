import errno
import os
import shutil
from pathlib import Path
from unittest.mock import Mock

import nibabel as nib
import numpy as np
import pytest
import torch
from filelock import FileLock
from slice_files import refusal, write_nifti, write_slice
from torch.nn.functional import avg_pool2d
from torchvision.transforms.v2.functional import center_crop

from vqlib import profiles
from vqlib.data import cache, open_data


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("VQLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Slices of both sizes, floats and integers, labels in the train split alone."""
    folder = tmp_path_factory.mktemp("written") / "study"
    rng = np.random.default_rng(0)
    for key in [*((4, 0, number) for number in range(4)), (4, 1, 0), (12, 0, 3)]:
        pixels = rng.gamma(2, 40, (256, 128)).astype(np.float32)
        label = rng.integers(0, 6, (256, 128)).astype(np.uint8)
        write_slice(folder, "train", *key, pixels, label)
    wide = rng.integers(-5, 300, (256, 144)).astype(np.int16)
    for number in range(3):
        write_slice(folder, "test", 41, 0, number, wide)
    write_slice(folder, "validate", 36, 0, 0)
    write_slice(folder, "validate", 37, 0, 0, np.zeros((256, 128), np.int16))
    return folder


@pytest.fixture
def study(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "study"))


def opened(folder, profile="smoke"):
    return open_data(folder, profile, progress=False)


def content(data) -> list[bytes]:
    """The fingerprint and all tensors of a data set, to the bit."""
    found = [data.fingerprint.encode()]
    for part in (data.train, data.validate, data.test):
        for name in ("images", "labels", "positions", "patients", "weeks"):
            tensor = getattr(part, name)
            found.append(b"" if tensor is None else tensor.numpy().tobytes())
    return found


def entries(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.name != ".lock")


@pytest.fixture
def decode(monkeypatch):
    """Counts how often a folder is decoded."""
    monkeypatch.setattr(cache, "decode", Mock(wraps=cache.decode))
    return cache.decode


def by_hand(split, size) -> torch.Tensor:
    """Images of a split by the field's libraries alone, one volume after the other."""
    volumes = []
    for rows in split.index.volumes.values():
        paths = [split.index.records[row].path for row in rows]
        volume = np.stack([nib.load(path).get_fdata().astype("f4") for path in paths])
        if volume.any():
            bright = np.percentile(volume[volume != 0], 99.5)
            volume = np.clip(volume / np.float32(bright), 0, 1)
        square = center_crop(torch.from_numpy(volume), [256, 128])
        volumes.append(avg_pool2d(square[:, None], 256 // size[0]))
    return torch.cat(volumes)


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_the_cache_changes_no_bit(study, monkeypatch, name):
    first, second = opened(study, name), opened(study, name)
    monkeypatch.setenv("VQLIB_CACHE", "off")
    assert content(first) == content(second) == content(opened(study, name))
    for part in (second.train, second.validate, second.test):
        assert torch.equal(part.images, by_hand(part, profiles.get(name).shape))
    assert second.train.labels.dtype == torch.uint8
    assert second.test.labels is None
    assert not second.has_labels


def test_a_second_opening_reads_no_file_and_parses_no_name(study, decode, monkeypatch):
    records = opened(study).index.records
    (study / "keras_slices_train" / ".DS_Store").write_bytes(b"x")  # no slice
    (study / "notes.txt").write_bytes(b"x")
    for place in ("cache.read_slice", "layout._scan"):
        monkeypatch.setattr(f"vqlib.data.{place}", None)
    data = opened(study)
    assert len(data.train) == 6
    monkeypatch.undo()
    assert data.index.records == records
    assert data.train.index.volumes == {(4, 0): [0, 1, 2, 3], (4, 1): [4], (12, 0): [5]}
    assert decode.call_count == 1


def test_a_folder_that_is_moved_keeps_its_entry_and_a_copy_its_fingerprint(
    study, tmp_path, decode
):
    before = content(opened(study))
    moved = study.rename(tmp_path / "elsewhere")
    assert content(opened(moved)) == before
    assert decode.call_count == 1
    copy = tmp_path / "copy"
    shutil.copytree(moved, copy, copy_function=shutil.copyfile)  # with new times
    assert content(opened(copy)) == before


ONES, LABEL = np.ones((256, 144), np.int16), "seg_train/seg_012_week_0_slice_3.nii.gz"
CHANGES = {
    "pixels": lambda study: write_slice(study, "train", 12, 0, 3, ONES[:, :128]),
    "label": lambda study: write_nifti(study / f"keras_slices_{LABEL}", ONES[:, :128]),
    "more": lambda study: write_slice(study, "test", 41, 0, 9, ONES),
    "less": lambda study: next(study.glob("*/case_041_week_0_slice_1.*")).unlink(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(study, root, name):
    before = content(opened(study))
    mine = root / "thesis.part"
    mine.mkdir()
    killed = root / ("0" * 32 + ".part")
    killed.mkdir()
    CHANGES[name](study)
    after = content(opened(study))
    assert after[0] != before[0]
    assert after[1:] != before[1:]
    assert after == content(opened(study))
    assert len(entries(root)) == 2  # what was decoded before is gone
    assert mine.exists()


HARMS = {
    "images.npy": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "labels.npy": Path.unlink,
    "entry.json": lambda path: path.write_bytes(b"\0" * 100),
}


@pytest.mark.parametrize("name", HARMS)
def test_a_damaged_entry_is_made_again(study, root, decode, name):
    before = content(opened(study))
    (entry,) = entries(root)
    HARMS[name](entry / name)
    for _ in range(2):
        assert content(opened(study)) == before
    assert decode.call_count == 2
    assert entries(root) == [entry]


def test_a_fault_leaves_nothing(study, root):
    path = study / "keras_slices_train" / "case_012_week_0_slice_3.nii.gz"
    path.write_bytes(path.read_bytes()[:500])
    assert path.name in refusal(opened, study)
    assert entries(root) == []


@pytest.mark.parametrize("word", ["off", "0", "scratch", ""])
def test_where_it_lies_and_how_it_is_switched_off(study, root, monkeypatch, word):
    monkeypatch.setenv("VQLIB_CACHE", word)
    monkeypatch.setenv("VQLIB_HOME", str(root))
    opened(study)
    if word in ("off", "0"):
        assert not root.exists()
    else:
        assert len(entries(root / (word or "cache"))) == 1


def in_the_way(root, _):
    root.write_text("a file")
    return str(root)


def full_disk(root, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    return os.strerror(errno.ENOSPC)


def locked_for_ever(root, monkeypatch):
    monkeypatch.setattr(cache, "WAIT", 0.2)
    root.mkdir()
    monkeypatch.setattr(cache, "held", lock := FileLock(root / ".lock"), raising=False)
    lock.acquire()
    return "lock"


@pytest.mark.parametrize("harm", [in_the_way, full_disk, locked_for_ever])
def test_slices_that_cannot_be_kept_stay_in_memory(
    study, root, capsys, monkeypatch, harm
):
    reason = harm(root, monkeypatch)
    data = opened(study)
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert "set VQLIB_CACHE to another folder, or to off" in line
    monkeypatch.setenv("VQLIB_CACHE", "off")
    assert content(data) == content(opened(study))
    assert harm is in_the_way or entries(root) == []
