"""The memory selection of SAM 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from submit.predictors import State, option

from .policy import POLICIES, MemoryPolicy, Recall, Sighting
from .sam2 import Sam2Memory, by_rank

__all__ = ["Sam3Memory"]


@dataclass(frozen=True)
class _Options:
    valid: float = option(
        0.01,
        "What presence × predicted IoU of a frame that sam3 recalls exceeds.",
        low=0,
    )
    selection: str = option(
        "object",
        "Whether sam3 judges a frame for each object by itself, or for all objects of "
        "the video by their means, as the official code does.",
        choices=("object", "shared"),
    )


class _Company:
    """What the objects of a video show in the latest two frames, together."""

    def __init__(self) -> None:
        self._seen: dict[int, list[tuple[float, float]]] = {}

    def add(self, frame: int, visible: float, iou: float) -> None:
        """Note what one of them shows in a frame."""
        self._seen.setdefault(frame, []).append((visible, iou))
        for known in [known for known in self._seen if known < frame - 1]:
            del self._seen[known]

    def score(self, frame: int) -> float:
        """Judge a frame in which all objects are noted.

        The product of two means: the official one multiplies N×1 presences by N
        predicted IoUs, which gives N×N products.
        """
        seen = self._seen[frame]
        visible = sum(one for one, _ in seen) / len(seen)
        return visible * sum(iou for _, iou in seen) / len(seen)

    def state(self) -> State:
        """Return what was noted, as plain data."""
        return self._seen

    def restore(self, state: State) -> None:
        """Take what another one has noted; each of the objects gives the same."""
        self._seen = state


@POLICIES.register
class Sam3Memory(Sam2Memory):
    """The latest frames in which the object was visible take the window's places.

    A frame counts if (2·σ(presence) − 1) × predicted IoU exceeds a threshold; the frame
    just before counts always. Places and ages are ranks among those, not distances in
    time. Follows the rules of `frame_filter` in sam3/model/sam3_tracker_base.py
    (facebookresearch/sam3 @ 99d02f2), for each object by itself or, as there, for all
    objects of a video.
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
        selection: str = "object",
        conditioning: int | None = None,
        company: _Company | None = None,
    ) -> None:
        """Remember.

        Args:
            memories: Places in time; the last belongs to conditioning frames.
            pointers: Most valid frames that are known, plus one.
            valid: A valid frame's score exceeds it.
            selection: `shared` to judge frames by all objects of the video.
            conditioning: Most conditioning frames that are looked back to, at least 2;
                None for all.
            company: The objects of the video; None for this one alone.
        """
        super().__init__(
            memories=memories, pointers=pointers, conditioning=conditioning
        )
        self._least, self._shared = valid, selection == "shared"
        self._company = company or _Company()
        #: A frame that is not judged yet, since other objects are still looked at.
        self._pending: int | None = None

    @classmethod
    def maker(cls, **options: Any) -> Callable[[], MemoryPolicy]:
        """Make the maker of the policies of one video's objects."""
        return partial(cls, **options, company=_Company())

    def given(self, frame: int) -> None:
        """Note a frame with a prompt for the object."""
        self._settle()
        super().given(frame)

    def tracked(self, frame: int, seen: Sighting) -> None:
        """Note a frame that was predicted; it is valid if the object was visible."""
        # tanh(x / 2) is 2·σ(x) − 1.
        visible = math.tanh(max(seen.presence, 0.0) / 2)
        self._latest = frame
        if self._shared:
            self._company.add(frame, visible, seen.iou)
            self._pending = frame
        else:
            self._judge(frame, visible * seen.iou)

    def _settle(self) -> None:
        """Judge the frame before, in which all objects are noted by now."""
        if self._pending is not None:
            self._judge(self._pending, self._company.score(self._pending))
            self._pending = None

    def _judge(self, frame: int, score: float) -> None:
        """Take a frame into the window if it is good enough."""
        if score > self._least:
            known = max(self._pointers - 1, 1)
            self._window = [*self._window, frame][-known:]

    def recalls(self, frame: int) -> Sequence[Recall]:
        """Choose what to look back to from the next frame."""
        self._settle()
        return super().recalls(frame)

    def recall(self, frame: int) -> Recall:
        """Choose what to look back to from the next frame.

        A frame that is not judged yet counts as not valid, which needs all that a valid
        one does and one pointer more.
        """
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

    def state(self) -> State:
        """Return what is known of the object, as plain data."""
        return {
            **super().state(),
            "company": self._company.state(),
            "pending": self._pending,
        }

    def restore(self, state: State) -> None:
        """Take what another policy with the same options knows of the object."""
        super().restore(state)
        self._company.restore(state["company"])
        self._pending = state["pending"]
