"""Label maps, which a generator with organs first draws before the slice: a VQ-VAE over
them, and its codes for the prior. Taught in notebook 05."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vqlib import metrics
from vqlib.data import Mirrored, SliceData
from vqlib.models import VQVAE, VectorQuantizer
from vqlib.models.sharp import one_hot
from vqlib.profiles import Profile
from vqlib.recipes.latents import LABELS, Latents, all_labels, need_labels
from vqlib.recipes.recipe import Splits


def build_maps(p: Profile, seed: int) -> VQVAE:
    s = p.maps
    quantizer = VectorQuantizer(s.codebook_size, s.code_dim, patience=3, seed=seed)
    return VQVAE(
        quantizer=quantizer,
        factor=p.shape[0] // p.grid_of("maps")[0],
        width=s.width,
        in_channels=LABELS,
    )


def map_splits(data: SliceData, source: None, p: Profile) -> Splits:
    need_labels(data, "a generator that draws them first")
    return Splits(Mirrored(data.train), data.validate, data.test)


@torch.no_grad()
def encode_maps(model: VQVAE, labels: Tensor) -> Tensor:
    """Codes of label maps: [N, H, W] -> [N, h, w] int64, on the CPU."""
    parts = labels.split(64)
    codes = [model.encode(one_hot(x.to(model.device), LABELS)) for x in parts]
    return torch.cat(codes).cpu()


@torch.no_grad()
def decode_maps(model: VQVAE, codes: Tensor) -> Tensor:
    """Label maps of codes: [N, h, w] -> [N, H, W] uint8."""
    return torch.cat([model.decode(x).argmax(1).byte() for x in codes.split(64)])


def score_maps(model: VQVAE, splits: Splits, seed: int) -> dict:
    labels, size = splits.test.labels, model.quantizer.codebook_size
    codes = encode_maps(model, labels)
    found = decode_maps(model, codes.to(model.device)).cpu()
    return {
        "split": "test",
        "dice": metrics.dice(found, labels),
        "bits_per_slice": metrics.nominal_bits(codes.shape[1:], size),
        "order0_bits": metrics.code_entropy_bits(codes, size),
        "codes_used": metrics.codes_used(codes, size),
    }


def map_latents(data: SliceData, source: VQVAE, p: Profile) -> Splits:
    def latents(dataset: Dataset) -> Latents:
        codes = encode_maps(source, all_labels(dataset))
        return Latents({"codes": codes}, dataset.positions, dataset.patients)

    return Splits(*map(latents, (Mirrored(data.train), data.validate, data.test)))
