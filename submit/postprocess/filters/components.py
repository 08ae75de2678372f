"""Small parts of an object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...masks import Labels
from ...system.schema import setting
from ..boxes import places
from ..filter import FILTERS, LabelFilter

__all__ = ["Components"]


@FILTERS.register
@dataclass(frozen=True)
class Components(LabelFilter):
    """Removes parts that are small against the object's largest."""

    name = "components"
    order = 20
    tried = tuple({"components": value} for value in (0.02, 0.1, 0.3))

    components: float = setting(
        0.0,
        "Remove parts smaller than this share of the object's largest.",
        low=0,
        high=1,
    )

    @property
    def is_off(self) -> bool:
        """Whether it changes nothing."""
        return not self.components

    def apply_to_labels(self, labels: Labels) -> None:
        """Change H×W labels in place."""
        for key, box in places(labels).items():
            self._remove_parts(box.of(labels), key)

    def _remove_parts(self, labels: Labels, key: int) -> None:
        import cv2

        mask = labels == key
        count, parts, statistics, _ = cv2.connectedComponentsWithStats(
            mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S
        )
        if count > 2:
            areas = statistics[:, cv2.CC_STAT_AREA].copy()
            areas[0] = 0
            small = areas < self.components * areas.max()
            small[0] = False
            labels[small[parts]] = 0
