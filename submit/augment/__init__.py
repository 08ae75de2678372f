"""Test-time augmentation: a predictor around a predictor.

A variant is written as transforms joined by `+`, such as `hflip+scale=0.75`. A
variant's tracker sees the transformed video from the first frame to the last and has
its own memory; its logits come back in the original geometry, with pixel centres where
they were, before any threshold or overlap rule.

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
