"""`vote`: a vote of the members on the label of each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...masks import Labels
from ..method import METHODS, LabelMethod
from ..planes import Tables

__all__ = ["Vote"]


@METHODS.register
@dataclass(frozen=True)
class Vote(LabelMethod):
    """Each pixel gets the label with the most votes; the background counts too.

    In a tie the lowest label wins: the background before any object.
    """

    name = "vote"
    order = 30
    explored = True
    # Two members that differ have no majority.
    least = 3

    def merge_labels(
        self, maps: NDArray[np.uint8], objects: NDArray[np.uint8], shares: Tables
    ) -> Labels:
        """Merge M×H×W labels into H×W labels."""
        from .._kernels import tally

        return tally(maps, objects, shares)
