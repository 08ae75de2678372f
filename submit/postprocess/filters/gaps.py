"""Gaps between two objects."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...masks import Labels
from ...system.schema import setting
from ..boxes import places
from ..filter import FILTERS, LabelFilter

__all__ = ["Gaps"]

#: Widest gap, in pixels.
_WIDEST = 64


@FILTERS.register
@dataclass(frozen=True)
class Gaps(LabelFilter):
    """Gives background that lies between two objects to the nearer one.

    A pixel lies between two objects when its distances to both add up to no more than
    the width and one: straight across a gap they add up to the gap's width and one.
    """

    name = "gaps"
    order = 50
    tried = tuple({"gaps": value} for value in (2, 5))
    several = True

    gaps: int = setting(
        0,
        "Close gaps of up to this many pixels between two objects.",
        low=0,
        high=_WIDEST,
    )

    @property
    def is_off(self) -> bool:
        """Whether it changes nothing."""
        return not self.gaps

    def apply_to_labels(self, labels: Labels) -> None:
        """Change H×W labels in place."""
        boxes = places(labels)
        width = self.gaps
        nearest: NDArray[np.float32] | None = None
        before = labels
        for one, other in combinations(boxes, 2):
            box = (
                boxes[one]
                .grown(width, labels.shape)
                .common(boxes[other].grown(width, labels.shape))
            )
            if box.is_empty:
                continue
            if nearest is None:
                before = labels.copy()
                nearest = np.full(labels.shape, np.inf, np.float32)
            # Pixels of the objects that decide about one in the box may lie around it.
            wide = box.grown(width, labels.shape)
            view = wide.of(before)
            inner = (
                slice(box.top - wide.top, box.bottom - wide.top),
                slice(box.left - wide.left, box.right - wide.left),
            )
            distances = {key: _distance(view == key)[inner] for key in (one, other)}
            near = distances[one] + distances[other] <= width + 1
            between = near & (view[inner] == 0)
            for key, distance in distances.items():
                best = box.of(nearest)
                closer = between & (distance < best)
                box.of(labels)[closer] = key
                best[closer] = distance[closer]


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest one of a mask, in pixels."""
    import cv2

    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    away = (~mask).view(np.uint8)
    return cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(
        np.float32, copy=False
    )
