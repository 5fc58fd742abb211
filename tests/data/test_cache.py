import errno
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from filelock import FileLock
from slice_files import refusal, write_slice
from torch.nn.functional import avg_pool2d
from torch.utils.data import DataLoader, Subset
from torchvision.transforms.v2.functional import center_crop

from vqlib import profiles
from vqlib.data import SPLITS, SliceIndex, cache, make_loader, open_data

SMOKE = profiles.get("smoke")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """The cache of this test."""
    monkeypatch.setenv("VQLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Slices of both sizes, floats and integers, labels in the train split alone."""
    folder = tmp_path_factory.mktemp("written") / "study"
    rng = np.random.default_rng(0)
    train = [(4, 0, number) for number in range(11)] + [(4, 1, 0), (12, 0, 3)]
    for key in train:
        pixels = rng.gamma(2, 40, (256, 128)).astype(np.float32)
        label = rng.integers(0, 6, (256, 128)).astype(np.uint8)
        write_slice(folder, "train", *key, pixels, label)
    wide = rng.integers(-5, 300, (256, 144)).astype(np.int16)
    for number in range(3):
        write_slice(folder, "test", 41, 0, number, wide)
    write_slice(folder, "test", 40, 2, 0)
    write_slice(folder, "validate", 36, 0, 0)
    write_slice(folder, "validate", 37, 0, 0, np.zeros((256, 128), np.int16))
    return folder


@pytest.fixture
def study(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "study"))


def opened(folder, profile=SMOKE, **settings):
    return open_data(folder, profile, progress=False, **settings)


def splits(data):
    return data.train, data.validate, data.test


def content(data) -> list[bytes]:
    """All tensors of a data set, to the bit."""
    found = []
    for part in splits(data):
        for tensor in (part.images, part.labels, part.positions, part.patients):
            found.append(b"" if tensor is None else tensor.numpy().tobytes())
        found.append(part.weeks.numpy().tobytes())
    return found


def entries(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.name != ".lock")


@pytest.fixture
def decoded(monkeypatch):
    """The folders that were decoded into the cache, one after the other."""
    found, decode = [], cache.decode.decode

    def counted(index, *rest):
        found.append(index.folder)
        decode(index, *rest)

    monkeypatch.setattr(cache.decode, "decode", counted)
    return found


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
def test_the_cache_changes_no_bit(study, name):
    profile = profiles.get(name)
    plain = opened(study, profile, cache=False)
    first, second = opened(study, profile), opened(study, profile)
    assert content(first) == content(second) == content(plain)
    for part in splits(second):
        assert torch.equal(part.images, by_hand(part, profile.shape))
        assert part.images.dtype == torch.float32
    assert second.train.labels.dtype == torch.uint8
    assert second.test.labels is None
    assert not second.has_labels


def test_a_second_opening_reads_no_slice(study, decoded, monkeypatch):
    plain = opened(study, cache=False)
    opened(study)
    monkeypatch.setattr("vqlib.data.decode.read_slice", None)
    again = opened(study)
    assert len(decoded) == 1
    assert again.index.records == plain.index.records
    assert again.test.index.records == plain.test.index.records
    assert again.fingerprint == plain.fingerprint
    assert again.train.index.volumes == plain.train.index.volumes


def test_each_size_has_its_entry(study, root, decoded):
    for name in ("smoke", "quick", "smoke", "quick"):
        opened(study, profiles.get(name))
    assert len(decoded) == len(entries(root)) == 2


def test_a_folder_that_is_moved_keeps_its_entry(study, tmp_path, decoded):
    opened(study)
    moved = study.rename(tmp_path / "elsewhere")
    data = opened(moved)
    assert len(decoded) == 1
    assert data.train.index.records[0].path.is_relative_to(moved)


def test_a_copy_and_a_touched_file_are_known_by_their_bytes(
    study, root, tmp_path, decoded
):
    before = content(opened(study))
    copy = shutil.copytree(study, tmp_path / "copy", copy_function=shutil.copyfile)
    data = opened(copy)
    assert content(data) == before
    assert data.train.index.records[0].path.is_relative_to(copy)
    for path in copy.glob("*/*_3.nii.gz"):
        os.utime(path, ns=(1, 1))
    assert content(opened(copy)) == before
    assert len(decoded) == len(entries(root)) == 1


