"""Memory that keeps frames in which something could be mistaken for the object."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar

from submit.predictors import State, option

from .policy import POLICIES, Kept, Promotion, Recall, Sighting
from .sam2 import Sam2Memory

__all__ = ["Dam4SamMemory"]

_REASON = "dam4sam keeps it: something near looks like the object"

#: The size of an object is compared with the median of so many areas that are not
#: empty, among so many latest frames.
_AREAS, _AREA_FRAMES = 10, 300


@dataclass(frozen=True)
class _Options:
    distractor_frames: int = option(
        4,
        "Conditioning frames that dam4sam looks back to, the first one included.",
        low=2,
        high=6,
    )
    stride: int = option(
        5, "dam4sam looks back to every so many frames, and the latest.", low=1
    )
    distractor_gap: int = option(
        5, "Fewest frames between two that dam4sam keeps for distractors.", low=0
    )
    distractor_iou: float = option(
        0.8, "Predicted IoU that dam4sam demands of such a frame.", low=0, high=1
    )
    distractor_growth: float = option(
        0.2, "Most that the area may differ from its median then, a share.", low=0
    )
    distractor_overlap: float = option(
        0.7,
        "dam4sam sees a distractor where the box grows so much with a mask that was "
        "not chosen that old and new have at most this IoU.",
        low=0,
        high=1,
    )


@POLICIES.register
class Dam4SamMemory(Sam2Memory):
    """All frames with distractors, and every fifth frame with the object.

    Where a mask that was not chosen reaches far beyond the one that was, something near
    looks like the object. If the mask is good and as large as usual, the frame becomes
    a conditioning frame. The window looks further back, with gaps, and skips frames
    without the object. Matches DAM4SAM (jovanavidenovic/DAM4SAM @ 9c95450:
    dam4sam_tracker.py, sam2/modeling/sam2_base.py and sam2_utils.py) without filling
    holes in masks. Frames with a prompt count as frames with the object.
    """

    name: ClassVar[str] = "dam4sam"
    order: ClassVar[int] = 30
    licence: ClassVar[str | None] = "Apache-2.0 by its setup.py, without a licence file"
    Options: ClassVar[type[Any]] = _Options

    def __init__(
        self,
        *,
        memories: int = 7,
        pointers: int = 16,
        conditioning: int | None = None,
        distractor_frames: int = 4,
        stride: int = 5,
        distractor_gap: int = 5,
        distractor_iou: float = 0.8,
        distractor_growth: float = 0.2,
        distractor_overlap: float = 0.7,
    ) -> None:
        """Remember.

        Args:
            memories: Places in time; the last belongs to conditioning frames.
            pointers: Greatest age of a pointer in the window, plus one.
            conditioning: Most conditioning frames that are looked back to, at least 2;
                None for all.
            distractor_frames: The same, never None.
            stride: Distance of frames in the window.
            distractor_gap: Fewest frames between two with distractors.
            distractor_iou: Predicted IoU of a frame with distractors.
            distractor_growth: Most that its area differs from the median.
            distractor_overlap: Most IoU of the boxes without and with a distractor.
        """
        limit = min(distractor_frames, conditioning or distractor_frames)
        super().__init__(memories=memories, pointers=pointers, conditioning=limit)
        self._most = limit
        self._stride, self._gap, self._iou = stride, distractor_gap, distractor_iou
        self._growth, self._overlap = distractor_growth, distractor_overlap
        self._areas: deque[int] = deque(maxlen=_AREA_FRAMES)
        self._added: int | None = None
        self._sharp = True
        #: Frames with the object that are not conditioning: the latest, and the latest
        #: of those at the distance of the stride.
        self._newest: int | None = None
        self._spaced: deque[int] = deque(maxlen=memories - 1)

    @property
    def sharp(self) -> bool:
        """Whether the latest frame is remembered by its mask, in or out of it."""
        return self._sharp

    def given(self, frame: int) -> None:
        """Note a frame with a prompt for the object."""
        super().given(frame)
        self._sharp = True
        self._forget()

    def tracked(self, frame: int, seen: Sighting) -> None:
        """Note a frame that was predicted; one with distractors is kept."""
        self._latest = frame
        self._areas.append(seen.area)
        self._sharp = self._has_distractor(frame, seen)
        if self._sharp:
            self._conditioning.append(frame)
            self._promoted.append(Promotion(frame, _REASON))
            self._added = frame
        elif seen.visible:
            self._window.append(frame)
            self._newest = frame
            if not (frame - self._conditioning[0]) % self._stride:
                self._spaced.append(frame)
        self._forget()

    def _forget(self) -> None:
        """Drop what no later frame looks back to."""
        oldest = self._latest - self._pointers + 2
        self._window = [known for known in self._window if known >= oldest]
        # The latest conditioning frame is not looked back to as such at first.
        first, *others = self._conditioning
        near = others[-self._most :]
        others = [known for known in others if known >= oldest or known in near]
        self._conditioning = [first, *others]

    def _has_distractor(self, frame: int, seen: Sighting) -> bool:
        """Whether the mask is reliable, and another one shows what is like it."""
        if self._added is not None and frame - self._added <= self._gap:
            return False
        area = self._areas[-1]
        if len(self._areas) < 2 or not area or seen.iou <= self._iou:
            return False
        usual = median([known for known in self._areas if known][-_AREAS:])
        if not 1 - self._growth <= area / usual <= 1 + self._growth:
            return False
        return min(seen.rivals, default=1.0) <= self._overlap

    def recall(self, frame: int) -> Recall:
        """Choose what to look back to from the next frame."""
        anchors = self._anchors(frame)
        last = self._memories - 1
        maps = [(known, last) for known in anchors]
        recent = self._recent(frame, places=self._memories - len(anchors))
        maps += reversed([(known, place) for place, known in enumerate(recent)])
        pointers = [(known, frame - known) for known in anchors]
        window = {*self._window, *self._conditioning}.difference(anchors)
        for known in sorted(window, reverse=True):
            if frame - known < self._pointers:
                pointers.append((known, frame - known))
        span = min(frame - self._conditioning[0], self._pointers - 1)
        return Recall(tuple(maps), tuple(pointers), span=max(span, 1))

    def _anchors(self, frame: int) -> list[int]:
        """The conditioning frames that are looked back to as such.

        The one before is not among them, unless it is the only one: it is recent.
        """
        first, *others = self._conditioning
        past = [known for known in others if known < frame - 1]
        return [first, *past[: -self._most : -1]]

    def _recent(self, frame: int, *, places: int) -> list[int]:
        """The other frames that are looked back to, the latest first."""
        before = frame - 1
        if before in self._conditioning and before != self._conditioning[0]:
            newest = before
        elif self._newest is not None:
            newest = self._newest
        else:
            return []
        older = [known for known in reversed(self._spaced) if known < newest]
        return [newest, *older][:places]

    def kept(self) -> Kept:
        """Say what must be kept after the latest frame."""
        first, *others = self._conditioning
        maps = {first, *others[-self._most :], *self._spaced}
        if self._newest is not None:
            maps.add(self._newest)
        return Kept(frozenset(maps), frozenset({*self._conditioning, *self._window}))

    def state(self) -> State:
        """Return what is known of the object, as plain data."""
        return {
            **super().state(),
            "areas": list(self._areas),
            "added": self._added,
            "sharp": self._sharp,
            "newest": self._newest,
            "spaced": list(self._spaced),
        }

    def restore(self, state: State) -> None:
        """Take what another policy with the same options knows of the object."""
        super().restore(state)
        self._areas.extend(state["areas"])
        self._added = state["added"]
        self._sharp = state["sharp"]
        self._newest = state["newest"]
        self._spaced.extend(state["spaced"])
