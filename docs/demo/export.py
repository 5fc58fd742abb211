"""The shipped generator as a page that needs no server: ``make demo``.

    python docs/demo/export.py OUT

writes into OUT the page, the networks as ONNX and onnxruntime-web, which npm brings.
The random draw and the loop over codes are in demo.js; the networks are those of
`vqlib`, their weights stored as float16, as they are shipped, and computed in float32.
PyTorch's exporter needs onnxscript.
"""

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from vqlib.errors import UserError
from vqlib.generator import Generator
from vqlib.priors import TransformerPrior, map_planes
from vqlib.recipes import LABELS

HERE = Path(__file__).parent
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs")
WASM = "ort-wasm-simd-threaded.wasm"
LARGE = 256  # numbers: larger weights are stored as float16
OPSET = 18


class Start(nn.Module):
    """What a prior knows of every place before any code: position [1], and a label map
    [1, H, W] where it is given one -> [N, 1, dim]."""

    def __init__(self, prior: TransformerPrior):
        super().__init__()
        self.prior = prior

    def forward(self, position: Tensor, labels: Tensor | None = None) -> Tensor:
        context = None
        if labels is not None:
            context = map_planes(labels, self.prior.grid, LABELS)
        return self.prior.start(position, context).places.movedim(0, 1)


class Step(nn.Module):
    """The next code's logits [K], and the cache with this place in it: the codes around
    it [6], its row of `Start` [1, dim], and keys and values of the T places before it,
    [layers, 2, 1, heads, T, dim / heads]."""

    def __init__(self, prior: TransformerPrior):
        super().__init__()
        self.prior = prior

    def forward(self, around: Tensor, place: Tensor, cache: Tensor):
        x, grown = (self.prior._embed_neighbours(around)[None] + place)[None], []
        for block, (keys, values) in zip(self.prior.blocks, cache, strict=True):
            # `Block.forward`, whose cache is written in place, which ONNX has not
            qkv = block.qkv(block.norm1(x)).view(1, 1, 3, block.heads, -1)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [1, heads, 1, dim / heads]
            keys, values = torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)
            seen = F.scaled_dot_product_attention(q, keys, values)
            x = x + block.out(seen.transpose(1, 2).reshape(x.shape))
            x = x + block.mlp(block.norm2(x))
            grown.append(torch.stack([keys, values]))
        return self.prior.logits(x[0, 0]), torch.stack(grown)


class Maps(nn.Module):
    """Codes [1, h, w] -> a label map [1, H, W] int64."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor) -> Tensor:
        return self.model.decode(codes).argmax(1)


class Slices(nn.Module):
    """Codes [1, h, w], a label map [1, H, W] and noise [1, 1, H, W] -> a slice
    [1, 1, H, W] in [0, 1]."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
        return self.model.decode(codes, labels, noise).clamp(0, 1)


def export(out: Path) -> None:
    """Write the networks and what the page has to know of them, model.json."""
    made = Generator.of_run()
    factor = made.autoencoder.decoder.factor
    size = [factor * side for side in made.prior.grid]
    labels, position = torch.zeros(1, *size, dtype=torch.int64), torch.tensor([0.5])
    known = {"size": size, "priors": {}}
    for name, prior, given in (
        ("maps", made.maps_prior, (position,)),
        ("slices", made.prior, (position, labels)),
    ):
        heads, dim = prior.blocks[0].heads, len(prior.norm.weight)
        shape = [len(prior.blocks), 2, 1, heads, 5, dim // heads]
        around = torch.zeros(len(prior.offsets), dtype=torch.int64)
        step = (around, torch.zeros(1, dim), torch.zeros(shape))
        names = ["position", "labels"][: len(given)]
        _write(Start(prior), given, names, ["places"], out / f"{name}_start.onnx")
        _write(
            Step(prior),
            step,
            ["around", "place", "cache"],
            ["logits", "grown"],
            out / f"{name}_step.onnx",
            ({}, {}, {4: torch.export.Dim("known", max=prior.grid[0] * prior.grid[1])}),
        )
        known["priors"][name] = {
            "grid": prior.grid,
            "size": prior.codebook_size,
            "offsets": prior.offsets,
            "cache": [0 if i == 4 else side for i, side in enumerate(shape)],
        }
    codes = torch.zeros(1, *made.maps_prior.grid, dtype=torch.int64)
    _write(Maps(made.maps), (codes,), ["codes"], ["labels"], out / "maps.onnx")
    codes = torch.zeros(1, *made.prior.grid, dtype=torch.int64)
    given = (codes, labels, torch.zeros(1, 1, *size))
    names = ["codes", "labels", "noise"]
    _write(Slices(made.autoencoder), given, names, ["slice"], out / "slices.onnx")
    (out / "model.json").write_text(json.dumps(known))


def _write(model, inputs, input_names, output_names, path, dynamic=None) -> None:
    program = torch.onnx.export(
        model.eval(),
        inputs,
        input_names=input_names,
        output_names=output_names,
        dynamic_shapes=dynamic,
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    onnx.save(with_half_weights(program.model_proto), path)


def with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, its large weights stored as float16, cast when it is loaded."""
    kept, casts = [], []
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.dtype == np.float32 and array.size > LARGE:
            stored = f"{weight.name}_float16"
            kept.append(numpy_helper.from_array(array.astype(np.float16), stored))
            cast = helper.make_node("Cast", [stored], [weight.name])
            cast.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
            casts.append(cast)
        else:
            kept.append(weight)
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:], model.graph.value_info[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    for part in (model, model.graph, *model.graph.node):  # the exporter's own paths
        del part.metadata_props[:]
    onnx.checker.check_model(model)
    return model


def add_runtime(out: Path) -> None:
    """Write onnxruntime-web, its WebAssembly compressed; raises `UserError`."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError("npm is missing, which brings onnxruntime-web; install Node.js")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", RUNTIME]
        got = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if got.returncode:
            raise UserError(f"npm could not bring {RUNTIME}: {got.stderr.strip()}")
        shutil.unpack_archive(next(Path(folder).glob("*.tgz")), folder)
        dist = Path(folder, "package", "dist")
        for name in RUNTIME_FILES:
            shutil.copy2(dist / name, out)
        wasm = gzip.compress((dist / WASM).read_bytes(), mtime=0)
        (out / f"{WASM}.gz").write_bytes(wasm)


def main(out: str) -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("index.html", "demo.js", "demo.css"):
        shutil.copy2(HERE / name, folder)
    add_runtime(folder)
    export(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
