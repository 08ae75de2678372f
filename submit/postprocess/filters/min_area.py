"""Small objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...masks import Labels
from ...system.schema import setting
from ..boxes import places
from ..filter import FILTERS, LabelFilter

__all__ = ["MinArea"]


@FILTERS.register
@dataclass(frozen=True)
class MinArea(LabelFilter):
    """Removes an object from a frame in which it has few pixels."""

    name = "min_area"
    order = 30
    tried = tuple({"min_area": value} for value in (10, 30, 100))

    min_area: int = setting(0, "Remove objects of fewer pixels.", low=0)

    @property
    def is_off(self) -> bool:
        """Whether it changes nothing."""
        # An object without a pixel is absent anyway.
        return self.min_area <= 1

    def apply_to_labels(self, labels: Labels) -> None:
        """Change H×W labels in place."""
        for key, box in places(labels).items():
            part = box.of(labels)
            mask = part == key
            if np.count_nonzero(mask) < self.min_area:
                part[mask] = 0
