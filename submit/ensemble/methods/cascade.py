"""The first member, and where it is in doubt the next one."""

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
    """The first member; where it is in doubt about an object, the next one.

    Members are asked in their order, the most trusted one first. If all are in doubt,
    the first one is taken.
    """

    name = "cascade"
    order = 50
    ordered = True

    min_iou: float = setting(
        0.5, "In doubt if the predicted IoU is below this.", low=0, high=1
    )
    min_confidence: float = setting(
        0.5, "In doubt if |2p − 1| of the object score p is below this.", low=0, high=1
    )
    empty: bool = setting(True, "Whether an empty mask is a doubt.")
    margin: float = setting(
        0.0, "Pixels with a logit nearer to 0 come from the next member.", low=0
    )

    def chooser(self, members: Mapping[str, VideoMasks]) -> Choose:
        """Prepare to choose in one video."""
        del members
        return self._choose

    def _choose(
        self,
        key: int,
        views: Sequence[View],
        weights: Mapping[str, float],
        index: int,
        shape: tuple[int, int],
    ) -> tuple[Plane, View]:
        del weights, index
        sure = (n for n, view in enumerate(views) if not self._doubts(key, view))
        place = next(sure, 0)
        plane = resized(views[place].plane(key), shape)
        if self.margin > 0 and place + 1 < len(views):
            other = resized(views[place + 1].plane(key), shape)
            near = np.abs(dequantise(plane)) < self.margin
            plane = np.where(near, other, plane)
        return plane, views[place]

    def _doubts(self, key: int, view: View) -> bool:
        """Whether a member is in doubt about an object."""
        presence, iou = view.presence[key], view.iou[key]
        if iou < self.min_iou:  # Never so for NaN.
            return True
        if abs(math.tanh(presence / 2)) < self.min_confidence:  # |2p − 1|
            return True
        return self.empty and not view.sees(key)
