"""Planes: the logits of one object in one frame, as codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..masks import dequantise, quantise, resize_logits

__all__ = ["Plane", "Tables", "resized", "weighted"]

#: Logits of one object in one frame: h×w codes, as in a soft file.
Plane = NDArray[np.int8]
#: 256 or M×256 numbers: the number for code c is at c + 128.
Tables = NDArray[np.float64]


def resized(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Resize codes to another resolution; the result is rounded to codes."""
    if plane.shape == shape:
        return plane
    return quantise(resize_logits(dequantise(plane)[None], shape)[0])


def weighted(table: Tables, weights: Sequence[float] | Tables) -> Tables:
    """Multiply a table by the weight of each of M members; returns M×256."""
    return np.multiply.outer(np.asarray(weights, np.float64), table)
