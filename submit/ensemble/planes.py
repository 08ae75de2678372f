"""Logits of one object in one frame, and what all methods do with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..masks import dequantise, quantise, resize_logits

__all__ = ["Plane", "Tables", "resized", "weighted"]

#: Logits of one object in one frame: h×w codes of the run store.
Plane = NDArray[np.int8]
#: M×256 or 256: a number for each code, that of the code c at c + 128.
Tables = NDArray[np.float64]


def resized(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Bring codes to another resolution, rounded to codes again."""
    if plane.shape == shape:
        return plane
    return quantise(resize_logits(dequantise(plane)[None], shape)[0])


def weighted(table: Tables, weights: Sequence[float] | Tables) -> Tables:
    """M×256: a table, times the weight of each member."""
    return np.multiply.outer(np.asarray(weights, np.float64), table)
