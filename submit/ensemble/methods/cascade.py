"""`cascade`: the mask of the first member with sufficient confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...masks import dequantise
from ...system.schema import setting
from ..method import METHODS, ChoiceMethod, Choose
from ..planes import Plane, resized

if TYPE_CHECKING:
    from ...runs import VideoMasks
    from ..views import View

__all__ = ["Cascade"]


@METHODS.register
@dataclass(frozen=True)
class Cascade(ChoiceMethod):
    """For each object, the mask of the first member with sufficient confidence.

    List the most reliable member first. If no member is confident, the first one is
    taken.
    """

    name = "cascade"
    order = 50
    ordered = True

    min_iou: float = setting(
        0.5, "Take the next member if the predicted IoU is below this.", low=0, high=1
    )
    min_confidence: float = setting(
        0.5,
        "Take the next member if |2p − 1| of the presence p is below this.",
        low=0,
        high=1,
    )
    empty: bool = setting(True, "Take the next member if the mask is empty.")
    margin: float = setting(
        0.0, "Pixels with a logit nearer to 0 come from the next member.", low=0
    )

    def chooser(self, members: Mapping[str, VideoMasks]) -> Choose:
        """Return the function that chooses a member; it needs no preparation."""
        del members
        return self._choose

    def _choose(
        self,
        key: int,
        views: Sequence[View],
        weights: Mapping[str, float],
        shape: tuple[int, int],
    ) -> tuple[Plane, View]:
        del weights
        confident = (n for n, view in enumerate(views) if self._confident(key, view))
        place = next(confident, 0)
        plane = resized(views[place].plane(key), shape)
        if self.margin > 0 and place + 1 < len(views):
            other = resized(views[place + 1].plane(key), shape)
            near = np.abs(dequantise(plane)) < self.margin
            plane = np.where(near, other, plane)
        return plane, views[place]

    def _confident(self, key: int, view: View) -> bool:
        """Whether a member's confidence in its mask of an object is sufficient."""
        presence, iou = view.presence[key], view.iou[key]
        # Both comparisons are false for NaN: a missing score is no reason for doubt.
        if iou < self.min_iou:
            return False
        if abs(math.tanh(presence / 2)) < self.min_confidence:  # |2p − 1|
            return False
        return not self.empty or view.shows(key)
