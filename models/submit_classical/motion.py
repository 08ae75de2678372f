"""Fit scaling and translation to optical flow, and detect pixels that move."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .features import Floats, blur

__all__ = ["PixelBox", "Similarity", "fit_similarity", "motion_evidence"]

Doubles = NDArray[np.float64]

#: A difference of this many grey levels is noise with a probability of one half.
_NOISE = 10.0


@dataclass(frozen=True)
class PixelBox:
    """A rectangle of pixels; `bottom` and `right` are excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Number of pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in an H×W array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, eq=False)
class Similarity:
    """A motion from the previous to the present frame, without rotation.

    Attributes:
        scale: Growth.
        source: x and y of the fixed point in the previous frame.
        target: x and y of the same point in the present frame.
    """

    scale: float
    source: Doubles
    target: Doubles

    def __call__(self, point: Doubles) -> Doubles:
        """Map a point x, y of the previous frame to the present frame."""
        moved: Doubles = self.target + self.scale * (point - self.source)
        return moved


def fit_similarity(start: Doubles, end: Doubles, weights: Doubles) -> Similarity:
    """Fit a motion to N×2 points and their targets by reweighted least squares."""
    for _ in range(3):
        total = weights.sum() + 1e-9
        source = (weights[:, None] * start).sum(0) / total
        target = (weights[:, None] * end).sum(0) / total
        before, after = start - source, end - target
        scale = float(
            (weights[:, None] * before * after).sum()
            / ((weights[:, None] * before**2).sum() + 1e-6)
        )
        scale = min(max(scale, 0.8), 1.25)
        errors = np.sqrt(((after - scale * before) ** 2).sum(1))
        weights = weights * np.exp(-((errors / (2 * np.median(errors) + 0.5)) ** 2))
    return Similarity(scale, source, target)


def motion_evidence(
    previous: Floats,
    present: Floats,
    *,
    background: Similarity,
    candidate: Similarity,
    box: PixelBox,
) -> Floats:
    """Measure for each pixel in `box` which of two motions explains it better.

    The previous frame is moved by both motions and compared with the present frame.
    Unlike the flow itself, this gives 0 where there is no texture.

    Returns:
        Evidence in [-1, 1] over the box; above 0 the candidate is better.
    """
    now = present[box.slices]

    def error(motion: Similarity) -> Floats:
        shrink = 1 / motion.scale
        corner = np.array([box.left, box.top])
        shift = motion.source + (corner - motion.target) * shrink
        matrix = np.array([[shrink, 0, shift[0]], [0, shrink, shift[1]]], np.float32)
        moved = cv2.warpAffine(
            previous,
            matrix,
            now.shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return blur(np.abs(np.asarray(moved, np.float32) - now), 2.0)

    other, own = error(background), error(candidate)
    return (other - own) / (other + own + _NOISE)
