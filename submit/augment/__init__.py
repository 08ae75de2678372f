"""Test-time augmentation: a predictor that contains another predictor.

A variant is one or more transforms, joined by `+`, such as `hflip+scale=0.75`. The
transformed video is tracked from the first frame to the last, with a memory of its own.
The logits are transformed back to the original geometry, with aligned pixel centres,
before any threshold or overlap rule.

The augmentations are the files in `submit/augment/augmentations/`.
"""

from .augmentation import AUGMENTATIONS, Augmentation
from .merged import MergedPredictor, augmented
from .variant import Variant, forms, parse_variant
from .wrappers import AugmentedPredictor

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "AugmentedPredictor",
    "MergedPredictor",
    "Variant",
    "augmented",
    "forms",
    "parse_variant",
]
