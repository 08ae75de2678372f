"""Holes in an object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...masks import Labels
from ...system.schema import setting
from ..boxes import places
from ..filter import FILTERS, LabelFilter

__all__ = ["Holes"]


@FILTERS.register
@dataclass(frozen=True)
class Holes(LabelFilter):
    """Fills background that an object encloses.

    A hole in which there is any of another object stays, since that is what the hole
    is for. The edge of the frame encloses nothing.
    """

    name = "holes"
    order = 40
    tried = tuple({"holes": value} for value in (0.01, 0.05, 0.2))

    holes: float = setting(
        0.0, "Fill holes up to this share of the object's area.", low=0, high=1
    )

    @property
    def is_off(self) -> bool:
        """Whether it changes nothing."""
        return not self.holes

    def apply_to_labels(self, labels: Labels) -> None:
        """Change H×W labels in place."""
        for key, box in places(labels).items():
            self._fill(box.of(labels), key)

    def _fill(self, labels: Labels, key: int) -> None:
        import cv2

        # The margin joins everything outside to one region.
        mask = cv2.copyMakeBorder(labels, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=[0])
        outside = mask != key
        count, regions, statistics, _ = cv2.connectedComponentsWithStats(
            outside.view(np.uint8), connectivity=4, ltype=cv2.CV_32S
        )
        if count <= 2:
            return
        area = outside.size - np.count_nonzero(outside)
        filled = statistics[:, cv2.CC_STAT_AREA] <= self.holes * area
        filled[[0, regions[0, 0]]] = False
        others = outside & (mask != 0)
        filled[np.unique(regions[others])] = False
        if filled.any():
            labels[filled[regions[1:-1, 1:-1]]] = key
