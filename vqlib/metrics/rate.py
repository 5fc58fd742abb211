"""What a reconstruction costs: bits per slice, and how the codebook is used.

Two models are compared at equal rate or not at all. A VQ-VAE sends one of K code
vectors for each position of its grid; a VAE sends what the KL divergence measures
(bits-back: Hinton and van Camp 1993, doi 10.1145/168304.168306). Taught in notebooks 02
and 03.
"""

import math

import torch
from scipy.stats import entropy
from torch import Tensor

from vqlib.losses import gaussian_kl


def nominal_bits(grid: tuple[int, int], codebook_size: int) -> float:
    """Bits per slice with a fixed-length code: positions x log2 K."""
    return math.prod(grid) * math.log2(codebook_size)


def code_entropy_bits(codes: Tensor, codebook_size: int) -> float:
    """Bits per slice with a code fitted to how often each code occurs.

    Order 0: positions x entropy of the code frequencies over all of ``codes``
    `[N, h, w]`. At most the nominal bits; what the codes know of their neighbours is
    left to a prior.
    """
    return math.prod(codes.shape[1:]) * _entropy(codes, codebook_size)


def perplexity(codes: Tensor, codebook_size: int) -> float:
    """2 to the entropy of the code frequencies: as many codes, evenly used, would be
    as unpredictable. From 1 (collapse) to K. ``codes`` has any shape; the value of one
    batch is lower than that of a split, so say which."""
    return 2.0 ** _entropy(codes, codebook_size)


def codes_used(codes: Tensor, codebook_size: int) -> int:
    """How many of the K codes occur at all."""
    return int((_counts(codes, codebook_size) > 0).sum())


def kl_bits(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) in bits: `[B, ...]` twice -> `[B]`.

    The bound that bits-back coding reaches; the equation is `vqlib.losses.gaussian_kl`.
    """
    return gaussian_kl(mu, logvar) / math.log(2)


def active_units(mu: Tensor, threshold: float = 0.01) -> Tensor:
    """Which latent units say anything of the slice: bool `[L]` or `[L, h, w]`.

    A unit is active where its posterior mean ``mu``, `[N, L]` or `[N, L, h, w]`, varies
    over the N slices by more than ``threshold`` (Burda et al. 2016, arXiv 1509.00519,
    section 5.2); in a grid each number is a unit. Raises ValueError for N < 2.
    """
    if len(mu) < 2:
        raise ValueError("units are active over slices: give two or more")
    return mu.var(0) > threshold


def _counts(codes: Tensor, codebook_size: int) -> Tensor:
    codes = codes.reshape(-1)
    if len(codes) == 0 or codes.min() < 0 or codes.max() >= codebook_size:
        raise ValueError(f"codes must be some, of 0 … {codebook_size - 1}")
    return torch.bincount(codes, minlength=codebook_size)


def _entropy(codes: Tensor, codebook_size: int) -> float:
    """Of the code frequencies, in bits per code."""
    return float(entropy(_counts(codes, codebook_size).cpu().numpy(), base=2))
