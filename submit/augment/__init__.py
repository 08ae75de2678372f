"""Test-time augmentation: a predictor around a predictor.

A variant is written as transforms joined by `+`, such as `hflip+scale=0.75`. A
variant's tracker sees the transformed video from the first frame to the last and has
its own memory; its logits come back in the original geometry, with pixel centres where
they were, before any threshold or overlap rule.

    hflip        mirrored left to right
    scale=1.25   at a multiple of the model's usual input resolution
    zoom         small objects once more by themselves, in a window that follows them
    gamma=0.8    brighter (below 1) or darker: for shots in the dark
    clahe        with equalised local contrast: for fog, haze and water
"""

from .merged import MergedPredictor, augmented
from .variant import Variant, parse_variant
from .wrappers import AugmentedPredictor

__all__ = [
    "AugmentedPredictor",
    "MergedPredictor",
    "Variant",
    "augmented",
    "parse_variant",
]
