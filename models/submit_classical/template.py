"""Position, size and average shape of an object."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .features import Floats, blur

__all__ = ["ObjectPose", "Template"]

#: Cells along each side of the template.
_CELLS = 96
#: The template extends this many object sizes from the centre.
_SPAN = 3.0
_CELL = 2 * _SPAN / _CELLS
_RATE = 0.1


@dataclass(frozen=True, eq=False)
class ObjectPose:
    """Position and size of an object, including its hidden parts.

    Attributes:
        centre: x and y in pixels.
        size: Side in pixels of a square with the object's area.
    """

    centre: NDArray[np.float64]
    size: float

    @classmethod
    def of(cls, mask: Floats) -> ObjectPose:
        """Compute the pose of an H×W soft mask; the size is at least 2 pixels."""
        area = max(float(mask.sum()), 1e-6)
        x = float((mask.sum(0) * np.arange(mask.shape[1])).sum())
        y = float((mask.sum(1) * np.arange(mask.shape[0])).sum())
        return cls(np.array([x, y]) / area, math.sqrt(max(area, 4.0)))

    def relative(self, x: NDArray[np.intp], y: NDArray[np.intp]) -> Floats:
        """Positions of N pixels relative to the centre, in object sizes, N×2."""
        offset = np.stack([x - self.centre[0], y - self.centre[1]], -1)
        return (offset / self.size).astype(np.float32)


class Template:
    """The average shape of an object in its own coordinates.

    Attributes:
        shape: A soft mask of its cells.
    """

    def __init__(self, mask: Floats, pose: ObjectPose) -> None:
        self.shape = _align(mask, pose)

    @classmethod
    def of(cls, shape: Floats) -> Template:
        """The template that has this shape."""
        template = cls.__new__(cls)
        template.shape = shape
        return template

    def update(self, mask: Floats, pose: ObjectPose) -> None:
        """Update the average shape with an H×W soft mask."""
        self.shape += _RATE * (_align(mask, pose) - self.shape)

    def draw(self, pose: ObjectPose, height: int, width: int) -> Floats:
        """Draw the shape as an H×W soft mask."""
        drawn = cv2.warpAffine(
            self.shape, _matrix(pose), (width, height), flags=cv2.INTER_LINEAR
        )
        return np.asarray(drawn, np.float32)

    def points(self) -> tuple[Floats, Floats]:
        """Points inside the shape and around it, which score a pose.

        Returns:
            Positions N×2 in object sizes from the centre, and N weights. The weights of
            points inside sum to 1, those of points around the shape to -1.
        """
        inside = self.shape > 0.6
        if inside.sum() < 4:
            inside = self.shape >= 0.7 * self.shape.max()
        near = cv2.dilate((self.shape > 0.3).astype(np.uint8), np.ones((9, 9)))
        around = (near > 0) & (self.shape < 0.15)
        positions, weights = [], []
        for cells, sign, most in ((inside, 1.0, 160), (around, -1.0, 100)):
            index = np.flatnonzero(cells)
            if len(index) > most:
                index = index[np.linspace(0, len(index) - 1, most).astype(int)]
            y, x = np.divmod(index, _CELLS)
            positions.append((np.stack([x, y], -1) - (_CELLS - 1) / 2) * _CELL)
            weights.append(np.full(len(index), sign / max(len(index), 1)))
        return (
            np.concatenate(positions).astype(np.float32),
            np.concatenate(weights).astype(np.float32),
        )


def _matrix(pose: ObjectPose) -> Floats:
    """The affine map from template cells to frame pixels."""
    step = pose.size * _CELL
    corner = pose.centre - step * (_CELLS - 1) / 2
    return np.array([[step, 0, corner[0]], [0, step, corner[1]]], np.float32)


def _align(mask: Floats, pose: ObjectPose) -> Floats:
    step = pose.size * _CELL
    if step > 1.5:  # A cell covers several pixels: average them before sampling.
        mask = blur(mask, 0.4 * step)
    aligned = cv2.warpAffine(
        mask,
        _matrix(pose),
        (_CELLS, _CELLS),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return np.asarray(aligned, np.float32)
