"""`mean_probabilities`: the weighted mean of the probabilities."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...masks import VALUES, Values
from ..method import METHODS, PixelMethod
from ..planes import Plane, Tables, weighted

__all__ = ["MeanProbabilities"]


@METHODS.register
@dataclass(frozen=True)
class MeanProbabilities(PixelMethod):
    """Weighted mean of the probabilities: logit(Σ w·σ(l)).

    One very confident member has less weight than in a mean of logits.
    """

    name = "mean_probabilities"
    order = 10
    explored = True

    def merge(self, stack: NDArray[np.int8], shares: Tables) -> Plane:
        """Merge M×h×w codes into h×w codes."""
        from .._kernels import mean_of_odds

        tables = weighted(_sigmoids(), shares), weighted(_sigmoids(-1), shares)
        return mean_of_odds(stack, *tables, *_edges())


@functools.cache
def _sigmoids(sign: int = 1) -> Tables:
    """The probability p of each code; 1 − p if the sign is −1."""
    result: Tables = 1 / (1 + np.exp(-sign * VALUES.astype(np.float64)))
    return result


@functools.cache
def _edges() -> tuple[NDArray[np.uint8], Values]:
    """The `bins` and `edges` of `mean_of_odds`."""
    values = VALUES[1:].astype(np.float64)
    edges = np.exp((values[1:] + values[:-1]) / 2).astype(np.float32)
    firsts = (np.arange(1 << 15, dtype=np.int32) << 16).view(np.float32)
    bins = np.searchsorted(edges, firsts, side="right").astype(np.uint8)
    return bins, np.append(edges, np.float32(np.inf))
