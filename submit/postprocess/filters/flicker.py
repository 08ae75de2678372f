"""Objects that are visible for a few frames only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from ...system.schema import setting
from ..filter import FILTERS, LONGEST, HeldFrame, LookAheadFilter

__all__ = ["Flicker"]


@FILTERS.register
@dataclass(frozen=True)
class Flicker(LookAheadFilter):
    """Removes an object that shows up for a few frames with a low object score.

    It must have been absent before, and be absent again. The highest logit of the mask
    stands in where a run has no object scores.
    """

    name = "flicker"
    order = 60
    tried = tuple(
        {"flicker": length, "flicker_score": score}
        for length, score in product((3, 8), (0.0, 2.0, 4.0))
    )

    flicker: int = setting(
        0,
        "Remove objects that are visible for fewer frames with low confidence.",
        low=0,
        high=LONGEST,
    )
    flicker_score: float = setting(
        2.0, "Low confidence is a mean object score below this. Default: 2."
    )

    @property
    def is_off(self) -> bool:
        """Whether it changes nothing."""
        return self.flicker <= 1

    def apply_to_frames(self, frames: Iterable[HeldFrame]) -> Iterator[HeldFrame]:
        """Yield all frames in their order."""
        waiting: deque[HeldFrame] = deque()
        began: dict[int, int] = {}
        rows = 0
        for index, frame in enumerate(frames):
            waiting.append(frame)
            for row, present in enumerate(frame.present.tolist()):
                if present:
                    # A visible time that begins with the annotation is not a flicker.
                    began.setdefault(row, index if row < rows else -self.flicker)
                elif row in began:
                    lasted = index - began.pop(row)
                    if lasted < self.flicker:
                        self._take_out(list(waiting)[-1 - lasted : -1], row)
            rows = len(frame.present)
            if len(waiting) == self.flicker:
                yield waiting.popleft()
        yield from waiting

    def _take_out(self, frames: list[HeldFrame], row: int) -> None:
        """Remove an object from frames if its score is low in them."""
        if np.mean([frame.scores[row] for frame in frames]) < self.flicker_score:
            for frame in frames:
                frame.remove(row)
