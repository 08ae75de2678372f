"""What a memory policy is: which earlier frames an object looks back to.

A policy decides with frame numbers, scores and nothing else: no tensors here. One
policy belongs to one object. A new rule for what is worth keeping is one file in this
folder: a class with the methods of `MemoryPolicy` and a dataclass of its options. Both
are options of the predictor then, `-o memory=NAME` and its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from submit.predictors import Registry

__all__ = ["POLICIES", "Kept", "MemoryPolicy", "Recall"]


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

    Attributes:
        name: What `-o memory=` calls it.
        order: Its place in lists.
        Options: The dataclass of its own options.
    """

    name: ClassVar[str]
    order: ClassVar[int]
    Options: ClassVar[type[Any]]

    def __init__(
        self, *, memories: int, pointers: int, conditioning: int | None
    ) -> None:
        """Remember; the policy's own options are further keywords.

        Args:
            memories: Places in time; the last belongs to conditioning frames.
            pointers: Greatest age of a pointer in the window, plus one.
            conditioning: Most conditioning frames that are looked back to, at least 2;
                None for all.
        """
        ...

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


#: All policies by name.
POLICIES: Registry[type[MemoryPolicy]] = Registry("submit_sam2.memory")