def test_a_copy_keeps_what_the_original_gives_up(study, root, tmp_path, decoded):
    before = content(opened(study))
    copy = Path(shutil.copytree(study, tmp_path / "copy"))
    opened(copy)
    change_pixels(study)
    assert content(opened(study)) != before
    assert content(opened(copy)) == before
    assert len(decoded) == len(entries(root)) == 2
    shutil.rmtree(copy)
    add(study)
    opened(study)
    assert len(entries(root)) == 1


def same_size(folder):
    """Another pixel in a file that is not compressed."""
    path = folder / "keras_slices_train" / "case_012_week_0_slice_4.nii"
    pixels = np.ones((256, 128), np.int16)
    pixels[7, 9] = 1 + path.exists()
    nib.save(nib.Nifti1Image(pixels, np.eye(4)), path)
    path = folder / "keras_slices_seg_train" / "seg_012_week_0_slice_4.nii"
    nib.save(nib.Nifti1Image(np.zeros((256, 128), np.uint8), np.eye(4)), path)


def same_size_of_a_label(folder):
    path = folder / "keras_slices_seg_train" / "seg_012_week_0_slice_4.nii"
    label = np.zeros((256, 128), np.uint8)
    label[3, 3] = path.exists()
    nib.save(nib.Nifti1Image(label, np.eye(4)), path)
    if not label.any():
        path = folder / "keras_slices_train" / "case_012_week_0_slice_4.nii"
        nib.save(nib.Nifti1Image(np.ones((256, 128), np.int16), np.eye(4)), path)


@pytest.mark.parametrize("act", [same_size, same_size_of_a_label])
def test_a_copy_with_another_pixel_is_decoded(study, tmp_path, decoded, act):
    act(study)
    opened(study)
    copy = Path(shutil.copytree(study, tmp_path / "copy"))
    act(copy)
    data = opened(copy)
    assert len(decoded) == 2
    assert content(data) == content(opened(copy, cache=False))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"a": 3, "b": null}'])
def test_states_that_cannot_be_read_are_found_again(study, root, decoded, text):
    before = content(opened(study))
    (entry,) = entries(root)
    (entry / "states.json").write_text(text)
    assert content(opened(study)) == before
    assert len(decoded) == len(entries(root)) == 1
    (entry / "states.json").write_text(text)
    change_pixels(study)
    assert content(opened(study)) != before
    assert len(entries(root)) == 1


def change_pixels(folder):
    write_slice(folder, "train", 12, 0, 3, np.full((256, 128), 7, np.int16))


def change_label(folder):
    label = np.full((256, 128), 5, np.uint8)
    write_slice(folder, "train", 12, 0, 3, np.ones((256, 128), np.int16), label)


def add(folder):
    write_slice(folder, "test", 41, 0, 9, np.ones((256, 144), np.int16))


def remove(folder):
    (folder / "keras_slices_test" / "case_041_week_0_slice_1.nii.gz").unlink()


def rename(folder):
    path = folder / "keras_slices_test" / "case_041_week_0_slice_1.nii.gz"
    path.rename(path.with_name("case_041_week_3_slice_1.nii.gz"))


