"""Masks as arrays: label maps, logits, and conversion between them."""

from .codes import (
    LOGIT_LIMIT,
    LOWEST,
    OLD_VALUES,
    VALUES,
    Codes,
    Values,
    dequantise,
    quantise,
)
from .labels import (
    Labels,
    Logits,
    binary_masks,
    object_ids,
    resize_logits,
    to_labels,
)
from .rle import decode_rle, encode_rle

__all__ = [
    "LOGIT_LIMIT",
    "LOWEST",
    "OLD_VALUES",
    "VALUES",
    "Codes",
    "Labels",
    "Logits",
    "Values",
    "binary_masks",
    "decode_rle",
    "dequantise",
    "encode_rle",
    "object_ids",
    "quantise",
    "resize_logits",
    "to_labels",
]
