"""Boxes of objects in a label map, so that filters work inside boxes only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..masks import Labels

__all__ = ["Place", "places"]


class Place(NamedTuple):
    """Rows and columns, the ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """The part of an H×W array in this box, as a view."""
        return array[self.top : self.bottom, self.left : self.right]

    def grown(self, by: int, shape: tuple[int, ...]) -> Place:
        """This box with a margin, within a label map."""
        return Place(
            max(self.top - by, 0),
            min(self.bottom + by, shape[0]),
            max(self.left - by, 0),
            min(self.right + by, shape[1]),
        )

    def common(self, other: Place) -> Place:
        """The common part of two boxes; empty if there is none."""
        return Place(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )

    @property
    def is_empty(self) -> bool:
        """Whether it has no pixel."""
        return self.top >= self.bottom or self.left >= self.right


def places(labels: Labels) -> dict[int, Place]:
    """The box of each object, by id, ascending."""
    # The compiler is imported only when it is needed.
    from ..masks.regions import boxes

    found = boxes(labels)
    return {
        key: Place(*found[key, 1:].tolist())
        for key in np.flatnonzero(found[:, 0]).tolist()
        if key
    }
