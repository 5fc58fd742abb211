"""How each model of the tutorial is built from a profile, trained, scored and found
again: what the notebooks and ``vqlib train`` share.

Everything goes through the run folder, so each notebook can be opened on its own.
"""

from vqlib.recipes.models import (
    KINDS,
    MADE_BY,
    ORGANS,
    build,
    build_quantizer,
    encode_codes,
    evaluate,
    load,
    objective_for,
    part_name,
    read_metrics,
    train,
)
from vqlib.recipes.priors import (
    CodeDataset,
    code_nats,
    control_priors,
    evaluate_prior,
    train_prior,
)
from vqlib.recipes.segmenter import LabelledSlices, balanced, train_segmenter

__all__ = [
    "KINDS",
    "MADE_BY",
    "ORGANS",
    "CodeDataset",
    "LabelledSlices",
    "balanced",
    "build",
    "build_quantizer",
    "code_nats",
    "control_priors",
    "encode_codes",
    "evaluate",
    "evaluate_prior",
    "load",
    "objective_for",
    "part_name",
    "read_metrics",
    "train",
    "train_prior",
    "train_segmenter",
]
