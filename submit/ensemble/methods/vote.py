"""A vote on each pixel."""

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
    """Each pixel goes to the label with the most votes, the background included.

    Of labels with equally many votes the lowest wins, so the background before all.
    """

    name = "vote"
    order = 30
    explored = True
    # A vote of two members that differ has no majority.
    least = 3

    def merge_labels(
        self, maps: NDArray[np.uint8], objects: NDArray[np.uint8], shares: Tables
    ) -> Labels:
        """Merge M×H×W labels."""
        from .._kernels import tally

        return tally(maps, objects, shares)
