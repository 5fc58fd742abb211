import importlib
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from commands import ROOT, refused, vqlib
from made_slices import lab_on, made_data
from PIL import Image
from slice_files import refusal

from vqlib import generator, profiles, recipes
from vqlib.cli.drawn import HEAD, contact_sheet
from vqlib.data import LABEL_NAMES, SliceDataset, SliceIndex
from vqlib.generator import Generator
from vqlib.runs import load_checkpoint, load_json, save_checkpoint, save_json

TWO = torch.tensor([0.2, 0.7])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with two runs: one that draws maps first, one without maps."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VQLIB_HOME", str(home))
        lab = lab_on(made_data(home, labels=True), "organs")
        for kind in recipes.GENERATORS:
            lab.train(kind)
        lab = lab_on(made_data(home), "plain", organs_first=False)
        for kind in ("sharp_vqvae", "prior"):
            lab.train(kind)
    return home


@pytest.fixture(autouse=True)
def at_home(home, monkeypatch):
    monkeypatch.setenv("VQLIB_HOME", str(home))


@pytest.mark.parametrize("family", ["vqvae", "vae"])
def test_slices_are_drawn_for_their_maps_and_follow_the_seed(family):
    made = Generator.of_run("organs", family)
    one, same, other = (made.sample(TWO, seed=s) for s in (1, 1, 2))
    assert (one.images.shape, one.labels.shape) == ((2, 1, 64, 32), (2, 64, 32))
    assert torch.equal(one.images, same.images)
    assert 0 <= one.images.min() <= one.images.max() <= 1
    given = (one.labels + 1) % 6
    asked = made.sample(TWO, seed=1, labels=given)
    assert torch.equal(asked.labels, given)
    if family == "vqvae":  # two epochs of the VAE draw black, whatever they are given
        assert not torch.equal(one.images, other.images)
        assert not torch.equal(asked.images, one.images)


def test_where_a_run_holds_a_detail_slices_are_drawn_through_it():
    made, bare = Generator.of_run("organs"), Generator.of_run("organs")
    bare.detail = None
    one, other = made.sample(TWO), bare.sample(TWO)
    assert torch.equal(one.labels, other.labels)
    assert not torch.equal(one.images, other.images)
    wanted = recipes.add_detail(made.detail, other.images, one.labels, TWO, seed=2)
    torch.testing.assert_close(one.images, wanted)
    assert Generator.of_run("organs", "vae").detail is None  # it fits one decoder
    assert Generator.of_run("plain").detail is None
    again = made.reconstruct(one.images, one.labels, TWO, seed=2)
    assert torch.equal(again, made.reconstruct(one.images, one.labels, TWO, seed=2))
    assert not torch.equal(again, made.reconstruct(one.images, one.labels, TWO, 3))


@pytest.mark.parametrize("run", ["organs", "plain"])
def test_a_residual_is_what_a_decoded_slice_lacks(home, run):
    lab = lab_on(
        made_data(home, labels=run == "organs"), run, organs_first=run == "organs"
    )
    source = lab.load("sharp_vqvae")
    residuals = recipes.find("detail").splits(lab.data, source, lab.settings).train
    item = residuals[len(residuals) - 1]  # of a mirrored slice
    decoded = torch.nn.functional.pixel_shuffle(item["context"][:4], 2)
    residual = torch.nn.functional.pixel_shuffle(item["mu"], 2)
    wanted = lab.data.train.images[-1].flip(1)
    torch.testing.assert_close(decoded + residual, wanted)
    assert len(item["context"]) == 4 + 6 * (run == "organs")


def test_a_run_without_maps_draws_slices_at_once():
    made = Generator.of_run("plain")
    assert made.sample(TWO).labels is None
    maps = torch.zeros(2, 64, 32)
    for act in (lambda: made.sample(TWO, labels=maps), lambda: made.draw_maps(TWO)):
        refusal(act, match="without label maps")


def test_what_is_missing_or_of_another_version_is_one_line(home):
    missing = "plain holds no sharp_vae; make it with `vqlib"
    refusal(Generator.of_run, "plain", "vae", match=missing)
    path = home / "runs" / "other" / "sharp_vqvae"
    path.mkdir(parents=True)
    first = home / "runs" / "plain" / "sharp_vqvae"
    save_json(path / "settings.json", load_json(first / "settings.json"))
    weights, meta = load_checkpoint(first / "best.safetensors")
    weights.pop(next(name for name in weights if "decoder" in name))
    save_checkpoint(path / "best.safetensors", weights, meta)
    args = path.parent, "sharp_vqvae"
    refusal(generator.load_part, *args, match="of another version of vqlib")


