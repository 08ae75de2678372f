"""Dense optical flow in both directions, with its confidence."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .features import Floats, blur

__all__ = ["Flow", "FlowEstimator", "pixel_grid", "warp"]

#: Shortest side that the image pyramid of the flow accepts, in pixels.
_SHORTEST = 32
#: Difference in grey levels above which a match is rejected.
_PHOTOMETRIC = 25.0


@dataclass(frozen=True, eq=False)
class Flow:
    """The optical flow between the previous and the present frame.

    Attributes:
        source: H×W×2: x and y in the previous frame of each pixel of the present one.
        confidence: H×W in [0, 1] for `source`: high where forward and backward flow
            agree, the grey levels are equal, and the source is inside the frame.
        forward: H×W×2 displacement of each previous pixel.
        forward_confidence: H×W in [0, 1] for `forward`.
    """

    source: Floats
    confidence: Floats
    forward: Floats
    forward_confidence: Floats


class FlowEstimator:
    """Estimates flow with dense inverse search."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def estimate(self, previous: NDArray[np.uint8], present: NDArray[np.uint8]) -> Flow:
        """Estimate the flow between two H×W grey frames."""
        backward = self._displacement(present, previous)
        forward = self._displacement(previous, present)
        grid = pixel_grid(*present.shape)
        source = grid + backward
        confidence = _agreement(source, backward, forward)
        difference = blur(warp(previous, source) - present.astype(np.float32), 1.0)
        return Flow(
            source=source,
            confidence=confidence * np.exp(-((difference / _PHOTOMETRIC) ** 2)),
            forward=forward,
            forward_confidence=_agreement(grid + forward, forward, backward),
        )

    def _displacement(self, start: NDArray[np.uint8], end: NDArray[np.uint8]) -> Floats:
        height, width = start.shape
        down, right = max(0, _SHORTEST - height), max(0, _SHORTEST - width)
        # The type stubs require an initial flow; OpenCV does not.
        displacement = self._search.calc(  # type: ignore[call-overload]
            np.pad(start, ((0, down), (0, right)), "edge"),
            np.pad(end, ((0, down), (0, right)), "edge"),
            None,
        )
        return np.asarray(displacement[:height, :width], np.float32)


def pixel_grid(height: int, width: int) -> Floats:
    """Make the H×W×2 array of every pixel's x and y."""
    x, y = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    return np.stack([x, y], -1)


def warp(
    image: NDArray[np.float32] | NDArray[np.uint8],
    source: Floats,
    *,
    outside: float | None = None,
) -> Floats:
    """Sample an image bilinearly at H×W×2 coordinates.

    Args:
        image: H×W or H×W×C.
        source: x and y to sample at.
        outside: Value beyond the border; None repeats the border's pixels.
    """
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    # The type stubs require two maps; OpenCV accepts both coordinates in one.
    warped = cv2.remap(  # type: ignore[call-overload]
        image,
        source,
        None,
        cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=outside or 0.0,
    )
    return np.asarray(warped, np.float32)


def _agreement(target: Floats, there: Floats, back: Floats) -> Floats:
    """Consistency of forward and backward flow in [0, 1]; 0 outside the frame."""
    height, width = there.shape[:2]
    error = warp(back, target) + there
    allowed = 1.0 + 0.02 * (there**2).sum(-1)
    x, y = target[..., 0], target[..., 1]
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    agreement = np.exp(-(error**2).sum(-1) / allowed) * inside
    return np.asarray(agreement, np.float32)
