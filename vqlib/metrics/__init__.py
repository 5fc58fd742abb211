"""What is reported: reconstruction, rate, and generation."""
# ruff: noqa: F401

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
    paired_bootstrap,
    patient_bootstrap,
    score,
    slice_scores,
    ssim,
)
