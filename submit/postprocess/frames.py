"""Running the filters that look ahead over the frames of a video.

Frames are held until it is known how long an object is visible or absent: one frame
less than the length that counts as short, for videos of any length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..masks import LOWEST, Codes, dequantise
from .filter import HeldFrame
from .settings import Postprocess

if TYPE_CHECKING:
    # The options of `submit export` are listed without opening runs.
    from ..runs import VideoMasks

__all__ = ["steady_frames"]


def steady_frames(masks: VideoMasks, settings: Postprocess) -> Iterator[Codes]:
    """Yield the codes of each frame, after the filters that look ahead.

    Args:
        masks: The video as a run has it.
        settings: The post-processing.
    """
    if not settings.looks_ahead:
        yield from map(masks.codes, range(len(masks.frames)))
        return
    frames: Iterable[HeldFrame] = _read(masks, settings["threshold"])
    for one in settings.look_ahead_filters:
        frames = one.apply_to_frames(frames)
    for frame in frames:
        yield frame.codes


def _read(masks: VideoMasks, threshold: float) -> Iterator[HeldFrame]:
    for index in range(len(masks.frames)):
        codes = masks.codes(index)
        peaks = dequantise(codes.max(axis=(1, 2), initial=LOWEST), masks.values)
        scores = masks.presence[index, : len(codes)]
        yield HeldFrame(
            codes, np.where(np.isnan(scores), peaks, scores), peaks > threshold
        )
