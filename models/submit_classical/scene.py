"""Compute what all objects of a video share: features, flow and camera motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from .features import Floats, compute_features
from .flow import Flow, FlowEstimator
from .motion import Similarity, fit_similarity

Pixel = TypeVar("Pixel", np.uint8, np.float32)

__all__ = ["Change", "SceneReader", "WorkingFrame", "resize", "single_thread"]


@dataclass(frozen=True, eq=False)
class Change:
    """The change from the previous frame to the present one.

    Attributes:
        previous: The previous frame, H×W grey levels.
        flow: The optical flow between the two frames.
        camera: Motion of the background.
    """

    previous: Floats
    flow: Flow
    camera: Similarity


@dataclass(frozen=True, eq=False)
class WorkingFrame:
    """The present frame at the working resolution.

    Attributes:
        grey: H×W grey levels.
        features: H×W×C descriptor of every pixel; the first three are its colour.
        change: The change from the previous frame; None in the first frame.
    """

    grey: Floats
    features: Floats
    change: Change | None

    @property
    def height(self) -> int:
        """Rows in pixels."""
        return int(self.grey.shape[0])

    @property
    def width(self) -> int:
        """Columns in pixels."""
        return int(self.grey.shape[1])


class SceneReader:
    """Computes a `WorkingFrame` of each frame of a video; keeps one frame.

    Attributes:
        previous: The latest frame, H×W grey levels; None before the first.
    """

    def __init__(self, height: int, width: int) -> None:
        self._size = (height, width)
        self._estimator = FlowEstimator()
        self.previous: NDArray[np.uint8] | None = None

    def read(self, frame: NDArray[np.uint8], objects: Sequence[Floats]) -> WorkingFrame:
        """Read the next frame.

        Args:
            frame: RGB of any size.
            objects: Soft masks of the objects in the previous frame, each H×W. Their
                pixels are not used to fit the motion of the camera.
        """
        small = resize(frame, *self._size)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        previous, self.previous = self.previous, grey
        change = None
        if previous is not None:
            flow = self._estimator.estimate(previous, grey)
            camera = _camera(flow, objects)
            change = Change(previous.astype(np.float32), flow, camera)
        return WorkingFrame(grey.astype(np.float32), compute_features(small), change)


def _camera(flow: Flow, objects: Sequence[Floats]) -> Similarity:
    """Fit the motion of the background to a coarse grid of its pixels."""
    height, width = flow.confidence.shape
    step = max(2, width // 50)
    y, x = np.mgrid[step // 2 : height : step, step // 2 : width : step].reshape(2, -1)
    weights = flow.forward_confidence[y, x].astype(np.float64)
    for mask in objects:
        weights *= 1 - mask[y, x]
    start = np.stack([x, y], -1).astype(np.float64)
    return fit_similarity(start, start + flow.forward[y, x], weights + 1e-6)


def resize(image: NDArray[Pixel], height: int, width: int) -> NDArray[Pixel]:
    """Resize with aligned pixel centres; averages pixels if the image shrinks."""
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), interpolation=method)
    return np.asarray(resized, image.dtype)


@contextmanager
def single_thread() -> Iterator[None]:
    """Limit OpenCV to one thread.

    The flow depends on the number of threads, since each thread computes its own strip
    of the frame. The result must not depend on the machine.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
