"""The memory of SAM 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from submit.predictors import State, option_infos

from .policy import (
    POLICIES,
    Kept,
    MemoryPolicy,
    Offer,
    Pick,
    Promotion,
    Recall,
    Sighting,
)

__all__ = ["Sam2Memory", "by_rank"]


@dataclass(frozen=True)
class _Options:
    """It has none."""


@POLICIES.register
class Sam2Memory:
    """All frames with a prompt, and a window of the latest frames.

    Matches `_prepare_memory_conditioned_features` of sam2/modeling/sam2_base.py
    (facebookresearch/sam2 @ 2b90b9f) in the published settings.
    """

    name: ClassVar[str] = "sam2"
    order: ClassVar[int] = 10
    licence: ClassVar[str | None] = None
    Options: ClassVar[type[Any]] = _Options

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
        self._promoted: list[Promotion] = []

    @classmethod
    def defaults(cls, model: str) -> Mapping[str, Any]:
        """The options' defaults for a network of this name."""
        del model
        return {one.name: one.default for one in option_infos(cls.Options)}

    @classmethod
    def maker(cls, **options: Any) -> Callable[[], MemoryPolicy]:
        """Make the maker of the policies of one video's objects, each by itself."""
        return partial(cls, **options)

    @classmethod
    def is_delayed(cls, options: Mapping[str, Any]) -> bool:
        """Whether the first pick is not always the answer."""
        del options
        return False

    @property
    def threshold(self) -> float:
        """The object is in a frame where the logit of its presence is above this."""
        return 0.0

    @property
    def sharp(self) -> bool:
        """Whether the latest frame is remembered by its mask, in or out of it."""
        return False

    @property
    def promoted(self) -> Sequence[Promotion]:
        """The frames that became conditioning frames so far, in that order."""
        return self._promoted

    def given(self, frame: int) -> None:
        """Note a frame with a prompt for the object."""
        self._conditioning.append(frame)
        self._latest = frame

    def tracked(self, frame: int, seen: Sighting) -> None:
        """Note a frame that was predicted."""
        del seen
        oldest = frame - max(self._pointers, self._memories) + 2
        self._window = [old for old in self._window if old >= oldest] + [frame]
        self._latest = frame

    def recalls(self, frame: int) -> Sequence[Recall]:
        """Choose what to look back to from the next frame."""
        return (self.recall(frame),)

    def choose(self, frame: int, offers: Sequence[Offer]) -> Sequence[Pick] | None:
        """Leave the choice to the predicted IoU."""
        del frame, offers
        return None

    def recall(self, frame: int) -> Recall:
        """Choose what to look back to from the next frame."""
        near = self._nearest(frame)
        last = self._memories - 1
        maps = [(known, last) for known in near]
        # Conditioning frames that are not among the nearest are like any other.
        for known in sorted({*self._window, *self._conditioning}.difference(near)):
            age = frame - known
            if 0 < age <= last:
                maps.append((known, age - 1))
        return Recall(tuple(maps), self._aged(frame, near))

    def _aged(self, frame: int, near: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Pointers of the nearest conditioning frames, and of the window."""
        pointers = [(known, frame - known) for known in near]
        window = {*self._window, *self._conditioning}.difference(near)
        for known in sorted(window, reverse=True):
            age = frame - known
            if 0 < age < self._pointers:
                pointers.append((known, age))
        return tuple(pointers)

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

    def decided(self, *, at_end: bool = False) -> Sequence[int]:
        """Nothing is decided later."""
        del at_end
        return ()

    def state(self) -> State:
        """Return what is known of the object, as plain data."""
        return {
            "conditioning": self._conditioning,
            "window": self._window,
            "latest": self._latest,
            "promoted": [tuple(one) for one in self._promoted],
        }

    def restore(self, state: State) -> None:
        """Take what another policy with the same options knows of the object."""
        self._conditioning = state["conditioning"]
        self._window = state["window"]
        self._latest = state["latest"]
        self._promoted = [Promotion(*one) for one in state["promoted"]]


def by_rank(
    near: Sequence[int], good: Sequence[int], frame: int, *, places: int
) -> tuple[tuple[int, int], ...]:
    """Maps of the latest good frames, whose places are their ranks.

    The frame just before counts always. A conditioning frame just before takes a place,
    and leaves it empty.

    Args:
        near: The conditioning frames, which have the last place.
        good: The good frames, the latest last.
        frame: The next frame.
        places: Places in time, the last included.
    """
    ranked = [known for known in reversed(good) if known != frame - 1]
    placed = list(enumerate([frame - 1, *ranked][: places - 1]))
    return (
        *((known, places - 1) for known in near),
        *((known, place) for place, known in reversed(placed) if known not in near),
    )
