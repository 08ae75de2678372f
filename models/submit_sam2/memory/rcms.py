"""Reliable conditional memory selection, as in the MOSEv2 baseline."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

from submit.predictors import State, option

from .policy import POLICIES, Kept, Promotion, Sighting
from .sam2 import Sam2Memory

__all__ = ["RcmsMemory"]

_REASON = "rcms keeps it: the object disappeared"


@dataclass(frozen=True)
class _Options:
    promote: int = option(
        4, "Good frames that rcms keeps permanently when an object disappears.", low=0
    )
    quality: float = option(0.6, "What rcms takes for a good frame.", low=0, high=1)


@POLICIES.register
class RcmsMemory(Sam2Memory):
    """As `sam2` until the object disappears; then good frames are kept as well.

    When the object disappears for the first time, the latest frames in which it was
    seen well become conditioning frames, so that it is found again when it reappears.
    Matches MOSEv2/sam2_rcms/sam2/sam2_video_predictor.py (henghuiding/MOSE-api
    @ 241977a) but for looking back without end through frames that were forgotten:
    the latest good ones are noted as they come.
    """

    name: ClassVar[str] = "rcms"
    order: ClassVar[int] = 20
    Options: ClassVar[type[Any]] = _Options

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
            promote: How many good frames are kept.
            quality: A good frame is better than this.
        """
        super().__init__(
            memories=memories, pointers=pointers, conditioning=conditioning
        )
        self._quality = quality
        self._good: deque[int] = deque(maxlen=promote)
        self._disappeared = False

    def tracked(self, frame: int, seen: Sighting) -> None:
        """Note a frame that was predicted; the first without the object matters."""
        super().tracked(frame, seen)
        if self._disappeared:
            return
        if seen.presence <= 0:
            self._disappeared = True
            self._conditioning += reversed(self._good)
            self._promoted += [Promotion(known, _REASON) for known in self._good]
            self._window = [known for known in self._window if known not in self._good]
            self._good.clear()
        elif seen.quality > self._quality:
            self._good.append(frame)

    def kept(self) -> Kept:
        """Say what must be kept after the latest frame."""
        kept = super().kept()
        return Kept(kept.maps | set(self._good), kept.pointers | set(self._good))

    def state(self) -> State:
        """Return what is known of the object, as plain data."""
        return {
            **super().state(),
            "good": list(self._good),
            "disappeared": self._disappeared,
        }

    def restore(self, state: State) -> None:
        """Take what another policy with the same options knows of the object."""
        super().restore(state)
        self._good.extend(state["good"])
        self._disappeared = state["disappeared"]
