"""Objects that show up or vanish for a moment only, found by looking a bit ahead.

Frames are held back until it is known how long an object stays or stays away; that is
one frame less than the length that counts as short, whatever the video's length is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..masks import LOWEST, Codes, dequantise
from ..runs import VideoMasks
from .settings import Postprocess

__all__ = ["steady_frames"]


@dataclass
class _Frame:
    """One frame on its way.

    Attributes:
        codes: n×h×w codes of logits; those of the run, so never written to.
        scores: n object scores.
        present: n, whether any pixel of the object is above the threshold.
    """

    codes: Codes
    scores: NDArray[np.float32]
    present: NDArray[np.bool_]

    def replace(self, row: int, plane: Codes | int, *, present: bool) -> None:
        """Put other logits in an object's place."""
        self.codes = self.codes.copy()
        self.codes[row] = plane
        self.present[row] = present


def steady_frames(masks: VideoMasks, settings: Postprocess) -> Iterator[Codes]:
    """Yield the codes of each frame, without flicker and dropouts.

    Args:
        masks: The video as a run has it.
        settings: What counts as short.
    """
    if not settings.looks_ahead:
        yield from map(masks.codes, range(len(masks.frames)))
        return
    frames: Iterable[_Frame] = _read(masks, settings.threshold)
    if settings.flicker > 1:
        frames = _without_flicker(frames, settings.flicker, settings.flicker_score)
    if settings.dropout > 1:
        frames = _without_dropouts(frames, settings.dropout)
    for frame in frames:
        yield frame.codes


def _read(masks: VideoMasks, threshold: float) -> Iterator[_Frame]:
    for index in range(len(masks.frames)):
        codes = masks.codes(index)
        peaks = dequantise(codes.max(axis=(1, 2), initial=LOWEST), masks.values)
        scores = masks.presence[index, : len(codes)]
        yield _Frame(
            codes, np.where(np.isnan(scores), peaks, scores), peaks > threshold
        )


def _without_flicker(
    frames: Iterable[_Frame], length: int, score: float
) -> Iterator[_Frame]:
    """Take out objects that show up for fewer than `length` frames, unsurely."""
    waiting: deque[_Frame] = deque()
    began: dict[int, int] = {}
    rows = 0
    for index, frame in enumerate(frames):
        waiting.append(frame)
        for row, present in enumerate(frame.present.tolist()):
            if present:
                # What begins with the object's annotation is no flicker.
                began.setdefault(row, index if row < rows else -length)
            elif row in began:
                lasted = index - began.pop(row)
                if lasted < length:
                    _take_out(list(waiting)[-1 - lasted : -1], row, score)
        rows = len(frame.present)
        if len(waiting) == length:
            yield waiting.popleft()
    yield from waiting


def _take_out(frames: list[_Frame], row: int, score: float) -> None:
    """Remove an object from frames if it is unsure in them."""
    if np.mean([frame.scores[row] for frame in frames]) < score:
        for frame in frames:
            frame.replace(row, LOWEST, present=False)


def _without_dropouts(frames: Iterable[_Frame], length: int) -> Iterator[_Frame]:
    """Fill in objects that are gone for fewer than `length` frames."""
    waiting: deque[_Frame] = deque()
    seen: dict[int, tuple[int, Codes]] = {}
    for index, frame in enumerate(frames):
        waiting.append(frame)
        for row in np.flatnonzero(frame.present).tolist():
            plane = frame.codes[row]
            last, before = seen.get(row, (index, plane))
            gone = index - last - 1
            # A model may change its resolution on the way; such planes do not fit.
            if 0 < gone < length and before.shape == plane.shape:
                for place, each in enumerate(list(waiting)[-1 - gone : -1], start=1):
                    nearer = before if 2 * place <= gone + 1 else plane
                    each.replace(row, nearer, present=True)
            seen[row] = index, plane
        if len(waiting) == length:
            yield waiting.popleft()
    yield from waiting
