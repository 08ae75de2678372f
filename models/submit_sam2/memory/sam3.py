"""The memory selection of SAM 3."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from submit.predictors import option

from .policy import POLICIES, Recall, Sighting
from .sam2 import Sam2Memory, by_rank

__all__ = ["Sam3Memory"]


@dataclass(frozen=True)
class _Options:
    valid: float = option(
        0.01,
        "What presence × predicted IoU of a frame that sam3 recalls exceeds.",
        low=0,
    )


@POLICIES.register
class Sam3Memory(Sam2Memory):
    """The latest frames in which the object was visible take the window's places.

    A frame counts if (2·σ(presence) − 1) × predicted IoU exceeds a threshold; the frame
    just before counts always. Places and ages are ranks among those, not distances in
    time. Follows the rules of `frame_filter` in sam3/model/sam3_tracker_base.py
    (facebookresearch/sam3 @ 99d02f2), for each object by itself; the reference takes
    the mean over the objects of a video.
    """

    name: ClassVar[str] = "sam3"
    order: ClassVar[int] = 25
    Options: ClassVar[type[Any]] = _Options

    def __init__(
        self,
        *,
        memories: int = 7,
        pointers: int = 16,
        valid: float = 0.01,
        conditioning: int | None = None,
    ) -> None:
        """Remember.

        Args:
            memories: Places in time; the last belongs to conditioning frames.
            pointers: Most valid frames that are known, plus one.
            valid: A valid frame's score exceeds it.
            conditioning: Most conditioning frames that are looked back to, at least 2;
                None for all.
        """
        super().__init__(
            memories=memories, pointers=pointers, conditioning=conditioning
        )
        self._least = valid

    def tracked(self, frame: int, seen: Sighting) -> None:
        """Note a frame that was predicted; it is valid if the object was visible."""
        # tanh(x / 2) is 2·σ(x) − 1.
        if math.tanh(max(seen.presence, 0.0) / 2) * seen.iou > self._least:
            known = max(self._pointers - 1, 1)
            self._window = [*self._window, frame][-known:]
        self._latest = frame

    def recall(self, frame: int) -> Recall:
        """Choose what to look back to from the next frame."""
        near = self._nearest(frame)
        maps = by_rank(near, self._window, frame, places=self._memories)
        pointers = [(known, frame - known) for known in near]
        ranked = self._window[::-1]
        if frame - 1 not in ranked:
            ranked.insert(0, frame - 1)
        # The oldest one has no pointer, as in the reference.
        aged = enumerate(ranked[: min(self._pointers, len(ranked)) - 1], 1)
        pointers += [(known, age) for age, known in aged if known not in near]
        return Recall(maps, tuple(pointers))
