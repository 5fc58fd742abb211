"""What is reported: reconstruction, rate, and generation."""

from vqlib.metrics.copies import (
    copied_patches,
    kinship_ladder,
    memorisation,
    thumbnail_distances,
)
from vqlib.metrics.generation import (
    bounded,
    kid,
    precision_recall,
    principal_axes,
    texture_features,
    two_sample_accuracy,
)
from vqlib.metrics.rate import (
    active_units,
    code_entropy_bits,
    codes_used,
    kl_bits,
    nominal_bits,
    perplexity,
)
from vqlib.metrics.scorecard import SCORES, Slices, anatomy, dice, make_judge, take
from vqlib.metrics.similarity import (
    Interval,
    body_masks,
    mean_image_reconstruct,
    ms_ssim,
    nearest_distance,
    paired_bootstrap,
    patient_bootstrap,
    score,
    slice_scores,
    ssim,
)

__all__ = [
    "SCORES",
    "Interval",
    "Slices",
    "active_units",
    "anatomy",
    "body_masks",
    "bounded",
    "code_entropy_bits",
    "codes_used",
    "copied_patches",
    "dice",
    "kid",
    "kinship_ladder",
    "kl_bits",
    "make_judge",
    "mean_image_reconstruct",
    "memorisation",
    "ms_ssim",
    "nearest_distance",
    "nominal_bits",
    "paired_bootstrap",
    "patient_bootstrap",
    "perplexity",
    "precision_recall",
    "principal_axes",
    "score",
    "slice_scores",
    "ssim",
    "take",
    "texture_features",
    "thumbnail_distances",
    "two_sample_accuracy",
]
