"""Which earlier frames an object remembers, and which of them it looks back to.

A policy decides with frame numbers, scores and nothing else: no tensors here. One
policy belongs to one object. A new idea, such as another rule for what is worth
keeping, is one new class with the three methods of `MemoryPolicy`.

- `Sam2Memory`: frames with a prompt for ever, and the last few frames.
- `RcmsMemory`: the same until the object disappears for the first time; then the
  latest good frames are kept for ever too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Kept", "MemoryPolicy", "RcmsMemory", "Recall", "Sam2Memory"]


@dataclass(frozen=True)
class Recall:
    """What an object looks back to in one frame.

    Attributes:
        maps: Frame and place in time of each spatial memory; the place is an index
            into the network's codes of places.
        pointers: Frame and age, in frames, of each object pointer.
    """

    maps: tuple[tuple[int, int], ...]
    pointers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Kept:
    """What later frames may still look back to; everything else can be forgotten.

    Attributes:
        maps: Frames whose spatial memory is needed.
        pointers: Frames whose object pointer is needed.
    """

    maps: frozenset[int]
    pointers: frozenset[int]


class MemoryPolicy(Protocol):
    """What an object remembers.

    The caller announces frames in order: those in which the object is given or
    corrected with `given`, of which the first is one, the others with `tracked`.
    Between them `recall` may ask for the next frame. Only what `kept` names is there to
    be recalled.
    """

    @property
    def wants_quality(self) -> bool:
        """Whether the quality of the next frame makes a difference."""
        ...

    def given(self, frame: int) -> None:
        """Note a frame with a prompt for the object."""
        ...

    def tracked(self, frame: int, *, presence: float, quality: float) -> None:
        """Note a frame that was predicted.

        Args:
            frame: Its number.
            presence: Logit of the object being there.
            quality: How good its mask seems, in [0, 1]; 0 where it is empty or
                nobody wanted to know.
        """
        ...

    def recall(self, frame: int) -> Recall:
        """Choose what to look back to from the next frame."""
        ...

    def kept(self) -> Kept:
        """Say what must be kept after the latest frame."""
        ...


class Sam2Memory:
    """The memory of SAM 2: frames with a prompt and a window of the latest frames.

    Matches `_prepare_memory_conditioned_features` of sam2/modeling/sam2_base.py
    (facebookresearch/sam2 @ 2b90b9f) in the published settings.
    """

    def __init__(
        self, *, memories: int = 7, pointers: int = 16, conditioning: int | None = None
    ) -> None:
        """Remember.

        Args:
            memories: Places in time; the last belongs to conditioning frames.
            pointers: Greatest age of a pointer in the window, plus one.
            conditioning: Most conditioning frames that are looked back to, at least 2;
                None for all.
        """
        self._memories, self._pointers = memories, pointers
        self._limit = conditioning
        #: Frames with a prompt, and those that are treated alike, in the order they
        #: became so.
        self._conditioning: list[int] = []
        #: The latest other frames, as far back as pointers go.
        self._window: list[int] = []
        self._latest = -1

    @property
    def wants_quality(self) -> bool:
        """Whether the quality of the next frame makes a difference."""
        return False

    def given(self, frame: int) -> None:
        """Note a frame with a prompt for the object."""
        self._conditioning.append(frame)
        self._latest = frame

    def tracked(self, frame: int, *, presence: float, quality: float) -> None:
        """Note a frame that was predicted."""
        del presence, quality
        oldest = frame - max(self._pointers, self._memories) + 2
        self._window = [old for old in self._window if old >= oldest] + [frame]
        self._latest = frame

    def recall(self, frame: int) -> Recall:
        """Choose what to look back to from the next frame."""
        last = self._memories - 1
        near = self._nearest(frame)
        maps = [(known, last) for known in near]
        pointers = [(known, frame - known) for known in near]
        # Conditioning frames that are not among the nearest are like any other.
        window = sorted({*self._window, *self._conditioning}.difference(near))
        for known in window:
            age = frame - known
            if 0 < age <= last:
                maps.append((known, age - 1))
        for known in reversed(window):
            age = frame - known
            if 0 < age < self._pointers:
                pointers.append((known, age))
        return Recall(tuple(maps), tuple(pointers))

    def _nearest(self, frame: int) -> list[int]:
        """The conditioning frames that are looked back to, as many as may be.

        Matches `select_closest_cond_frames` of sam2/modeling/sam2_utils.py: first the
        one before, then the one after, then the others by distance.
        """
        known = self._conditioning
        if self._limit is None or len(known) <= self._limit:
            return known
        before = max((old for old in known if old < frame), default=None)
        after = min((new for new in known if new >= frame), default=None)
        first = [one for one in (before, after) if one is not None]
        others = [other for other in known if other not in first]
        others.sort(key=lambda other: abs(other - frame))
        return [*first, *others][: self._limit]

    def kept(self) -> Kept:
        """Say what must be kept after the latest frame."""
        upcoming = self.recall(self._latest + 1)
        return Kept(
            frozenset(frame for frame, _ in upcoming.maps),
            frozenset(frame for frame, _ in upcoming.pointers),
        )


class RcmsMemory(Sam2Memory):
    """Reliable conditional memory selection, as in the MOSEv2 baseline.

    When the object disappears for the first time, the latest frames in which it was
    seen well become conditioning frames, so that it is found again when it comes back.
    Matches MOSEv2/sam2_rcms/sam2/sam2_video_predictor.py (henghuiding/MOSE-api
    @ 241977a) but for looking back without end through frames that were forgotten:
    the latest good ones are noted as they come.
    """

    def __init__(
        self,
        *,
        memories: int = 7,
        pointers: int = 16,
        promote: int = 4,
        quality: float = 0.6,
        conditioning: int | None = None,
    ) -> None:
        """Remember.

        Args:
            memories: Places in time; the last belongs to conditioning frames.
            pointers: Greatest age of a pointer in the window, plus one.
            conditioning: Most conditioning frames that are looked back to, at least 2;
                None for all.
            promote: How many frames are kept for ever.
            quality: A good frame is better than this.
        """
        super().__init__(
            memories=memories, pointers=pointers, conditioning=conditioning
        )
        self._quality = quality
        self._good: deque[int] = deque(maxlen=promote)
        self._disappeared = False

    @property
    def wants_quality(self) -> bool:
        """Whether the quality of the next frame makes a difference."""
        return not self._disappeared

    def tracked(self, frame: int, *, presence: float, quality: float) -> None:
        """Note a frame that was predicted; the first without the object matters."""
        super().tracked(frame, presence=presence, quality=quality)
        if self._disappeared:
            return
        if presence <= 0:
            self._disappeared = True
            self._conditioning += reversed(self._good)
            self._window = [known for known in self._window if known not in self._good]
            self._good.clear()
        elif quality > self._quality:
            self._good.append(frame)

    def kept(self) -> Kept:
        """Say what must be kept after the latest frame."""
        kept = super().kept()
        return Kept(kept.maps | set(self._good), kept.pointers | set(self._good))
