"""Masks as arrays: label maps, logits, and conversion between them.

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
from .codes import VALUES, Codes, Values, quantise

__all__ = [
    "Labels",
    "Logits",
    "binary_masks",
    "object_ids",
    "resize_logits",
    "to_labels",
]

Labels: TypeAlias = NDArray[np.uint8]
Logits: TypeAlias = NDArray[np.float32]


def object_ids(labels: Labels) -> tuple[int, ...]:
    """The ids in a label map, ascending, without background."""
    counts = np.bincount(labels.ravel(), minlength=1)
    return tuple(int(value) for value in np.flatnonzero(counts) if value)


def binary_masks(
    labels: Labels, objects: Iterable[int]
) -> dict[int, NDArray[np.bool_]]:
    """One H×W bool mask for each object; all False where an id does not occur."""
    return {key: labels == key for key in objects}


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
    logits: NDArray[np.floating] | Codes,
    objects: Sequence[int],
    size: tuple[int, int],
    *,
    values: Values = VALUES,
) -> Labels:
    """Apply the overlap rule: each pixel goes to its highest logit, if that is > 0.

    Floating-point logits are rounded to the codes of a soft file first, so that masks
    are the same whether they come from a model or from its soft file.

    Args:
        logits: N×h×w at any resolution, or int8 codes of them.
        objects: The N object ids, each in 1 … 254. Of equal logits the earlier object
            wins, as in `argmax`.
        size: Height and width of the frame; logits are resized to it as in
            `resize_logits`.
        values: The values of codes.

    Returns:
        H×W uint8 labels.

    Raises:
        MaskError: A logit is not a number, or there are more or fewer ids than planes.
    """
    from .resample import winners

    ids = np.asarray(objects, dtype=np.uint8)
    if len(ids) != len(logits):
        raise MaskError(
            f"expected logits of {counted(len(ids), 'object')}, "
            f"found {counted(len(logits), 'plane')}"
        )
    if not len(ids):
        return np.zeros(size, np.uint8)
    if logits.dtype != np.int8:
        values = VALUES
    codes = np.ascontiguousarray(quantise(logits))
    # A writable copy, since the loops are compiled for writable arrays only.
    return winners(codes, np.array(values), ids, *size)
