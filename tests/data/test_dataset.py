import numpy as np
import pytest
import torch
from slice_files import refusal, write_slice

from vqlib import profiles
from vqlib.data import SliceDataset, SliceIndex, make_loader, open_data


def read(folder, split="train", size=(128, 64)):
    index = SliceIndex.from_folder(folder).split(split)
    return SliceDataset.from_index(index, size)


def test_a_dataset_holds_what_the_files_hold(slices):
    data = read(slices, size=(256, 128))
    assert data.images.shape == (13, 1, 256, 128)
    assert data.images.dtype == torch.float32
    assert data.labels is None
    np.testing.assert_allclose(data.positions[:11], np.arange(11) / 10, rtol=1e-6)
    assert data.positions[11:].tolist() == [0.5, 0.5]  # the only slice of a volume
    assert data.patients.tolist() == [4] * 12 + [12]
    assert data.weeks.tolist() == [0] * 11 + [1, 0]
    item = data[3]
    assert torch.equal(item["image"], data.images[3])
    assert item["position"] == data.positions[3]
    assert item["index"] == 3


def test_both_shapes_and_labels(slices):
    label = np.zeros((256, 144), np.uint8)
    label[100:140, 60:80] = 3
    pixels = np.ones((256, 144), np.float32)
    write_slice(slices, "test", 40, 2, 0, pixels[..., None], label)
    data = read(slices, "test")
    assert data.images.shape == (1, 1, 128, 64)
    assert data.labels.dtype == torch.uint8
    assert data.labels.shape == (1, 128, 64)
    assert (data.labels[0, 50:70, 26:36] == 3).all()
    assert (data.labels == 3).sum() == 20 * 10


# (case, week, slice, shape, shape of its label, what is said)
MISFITS = [
    (40, 2, 0, (256, 128), (128, 64), "seg_040.* is 128x64, but its image is 256x128"),
    (4, 0, 5, (256, 144), None, "case_004.*5.* is 256x144, but its volume is 256x128"),
    (12, 0, 3, (128, 256), None, "case_012.* is 128x256, so it seems to lie on its"),
]


@pytest.mark.parametrize("misfit", MISFITS)
def test_shapes_that_do_not_fit(slices, misfit):
    *key, shape, labels, words = misfit
    label = None if labels is None else np.zeros(labels, np.uint8)
    split = "test" if key[0] == 40 else "train"
    write_slice(slices, split, *key, np.ones(shape, np.int16), label)
    refusal(read, slices, split, match=words)


def test_loader_depends_on_the_seed_alone(slices):
    data = read(slices, size=(64, 32))

    def order(seed):
        loader = make_loader(data, 4, True, seed)
        return [torch.cat([b["index"] for b in loader]).tolist() for _ in range(2)]

    first, second = order(0)
    assert order(0) == [first, second]
    assert first != second
    assert order(1)[0] != first
    batch = next(iter(make_loader(data, 4, False, 0)))
    assert batch["index"].tolist() == [0, 1, 2, 3]
    assert batch["image"].shape == (4, 1, 64, 32)


def test_a_folder_is_opened_and_found_from_the_notebooks_too(slices, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(slices.parent))
    elsewhere = slices.parent / "notebooks"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)  # where papermill and JupyterLab run a notebook
    data = open_data(slices.name, "smoke", progress=False)
    assert (data.name, data.has_labels) == ("study", False)
    assert [len(s) for s in (data.train, data.validate, data.test)] == [13, 1, 1]
    assert data.train.images.shape[1:] == (1, *profiles.get("smoke").shape)


@pytest.mark.slow
def test_the_phantom_is_made_once(home, monkeypatch):
    small = {"phantom_patients": "1,1,1", "phantom_slices": 2}
    profile = profiles.get("smoke", **small)
    data = open_data(None, profile, progress=False)
    monkeypatch.setattr("pelvis.phantom.write_phantom", None)
    assert open_data(None, profile, progress=False).fingerprint == data.fingerprint
    assert data.folder == home / "data" / "phantom-smoke"
    assert (data.name, data.has_labels) == ("phantom", True)
    assert data.train.images.shape == (2, 1, 64, 32)
    other = profiles.get("smoke", phantom_weeks=3, **small)
    refusal(open_data, None, other, match=r"other settings \(weeks: 1 there, 3 now")