@pytest.mark.parametrize("act", [change_pixels, change_label, add, remove, rename])
def test_a_change_is_seen(study, root, act):
    before = content(opened(study))
    act(study)
    after = content(opened(study))
    assert after != before
    assert after == content(opened(study, cache=False))
    assert len(entries(root)) == 1  # what was decoded before is gone


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of the last change")
def test_a_change_of_equal_size_and_time_is_seen(study, root):
    path = study / "keras_slices_train" / "case_012_week_0_slice_4.nii"
    pixels = np.ones((256, 128), np.int16)
    write_slice(study, "train", 12, 0, 4, pixels, np.zeros((256, 128), np.uint8))
    path.with_name(path.name + ".gz").unlink()
    nib.save(nib.Nifti1Image(pixels, np.eye(4)), path)
    before, facts = opened(study), path.stat()
    pixels[:100] = 2
    nib.save(nib.Nifti1Image(pixels, np.eye(4)), path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert path.stat().st_size == facts.st_size
    after = opened(study)
    assert not torch.equal(after.train.images, before.train.images)


def test_what_is_beside_the_slices_is_no_change(study, decoded):
    opened(study)
    (study / "keras_slices_train" / ".DS_Store").write_bytes(b"x")
    (study / "notes.txt").write_bytes(b"x")
    opened(study)
    assert len(decoded) == 1


WITHOUT_TORCH = """
import sys
from pathlib import Path
import pelvis.cli
from pelvis import check, convert, fetch
from vqlib.data import cache
from vqlib.data.layout import list_folder
from pelvis.phantom import write
folder = Path(sys.argv[1])
stored = cache.open_stored(folder, list_folder(folder), (64, 32), progress=False)
stored.rows(0, len(stored.images)).read([2, 0])
assert "torch" not in sys.modules, sys.modules["torch"]
"""


def test_decoding_and_mapping_load_no_pytorch(study, root):
    """Processes that draw, convert, check or decode would take half a gigabyte more."""
    run = [sys.executable, "-c", WITHOUT_TORCH, str(study)]
    for _ in range(2):  # filling, then mapping
        done = subprocess.run(run, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert len(entries(root)) == 1


def test_other_code_decodes_again(study, decoded, monkeypatch):
    opened(study)
    monkeypatch.setattr(cache, "_decoder", lambda: "PERCENTILE = 98")
    opened(study)
    assert len(decoded) == 2


def test_the_decoders_own_code_counts():
    for line in (
        "PERCENTILE = 99.5",
        "def read_slice",
        "LABEL_NAMES",
        "slices.npy",
        "def decode",
        np.__version__,
    ):
        assert line in cache._decoder()


def test_entries_of_folders_that_are_gone_are_removed(study, root, tmp_path):
    opened(study)
    study.rename(tmp_path / "elsewhere")
    opened(study.with_name("elsewhere"))  # the same entry: its folder's name is the old
    other = tmp_path / "other"
    for case, split in enumerate(SPLITS):
        write_slice(other, split, case, 0, 0)
    opened(other)
    assert len(entries(root)) == 1


def test_what_is_not_the_caches_own_is_left_alone(study, root):
    (root / "thesis.part").mkdir(parents=True)
    (root / "notes.txt").write_text("mine")
    (root / ("0" * 31)).mkdir()
    opened(study)
    change_pixels(study)
    opened(study)
    assert len(entries(root)) == 4


def shorten(path):
    path.write_bytes(path.read_bytes()[:-2])  # more than a last line end


def garble(path):
    path.write_bytes(b"\0" * 100)


def empty(path):
    path.write_bytes(b"")


def other_shape(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((2, 3)))


def test_an_entry_of_which_half_was_never_written_is_made_again(study, root, decoded):
    before = content(opened(study))
    path = entries(root)[0] / "images.npy"
    half = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(half)
        file.write(bytes(half))
    assert content(opened(study)) == before
    assert len(decoded) == 2


@pytest.mark.parametrize("harm", [shorten, garble, empty, other_shape, Path.unlink])
@pytest.mark.parametrize(
    "name", ["images.npy", "labels.npy", "slices.npy", "index.json"]
)
def test_a_damaged_entry_is_made_again(study, root, decoded, harm, name):
    before = content(opened(study))
    (entry,) = entries(root)
    harm(entry / name)
    assert content(opened(study)) == before
    assert len(decoded) == 2
    assert entries(root) == [entry]
    opened(study)
    assert len(decoded) == 2


def test_an_entry_without_its_facts_is_no_entry(study, root, decoded):
    before = content(opened(study))
    (entry,) = entries(root)
    for text in ("[]", "3", '{"slices": 3}', json.dumps({"slices": [13, 2, 4]})):
        (entry / "index.json").write_text(text)
        assert content(opened(study)) == before
    assert len(decoded) == 5


def test_a_bad_slice_leaves_nothing(study, root):
    path = study / "keras_slices_train" / "case_012_week_0_slice_3.nii.gz"
    good = path.read_bytes()
    path.write_bytes(good[:500])
    assert path.name in refusal(opened, study)
    assert entries(root) == []
    path.write_bytes(good)
    assert content(opened(study)) == content(opened(study, cache=False))


def test_a_folder_with_a_fault_is_refused_before_anything_is_written(study, root):
    write_slice(study, "test", 4, 7, 0)
    assert "patient 4 is also in" in refusal(opened, study)
    assert not root.exists()


def test_a_link_to_nowhere_is_named(study):
    path = study / "keras_slices_test" / "case_041_week_0_slice_1.nii.gz"
    path.unlink()
    try:
        path.symlink_to(study / "nowhere")
    except OSError:
        pytest.skip("this system allows no links")
    assert path.name in refusal(opened, study)
    path.unlink()
    path.symlink_to(path)
    assert path.name in refusal(opened, study)


def test_an_interruption_leaves_nothing(study, root, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.decode, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(study)
    assert entries(root) == []


OPEN_IN_A_PROCESS = """
import hashlib, os, sys, time
from pathlib import Path
from vqlib import profiles
from vqlib.data import cache, open_data
folder, meeting = Path(sys.argv[1]), Path(sys.argv[2])
others, dies = int(sys.argv[3]), sys.argv[4] == "dies"
decode = cache.decode.decode

def slow(index, size, store, progress):
    (meeting / f"decoding-{os.getpid()}").touch()

    def store_some(*volume):
        store(*volume)
        time.sleep(0.1)
        if dies:
            os._exit(9)

    decode(index, size, store_some, progress)

cache.decode.decode = slow
(meeting / f"ready-{os.getpid()}").touch()
while len(list(meeting.glob("ready-*"))) < others:
    time.sleep(0.01)
data = open_data(folder, profiles.get("smoke"), progress=False)
print(hashlib.sha256(data.train.images.numpy().tobytes()).hexdigest())
"""


def start(study, meeting, others=1, dies="lives"):
    meeting.mkdir(exist_ok=True)
    words = [study, meeting, others, dies]
    return subprocess.Popen(
        [sys.executable, "-c", OPEN_IN_A_PROCESS, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(cache.__file__).parents[2])},
    )


@pytest.mark.slow
def test_processes_and_a_killed_one(study, root, tmp_path, decoded):
    """One process dies while it decodes; then two open the folder at once."""
    killed = start(study, tmp_path / "first", dies="dies")
    assert killed.wait(timeout=120) == 9
    killed.communicate()
    (left,) = entries(root)
    assert left.name.endswith(".part")
    assert (left / "images.npy").exists()

    meeting = tmp_path / "second"
    both = [start(study, meeting, others=2) for _ in range(2)]
    printed = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert printed[0] == printed[1]  # the same slices, and no complaint
    assert len(list(meeting.glob("decoding-*"))) == 1
    (entry,) = entries(root)
    assert ".part" not in entry.name
    data = opened(study)
    assert decoded == []
    assert content(data) == content(opened(study, cache=False))


def one_line(capsys) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("slices are read into memory, for the cache ")
    assert "set VQLIB_CACHE to another folder, or to off" in line
    return line


def test_it_can_be_switched_off(study, root, monkeypatch, capsys):
    plain = content(opened(study, cache=False))
    for word in ("off", "OFF", "0"):
        monkeypatch.setenv("VQLIB_CACHE", word)
        assert content(opened(study)) == plain
    assert not root.exists()
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_to(study, root, capsys):
    root.write_text("a file")
    data = opened(study)
    assert str(root) in one_line(capsys)
    assert content(data) == content(opened(study, cache=False))


def test_a_disk_with_too_little_space(study, root, capsys, monkeypatch):
    monkeypatch.setattr(
        cache.shutil, "disk_usage", lambda _: type("U", (), {"free": 9})
    )
    data = opened(study)
    assert os.strerror(errno.ENOSPC) in one_line(capsys)
    assert entries(root) == []
    assert content(data) == content(opened(study, cache=False))


def test_a_disk_that_fills_up_meanwhile(study, root, capsys, monkeypatch):
    class FullFile(io.FileIO):
        written = 0

        def write(self, data):
            self.written += 1
            if self.written > 5:  # the header is through
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr(cache, "open", FullFile, raising=False)
    data = opened(study)
    assert os.strerror(errno.ENOSPC) in one_line(capsys)
    assert entries(root) == []
    monkeypatch.undo()
    assert content(data) == content(opened(study, cache=False))


def test_a_process_that_holds_the_lock_for_ever(study, root, capsys, monkeypatch):
    monkeypatch.setattr(cache, "WAIT", 0.2)
    root.mkdir()
    with FileLock(root / ".lock"):
        data = opened(study)
    assert "lock" in one_line(capsys)
    assert content(data) == content(opened(study, cache=False))


def test_where_the_cache_lies(study, tmp_path, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(tmp_path / "project"))
    assert cache.cache_folder(study) == tmp_path / "cache"
    monkeypatch.setenv("VQLIB_CACHE", "scratch")
    assert cache.cache_folder(study) == tmp_path / "project" / "scratch"
    monkeypatch.delenv("VQLIB_CACHE")
    assert cache.cache_folder(study) == tmp_path / "project" / "cache"


def test_the_data_folder_stays_clean_unless_asked(study, monkeypatch):
    monkeypatch.delenv("VQLIB_CACHE")
    before = sorted(study.iterdir())
    for home in (study, study / "keras_slices_train"):
        monkeypatch.setenv("VQLIB_HOME", str(home))
        assert cache.cache_folder(study) is None
        opened(study)
    assert sorted(study.iterdir()) == before
    monkeypatch.setenv("VQLIB_CACHE", str(study / "cache"))
    opened(study)
    assert len(entries(study / "cache")) == 1


def batches(loader, epochs=2) -> list[dict]:
    return [batch for _ in range(epochs) for batch in loader]


def assert_same_batches(some, others):
    for one, other in itertools.zip_longest(some, others):
        assert one.keys() == other.keys()
        for key in one:
            assert one[key].dtype == other[key].dtype
            assert torch.equal(one[key], other[key]), key


@pytest.mark.parametrize("with_cache", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_those_of_the_plain_loader(study, with_cache, shuffle):
    plain = opened(study, cache=False).train
    items = [plain[i] for i in range(len(plain))]  # a list has no short way
    generator = torch.Generator().manual_seed(3)
    wanted = batches(DataLoader(items, 4, shuffle, generator=generator))
    train = opened(study, cache=with_cache).train
    assert_same_batches(batches(make_loader(train, 4, shuffle, 3)), wanted)
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(train, 4, shuffle, generator=generator)  # as in a training
    assert_same_batches(batches(loader), wanted)


def test_each_split_reads_its_own_rows(study):
    for part in splits(opened(study)):
        rows = list(range(len(part)))
        assert np.array_equal(part.stored.read(rows), part.images)
        (batch,) = make_loader(part, 100)
        assert torch.equal(batch["image"], part.images)


def test_a_subset_of_a_split(study):
    train = opened(study).train
    (batch,) = DataLoader(Subset(train, [5, 2, 11]), 3)
    assert batch["index"].tolist() == [5, 2, 11]
    assert torch.equal(batch["image"], train.images[[5, 2, 11]])


def test_rows_count_from_the_end_and_do_not_run_into_the_next_split(study):
    train = opened(study).train
    assert torch.equal(train.__getitems__([-1])[0]["image"], train.images[-1])
    with pytest.raises(IndexError):
        train.__getitems__([len(train)])


def test_batches_follow_images_that_are_changed(study):
    data = opened(study)
    data.train.images.mul_(2)
    (batch,) = make_loader(data.train, 100)
    assert torch.equal(batch["image"], data.train.images)
    assert batch["image"].max() > 1
    data.test.images = 1 - data.test.images
    (batch,) = make_loader(data.test, 100)
    assert torch.equal(batch["image"], data.test.images)
    assert content(opened(study)) == content(opened(study, cache=False))  # not the file


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps files that are mapped")
def test_batches_outlive_the_cache(study, root):
    data = opened(study)
    before = data.train.images.clone()
    for path in entries(root)[0].iterdir():
        path.unlink()
    (batch,) = make_loader(data.train, 100)
    assert torch.equal(batch["image"], before)


def test_opening_in_inference_mode(study):
    with torch.inference_mode():
        train = opened(study).train
        (batch,) = make_loader(train, 100)
    assert torch.equal(batch["image"], train.images)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for mapped pages")
def test_an_epoch_takes_no_memory(study):
    for number in range(64):
        white = np.ones((256, 128), np.uint8)
        write_slice(study, "train", 13, 0, number, white, white)
    train = opened(study, profiles.get("full")).train

    def mapped() -> int:
        """kB of the file that count as memory of this process."""
        lines = iter(Path("/proc/self/smaps").read_text().splitlines())
        for line in lines:
            if line.endswith("images.npy"):
                return next(int(x.split()[1]) for x in lines if x.startswith("Rss"))
        raise AssertionError("not mapped")

    before = mapped()
    for _ in make_loader(train, 16, shuffle=True):
        pass
    assert mapped() == before < 1000
    train.images.sum()
    assert mapped() > 9000


def test_names_are_listed_before_they_are_parsed(study, monkeypatch):
    """A second opening looks at every file, and parses no name until it is asked."""
    opened(study)
    monkeypatch.setattr("vqlib.data.layout._scan_splits", None)
    data = opened(study)
    assert len(data.train) == 13
    monkeypatch.undo()
    assert data.index.records == SliceIndex.from_folder(study).records
