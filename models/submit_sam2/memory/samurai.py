"""Memory of good frames, and masks that are where the object should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from submit.predictors import State, option

from .motion import BoxMotion
from .policy import POLICIES, Offer, Pick, Recall, Sighting
from .sam2 import Sam2Memory, by_rank

__all__ = ["SamuraiMemory"]

#: Published weights of the motion, of large networks and of others.
_LARGE, _OTHERS = 0.15, 0.25


@dataclass(frozen=True)
class _Options:
    motion_weight: float | None = option(
        None,
        "How much samurai trusts where a mask should be, against its predicted IoU; "
        f"none: {_LARGE} for large networks, {_OTHERS} for others.",
        low=0,
        high=1,
    )
    motion_frames: int = option(
        15, "samurai trusts the motion after so many good frames in a row.", low=1
    )
    motion_iou: float = option(
        0.3, "Predicted IoU that samurai demands of those frames.", low=0, high=1
    )
    recalled_iou: float = option(
        0.5, "What the predicted IoU of a frame that samurai recalls exceeds.", low=0
    )
    recalled_presence: float = option(
        0.0, "What the presence of such a frame exceeds, a logit."
    )
    recalled_motion: float = option(
        0.0, "What the IoU of its box and the predicted one exceeds.", low=-1, high=1
    )
    visible_presence: float = option(
        -1.0, "samurai shows a mask where the presence exceeds it, a logit."
    )


@POLICIES.register
class SamuraiMemory(Sam2Memory):
    """Masks are chosen by predicted IoU and motion; the window has good frames only.

    A filter predicts the object's box. Once it was right for some frames, a mask is
    chosen by its predicted IoU and by how well its box fits. The window's places go to
    the latest frames with a good mask where the object should be; the frame just before
    counts always. Matches SAMURAI (yangchris11/samurai @ 76ba195:
    sam2/sam2/modeling/sam2_base.py) for one object. There all objects and videos share
    one filter; here each object has its own, and a prompt starts it again.
    """

    name: ClassVar[str] = "samurai"
    order: ClassVar[int] = 40
    licence: ClassVar[str | None] = "Apache-2.0"
    Options: ClassVar[type[Any]] = _Options

    def __init__(
        self,
        *,
        memories: int = 7,
        pointers: int = 16,
        conditioning: int | None = None,
        motion_weight: float = _OTHERS,
        motion_frames: int = 15,
        motion_iou: float = 0.3,
        recalled_iou: float = 0.5,
        recalled_presence: float = 0.0,
        recalled_motion: float = 0.0,
        visible_presence: float = -1.0,
    ) -> None:
        """Remember.

        Args:
            memories: Places in time; the last belongs to conditioning frames.
            pointers: Greatest age of a pointer in the window, plus one.
            conditioning: Most conditioning frames that are looked back to, at least 2;
                None for all.
            motion_weight: Of the motion, in [0, 1], against the predicted IoU.
            motion_frames: Good frames in a row before the motion counts.
            motion_iou: Predicted IoU of a good frame in this sense.
            recalled_iou: What the predicted IoU of a frame in the window exceeds …
            recalled_presence: … and its presence …
            recalled_motion: … and the IoU of its box with the predicted one.
            visible_presence: A mask is empty where the presence is not above this.
        """
        super().__init__(
            memories=memories, pointers=pointers, conditioning=conditioning
        )
        self._weight, self._frames = motion_weight, motion_frames
        self._reliable = motion_iou
        self._least = recalled_iou, recalled_presence, recalled_motion
        self._visible = visible_presence
        self._motion: BoxMotion | None = None
        #: Good frames in a row, up to as many as are needed.
        self._stable = 0
        #: How well the latest mask fits the motion; None where that did not count.
        self._fit: float | None = None
        #: The latest good frames, those with a prompt excepted.
        self._good: list[int] = []
        self._is_first = True

    @classmethod
    def defaults(cls, model: str) -> Mapping[str, Any]:
        """The options' defaults for a network of this name."""
        weight = _LARGE if model.endswith("large") else _OTHERS
        return {**super().defaults(model), "motion_weight": weight}

    @property
    def threshold(self) -> float:
        """The object is in a frame where the logit of its presence is above this."""
        return self._visible

    def given(self, frame: int) -> None:
        """Note a frame with a prompt for the object."""
        super().given(frame)
        self._motion, self._stable = None, 0

    def choose(self, frame: int, offers: Sequence[Offer]) -> Sequence[Pick]:
        """Choose a mask by predicted IoU, and by motion once that is reliable."""
        (offer,) = offers
        ious, self._fit = offer.ious, None
        if self._motion is None or not self._stable:
            best = _best(ious)
            self._motion, self._stable = BoxMotion(offer.box(best)), 1
            return (Pick(0, best, frame),)
        self._motion.predict()
        if self._stable < self._frames:
            best = _best(ious)
            good = ious[best] > self._reliable
            self._stable = self._stable + 1 if good else 0
        else:
            fits = [self._motion.overlap(offer.box(one)) for one in range(len(ious))]
            best = _best(
                [
                    self._weight * fit + (1 - self._weight) * iou
                    for fit, iou in zip(fits, ious, strict=True)
                ]
            )
            self._fit = fits[best]
            good = ious[best] >= self._reliable
            self._stable = self._stable if good else 0
        if good:
            self._motion.correct(offer.box(best))
        return (Pick(0, best, frame),)

    def tracked(self, frame: int, seen: Sighting) -> None:
        """Note a frame that was predicted; the window takes it if it is good."""
        super().tracked(frame, seen)
        iou, presence, motion = self._least
        fits = self._fit is None or self._fit > motion
        # The reference never looks back to the very first one for being good.
        if not self._is_first and seen.iou > iou and seen.presence > presence and fits:
            self._good = [*self._good, frame][-(self._memories - 1) :]
        self._is_first = False

    def recall(self, frame: int) -> Recall:
        """Choose what to look back to from the next frame."""
        near = self._nearest(frame)
        maps = by_rank(near, self._good, frame, places=self._memories)
        return Recall(maps, self._aged(frame, near))

    def state(self) -> State:
        """Return what is known of the object, as plain data."""
        return {
            **super().state(),
            "motion": None if self._motion is None else self._motion.state(),
            "stable": self._stable,
            "fit": self._fit,
            "good": self._good,
            "is_first": self._is_first,
        }

    def restore(self, state: State) -> None:
        """Take what another policy with the same options knows of the object."""
        super().restore(state)
        if state["motion"] is not None:
            self._motion = BoxMotion(None)
            self._motion.restore(state["motion"])
        self._stable = state["stable"]
        self._fit = state["fit"]
        self._good = state["good"]
        self._is_first = state["is_first"]


def _best(scores: Sequence[float]) -> int:
    """Index of the highest score; the first one of equal ones."""
    return max(range(len(scores)), key=scores.__getitem__)