@pytest.mark.parametrize(
    ("family", "kind", "source"),
    [
        ("vqvae", "prior", "sharp_vqvae"),
        ("vqvae", "detail", "sharp_vqvae"),
        ("vqvae", "maps_prior", "maps"),
        ("vae", "flow", "sharp_vae"),
    ],
)
def test_a_prior_over_another_model_than_the_one_beside_it_is_refused(
    home, family, kind, source
):
    run = shutil.copytree(home / "runs" / "organs", home / "runs" / f"other-{kind}")
    made = load_json(run / kind / "settings.json")
    save_json(run / kind / "settings.json", made | {"source": "0" * 16})
    said = refusal(Generator.of_run, run.name, family)
    assert f"{kind} was trained over another {source} than the one" in said
    assert f"delete it and run `vqlib train {kind} --profile smoke" in said


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "resources")
    return importlib.import_module("ship_generator")


def test_what_is_shipped_is_tied_to_its_weights_of_16_bits(
    home, tmp_path, monkeypatch, script
):
    run = shutil.copytree(home / "runs" / "organs", home / "runs" / "shippable")
    for path in run.glob("*/settings.json"):
        save_json(path, load_json(path) | {"data": "phantom"})
    monkeypatch.setattr(script, "OUT", tmp_path)
    script.ship(lab_on(made_data(home, labels=True), run.name))
    for kind in script.PARTS:
        generator.load_part(tmp_path, kind)  # raises where it is not


def test_the_command_writes_slices_that_can_be_opened_again(home, tmp_path):
    out = tmp_path / "out"
    words = ("sample", "--run", "organs", "--n", 3, "--out", out, "--seed", 4)
    vqlib(*words)
    read = SliceDataset.from_index(SliceIndex.from_folder(out), (64, 32))
    drawn = generator.sample(n=3, run="organs", seed=4)
    scaled = drawn.images / np.percentile(drawn.images[drawn.images > 0.0005], 99.5)
    torch.testing.assert_close(read.images, scaled.clamp(max=1), atol=4e-3, rtol=0)
    assert torch.equal(read.labels, drawn.labels)
    for path in out.rglob("*.nii.gz"):
        assert "synthetic" in path.name
        nifti = nib.load(path)
        assert b"synthetic" in nifti.header["descrip"].tobytes()
        assert nifti.shape == (256, 128)
    made = json.loads((out / "samples.json").read_text())
    assert made["seed"] == 4
    assert len(made["positions"]) == made["n"] == 3
    sheet = Image.open(out / "sheet.png")
    title = "synthetic: drawn by vqlib, run organs, seed 4"
    assert sheet.text["Title"] == title
    pixels = np.asarray(sheet.convert("L"))
    titled = [contact_sheet(drawn, text) for text in (title, "")]
    for picture, same in zip(titled, (True, False), strict=True):
        shown = np.abs(pixels - 255 * picture) < 2
        assert shown[HEAD:].all()
        assert shown[:HEAD].all() == same  # the title is in the picture
    assert "is not empty" in refused(*words)


def test_a_map_and_a_position_can_be_given(home, tmp_path):
    labels = np.ones((256, 128), np.uint8)
    labels[100:148, 60:88] = 3
    nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / "map.nii.gz")
    words = ["sample", "--run", "organs", "--n", 2, "--out", tmp_path / "out"]
    vqlib(*words, "--position", 0.4, "--labels", tmp_path / "map.nii.gz")
    made = load_json(tmp_path / "out" / "samples.json")
    assert made["positions"] == [0.4, 0.4]
    folder = tmp_path / "out" / "keras_slices_seg_train"
    for path in folder.iterdir():
        assert np.array_equal(np.asarray(nib.load(path).dataobj), labels)


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.3), ("guidance", 9.0)])
def test_an_option_of_the_draw_reaches_it(tmp_path, name, value):
    out, positions = tmp_path / "out", torch.tensor([0.25, 0.75])
    vqlib("sample", "--run", "organs", "--n", 2, "--out", out, f"--{name}", value)
    files = sorted((out / "keras_slices_train").iterdir())
    found = torch.stack(
        [torch.tensor(nib.load(p).get_fdata()[::4, ::4]) for p in files]
    )
    made = Generator.of_run("organs")
    usual, wanted = made.sample(positions), made.sample(positions, **{name: value})
    assert np.array_equal(found, np.rint(1000 * wanted.images[:, 0].numpy()))
    assert not torch.equal(wanted.images, usual.images)
    if name == "guidance":
        assert torch.equal(wanted.labels, usual.labels)


def test_the_shipped_generator_draws_what_it_drew_when_it_was_made(script):
    shipped = Path(generator.__file__).parent / generator.SHIPPED
    card = load_json(shipped / "card.json")
    drawn = generator.sample(n=2, seed=0)
    for name, found in script.means_and_pixels(drawn.images).items():
        assert found == pytest.approx(card[name], abs=0.002), name
    assert drawn.labels.max() < len(LABEL_NAMES)
    size = sum(p.stat().st_size for p in shipped.rglob("*.saf*"))
    assert size < 8e6
    assert profiles.get("standard").shape == drawn.images.shape[2:]
