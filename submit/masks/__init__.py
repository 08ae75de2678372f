"""Masks as arrays: label maps, logits, and conversion between them."""

from .arrays import ArrayFile, ArrayHeader, parse_header
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
from .scores import HARD_LOGIT, ScoreKind, recognise_scores, scores_to_logits
from .volumes import read_channels, read_volume

__all__ = [
    "HARD_LOGIT",
    "LOGIT_LIMIT",
    "LOWEST",
    "OLD_VALUES",
    "VALUES",
    "ArrayFile",
    "ArrayHeader",
    "Codes",
    "Labels",
    "Logits",
    "ScoreKind",
    "Values",
    "binary_masks",
    "decode_rle",
    "dequantise",
    "encode_rle",
    "object_ids",
    "parse_header",
    "quantise",
    "read_channels",
    "read_volume",
    "recognise_scores",
    "resize_logits",
    "scores_to_logits",
    "to_labels",
]
