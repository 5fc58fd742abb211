"""The exported networks draw what PyTorch draws, from the same random numbers."""

import json
import runpy

import numpy as np
import pytest
import torch
from commands import ROOT

from vqlib.generator import Generator
from vqlib.priors import map_planes
from vqlib.priors.sampling import gumbel
from vqlib.recipes import LABELS, decode_maps

ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    runpy.run_path(str(ROOT / "docs/demo/export.py"))["export"](out)
    return out


def draw(folder, name, seed, feeds):
    """Codes as demo.js draws them, with the random numbers of `vqlib.priors.sample`."""
    known = json.loads((folder / "model.json").read_text())["priors"][name]
    (height, width), size = known["grid"], known["size"]
    start = ort.InferenceSession(folder / f"{name}_start.onnx")
    step = ort.InferenceSession(folder / f"{name}_step.onnx")
    random = torch.Generator().manual_seed(seed)
    noise = [gumbel((width, 1, size), random).numpy() for _ in range(height)]
    (places,) = start.run(None, feeds)
    cache, codes = np.zeros(known["cache"], np.float32), []
    for i, place in enumerate(places):
        around = [codes[i - back] if back <= i else size for back in known["offsets"]]
        given = {"around": np.array(around), "place": place, "cache": cache}
        logits, cache = step.run(None, given)
        codes.append(int((logits + noise[i // width][i % width, 0]).argmax()))
    return np.array(codes).reshape(1, height, width)


@pytest.mark.parametrize(("position", "seed"), [(0.5, 0), (0.1, 7)])
def test_the_export_draws_what_pytorch_draws(folder, position, seed):
    made, where = Generator.of_run(), torch.tensor([position])
    given = {"position": where.numpy()}

    codes = made.maps_prior.sample(where, seed=seed)
    np.testing.assert_array_equal(draw(folder, "maps", seed, given), codes)
    maps = ort.InferenceSession(folder / "maps.onnx")
    (labels,) = maps.run(None, {"codes": codes.numpy()})
    with torch.no_grad():
        np.testing.assert_array_equal(labels, decode_maps(made.maps, codes))

    labels = torch.from_numpy(labels)
    context = map_planes(labels, made.prior.grid, LABELS)
    codes = made.prior.sample(where, seed=seed, context=context)
    found = draw(folder, "slices", seed, given | {"labels": labels.numpy()})
    np.testing.assert_array_equal(found, codes)
    slices = ort.InferenceSession(folder / "slices.onnx")
    noise = made.autoencoder.decoder.noise(codes, torch.Generator().manual_seed(seed))
    given = {"codes": codes, "labels": labels, "noise": noise}
    (slice_,) = slices.run(None, {name: x.numpy() for name, x in given.items()})
    with torch.no_grad():
        wanted = made.autoencoder.decode(codes, labels, noise).clamp(0, 1)
    np.testing.assert_allclose(slice_, wanted, atol=1e-4)


def test_the_page_is_small_and_holds_no_path(folder):
    files = [*folder.iterdir()]
    assert sum(file.stat().st_size for file in files) < 7e6
    assert not any(b"site-packages" in file.read_bytes() for file in files)
