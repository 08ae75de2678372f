"""Objects that are absent for a few frames only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ...masks import Codes
from ...system.schema import setting
from ..filter import FILTERS, LONGEST, HeldFrame, LookAheadFilter

__all__ = ["Dropout"]


@FILTERS.register
@dataclass(frozen=True)
class Dropout(LookAheadFilter):
    """Fills in an object that is absent for a few frames.

    It gets the logits of the nearest frame in which it is present.
    """

    name = "dropout"
    order = 70
    tried = tuple({"dropout": value} for value in (2, 4, 8))

    dropout: int = setting(
        0, "Fill in objects that are absent for fewer frames.", low=0, high=LONGEST
    )

    @property
    def is_off(self) -> bool:
        """Whether it changes nothing."""
        return self.dropout <= 1

    def apply_to_frames(self, frames: Iterable[HeldFrame]) -> Iterator[HeldFrame]:
        """Yield all frames in their order."""
        waiting: deque[HeldFrame] = deque()
        seen: dict[int, tuple[int, Codes]] = {}
        for index, frame in enumerate(frames):
            waiting.append(frame)
            for row in np.flatnonzero(frame.present).tolist():
                plane = frame.codes[row]
                last, before = seen.get(row, (index, plane))
                gone = index - last - 1
                # A model may change its resolution within a video; such planes do not
                # fit.
                if 0 < gone < self.dropout and before.shape == plane.shape:
                    for place, each in enumerate(
                        list(waiting)[-1 - gone : -1], start=1
                    ):
                        nearer = before if 2 * place <= gone + 1 else plane
                        each.replace(row, nearer)
                seen[row] = index, plane
            if len(waiting) == self.dropout:
                yield waiting.popleft()
        yield from waiting
