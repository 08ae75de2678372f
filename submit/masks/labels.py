"""Masks as arrays: label maps, logits, and the way from one to the other.

*Labels* are uint8 H×W with object ids as values, 0 for background. *Logits* are
N×h×w, > 0 means object; they cover the whole frame at any resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError
from ..system.words import counted

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

Labels: TypeAlias = NDArray[np.uint8]
Logits: TypeAlias = NDArray[np.float32]

#: The run store keeps logits in steps of 1/8 …
LOGIT_STEP = 0.125
#: … from −127 to 127 steps: a probability of 1.3e-7 is as far as anybody needs.
LOGIT_LIMIT = 127 * LOGIT_STEP


def object_ids(labels: Labels) -> tuple[int, ...]:
    """The ids in a label map, ascending, without background."""
    counts = np.bincount(labels.ravel(), minlength=1)
    return tuple(int(value) for value in np.flatnonzero(counts) if value)


def binary_masks(
    labels: Labels, objects: Iterable[int]
) -> dict[int, NDArray[np.bool_]]:
    """One H×W bool mask for each object; all False where an id does not occur."""
    return {key: labels == key for key in objects}


def quantise(logits: NDArray[np.floating] | NDArray[np.int8]) -> NDArray[np.int8]:
    """Round logits to int8 steps of 1/8, half to even, clipped to ±15.875.

    What has the type int8 is steps already, and stays as it is.

    Raises:
        MaskError: A logit is not a number.
    """
    if logits.dtype == np.int8:
        return logits.astype(np.int8, copy=False)
    # Clipped first: models write "no object" as the lowest float there is, which a
    # division would turn into infinity and a warning.
    clipped = np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
    if np.isnan(clipped).any():
        raise MaskError("logits hold NaN; the predictor is broken on this frame")
    steps: NDArray[np.int8] = np.rint(clipped / LOGIT_STEP).astype(np.int8)
    return steps


def dequantise(steps: NDArray[np.int8]) -> Logits:
    """Turn int8 steps back into logits; the inverse of `quantise`."""
    return steps.astype(np.float32) * np.float32(LOGIT_STEP)


def resize_logits(logits: Logits, size: tuple[int, int]) -> Logits:
    """Resize N×h×w finite logits to N×H×W, bilinear with pixel centres aligned.

    The geometry of `torch.nn.functional.interpolate(…, mode="bilinear",
    align_corners=False)`: no antialiasing, edge values repeat.
    """
    from .resample import bilinear

    if logits.shape[1:] == size:
        return np.ascontiguousarray(logits, dtype=np.float32)
    return bilinear(np.ascontiguousarray(logits, dtype=np.float32), *size)


def to_labels(
    logits: NDArray[np.float32] | NDArray[np.int8],
    objects: Sequence[int],
    size: tuple[int, int],
) -> Labels:
    """Apply the overlap rule: each pixel goes to its highest logit, if that is > 0.

    Args:
        logits: N×h×w at any resolution, finite. int8 steps of the run store give the
            same labels as the logits that they stand for, since a common scale moves
            neither the sign nor the order.
        objects: The N object ids, each in 1 … 254. Of equal logits the earlier object
            wins, as in `argmax`.
        size: Height and width of the frame; logits are resized to it as in
            `resize_logits`.

    Returns:
        H×W uint8 labels.
    """
    from .resample import winners

    ids = np.asarray(objects, dtype=np.uint8)
    if len(ids) != len(logits):
        raise MaskError(
            f"expected logits of {counted(len(ids), 'object')}, found {len(logits)} "
            f"planes"
        )
    if not len(ids):
        return np.zeros(size, np.uint8)
    values = logits if logits.dtype == np.int8 else np.asarray(logits, np.float32)
    return winners(np.ascontiguousarray(values), ids, *size)
