"""What is measured: reconstruction, rate, and generation."""

from vqlib.metrics.generation import frechet_distance, texture_features
from vqlib.metrics.rate import (
    active_units,
    code_entropy_bits,
    codes_used,
    kl_bits,
    nominal_bits,
    perplexity,
)
from vqlib.metrics.similarity import (
    Interval,
    body_masks,
    mean_image_reconstruct,
    ms_ssim_scales,
    nearest_distance,
    paired_bootstrap,
    patient_bootstrap,
    score,
    slice_scores,
    ssim,
)

__all__ = [
    "Interval",
    "active_units",
    "body_masks",
    "code_entropy_bits",
    "codes_used",
    "frechet_distance",
    "kl_bits",
    "mean_image_reconstruct",
    "ms_ssim_scales",
    "nearest_distance",
    "nominal_bits",
    "paired_bootstrap",
    "patient_bootstrap",
    "perplexity",
    "score",
    "slice_scores",
    "ssim",
    "texture_features",
]
