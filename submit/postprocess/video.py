"""From a video's logits to its masks, with post-processing on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..masks import Labels, dequantise, to_labels
from ..runs import VideoMasks
from .presence import steady_frames
from .settings import Postprocess

__all__ = ["frame_labels", "labels_of"]


def labels_of(masks: VideoMasks, settings: Postprocess) -> Iterator[Labels]:
    """Make the masks of a video, frame by frame from the first.

    Args:
        masks: The video as a run has it.
        settings: What to do.

    Yields:
        H×W uint8 labels of each frame.
    """
    for steps in steady_frames(masks, settings):
        yield frame_labels(steps, masks.objects[: len(steps)], masks.size, settings)


def frame_labels(
    steps: NDArray[np.int8],
    objects: Sequence[int],
    size: tuple[int, int],
    settings: Postprocess,
) -> Labels:
    """Make one mask: threshold, overlap rule, shapes.

    Args:
        steps: n×h×w logits in steps of the run store.
        objects: The n ids.
        size: Height and width of the frame.
        settings: What to do; nothing that depends on other frames is done here.
    """
    values: NDArray[np.int8] | NDArray[np.float32] = steps
    if settings.threshold:
        # Resizing is linear, so that a threshold may be taken off before it.
        values = dequantise(steps) - np.float32(settings.threshold)
    labels = to_labels(values, objects, size)
    if settings.changes_shapes:
        # OpenCV is imported only where it is needed.
        from .shapes import tidy

        tidy(labels, settings)
    return labels
