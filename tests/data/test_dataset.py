import json

import numpy as np
import pytest
import torch
from slice_files import write_slice

from vqlib import profiles
from vqlib.data import (
    SPLITS,
    SliceDataset,
    SliceIndex,
    fit_to,
    make_loader,
    open_data,
    scale_volume,
)
from vqlib.data.phantom.write import VERSION
from vqlib.errors import UserError


def read(folder, split="train", size=(128, 64)):
    index = SliceIndex.from_folder(folder).split(split)
    return SliceDataset.from_index(index, size, progress=False)


def test_scale_divides_by_a_percentile_of_what_is_not_blank():
    volume = np.zeros((2, 10, 10), np.float32)
    volume[0] = np.arange(1, 101).reshape(10, 10)
    scaled = scale_volume(volume)
    bright = np.percentile(np.arange(1, 101), 99.5)
    assert scaled[0, 0, 9] == pytest.approx(10 / bright)
    assert scaled.max() == 1.0
    assert (scaled[1] == 0).all()
    assert scaled.dtype == np.float32


def test_scale_takes_away_the_unit_but_not_contrast_between_slices():
    volume = np.random.default_rng(0).uniform(0, 300, (3, 8, 8)).astype(np.float32)
    volume[2] /= 2
    np.testing.assert_allclose(scale_volume(7 * volume), scale_volume(volume), 1e-5)
    assert scale_volume(volume)[2].mean() < 0.7 * scale_volume(volume)[1].mean()


def test_a_blank_volume_stays_blank():
    assert (scale_volume(np.zeros((2, 4, 4))) == 0).all()


def test_fit_crops_about_the_centre_before_it_averages():
    wide = torch.zeros(1, 256, 144)
    wide[:, :, 8:136] = torch.rand(1, 256, 128)
    wide[:, :, :8] = wide[:, :, 136:] = 9.0
    middle = wide[:, :, 8:136]
    assert torch.equal(fit_to(wide, (256, 128)), middle)
    block = middle[:, 2:4, 4:6].mean()
    torch.testing.assert_close(fit_to(wide, (128, 64))[0, 1, 2], block)


def test_fit_pads_what_is_smaller():
    small = torch.ones(2, 250, 120)
    fitted = fit_to(small, (256, 128))
    assert fitted.shape == (2, 256, 128)
    assert fitted[:, 3:253, 4:124].min() == 1
    assert fitted.sum() == small.sum()


def test_fit_gives_a_block_its_most_frequent_label():
    labels = torch.zeros(1, 256, 128, dtype=torch.uint8)
    labels[0, 0:2, 0:2] = torch.tensor([[1, 1], [1, 5]])
    labels[0, 2:4, 0:2] = torch.tensor([[1, 1], [5, 5]])  # a tie
    labels[0, 4:6, 0:2] = torch.tensor([[3, 0], [0, 0]])
    fitted = fit_to(labels, (128, 64))
    assert fitted.dtype == torch.uint8
    assert fitted[0, :3, 0].tolist() == [1, 5, 0]


@pytest.mark.parametrize("size", [(100, 50), (128, 128), (512, 256), (0, 0)])
def test_fit_refuses_a_size_that_does_not_divide(size):
    with pytest.raises(UserError, match=f"size {size[0]}x{size[1]} is not 256x128"):
        fit_to(torch.zeros(256, 128), size)


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


def test_each_volume_is_scaled_by_itself(slices):
    dim = np.random.default_rng(0).integers(1, 300, (256, 128)).astype(np.int16)
    write_slice(slices, "train", 13, 0, 0, dim)
    write_slice(slices, "train", 14, 0, 0, dim * 50)
    data = read(slices)
    torch.testing.assert_close(data.images[-2], data.images[-1])


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


def test_label_of_another_shape(slices):
    write_slice(slices, "test", 40, 2, 0, label=np.zeros((128, 64), np.uint8))
    with pytest.raises(
        UserError, match=r"seg_040_week_2_slice_0.nii.gz is 128x64, but"
    ):
        read(slices, "test")


def test_slices_of_one_volume_that_differ_in_shape(slices):
    path = write_slice(slices, "train", 4, 0, 5, np.ones((256, 144), np.int16))
    with pytest.raises(UserError, match=f"{path.name} is 256x144, but its volume"):
        read(slices)


def test_a_bad_file_is_named(slices):
    path = slices / "keras_slices_train" / "case_012_week_0_slice_3.nii.gz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=path.name):
        read(slices)


def test_a_size_is_refused_before_files_are_read(slices):
    path = slices / "keras_slices_train" / "case_012_week_0_slice_3.nii.gz"
    path.write_bytes(b"")
    with pytest.raises(UserError, match="size 99x50"):
        read(slices, size=(99, 50))


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


def test_open_data(slices):
    data = open_data(slices, profiles.get("smoke"), progress=False)
    assert data.name == "study"
    assert not data.has_labels
    assert [len(s) for s in (data.train, data.validate, data.test)] == [13, 1, 1]
    assert data.fingerprint == SliceIndex.from_folder(slices).fingerprint()


def test_open_data_needs_every_split(slices):
    (slices / "keras_slices_test").rename(slices / "aside")
    with pytest.raises(UserError, match="keras_slices_test is missing or empty"):
        open_data(slices, profiles.get("smoke"), progress=False)


@pytest.fixture
def phantom_calls(monkeypatch, tmp_path):
    """Stands in for the generator: records its calls and writes one slice each."""
    calls = []

    def write_phantom(folder, patients, weeks, seed, slices, progress):
        calls.append((patients, weeks, slices))
        for case, split in enumerate(SPLITS):
            write_slice(folder, split, case, 0, 0)
        counts = dict(zip(SPLITS, patients, strict=True))
        made = {"version": VERSION, "seed": seed, "patients": counts}
        made |= {"weeks": weeks, "slices": slices}
        (folder / "phantom.json").write_text(json.dumps(made))

    monkeypatch.setattr("vqlib.data.phantom.write.write_phantom", write_phantom)
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    return calls


def test_the_phantom_is_made_once(phantom_calls, tmp_path):
    profile = profiles.get("smoke")
    for _ in range(2):
        data = open_data(None, profile, progress=False)
        assert data.name == "phantom"
        assert data.folder == tmp_path / "data" / "phantom-smoke"
    assert phantom_calls == [((2, 1, 2), 1, 8)]


def test_a_phantom_made_otherwise_is_refused(phantom_calls, monkeypatch):
    open_data(None, profiles.get("smoke"), progress=False)
    with pytest.raises(UserError, match=r"other settings \(weeks: 1 there, 3 now"):
        open_data(None, profiles.get("smoke", phantom_weeks=3), progress=False)
    with pytest.raises(UserError, match="not three whole numbers"):
        open_data(None, profiles.get("smoke", phantom_patients="2;3"), progress=False)
    monkeypatch.setattr("vqlib.data.phantom.write.VERSION", -1)
    with pytest.raises(UserError, match="delete it to have it made again"):
        open_data(None, profiles.get("smoke"), progress=False)


@pytest.mark.slow
def test_the_real_phantom(tmp_path, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path))
    profile = profiles.get("smoke", phantom_patients="1,1,1", phantom_slices=2)
    data = open_data(None, profile, progress=False)
    assert data.has_labels
    assert data.train.images.shape == (2, 1, 64, 32)
    assert data.train.images.max() == 1
