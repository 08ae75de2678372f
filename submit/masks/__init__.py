"""Masks as arrays: label maps, logits, and the way from one to the other."""

from .labels import (
    LOGIT_LIMIT,
    LOGIT_STEP,
    Labels,
    Logits,
    binary_masks,
    dequantise,
    object_ids,
    quantise,
    resize_logits,
    to_labels,
)

__all__ = [
    "LOGIT_LIMIT",
    "LOGIT_STEP",
    "Labels",
    "Logits",
    "binary_masks",
    "dequantise",
    "object_ids",
    "quantise",
    "resize_logits",
    "to_labels",
]
