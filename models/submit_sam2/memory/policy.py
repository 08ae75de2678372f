"""What a memory policy is: which earlier frames an object looks back to.

A policy decides with frame numbers, scores, boxes and nothing else: no tensors here.
One policy belongs to one object. A new rule for what is worth keeping is one file in
this folder: a class with the methods of `MemoryPolicy`, most of them inherited from
`Sam2Memory`, and a dataclass of its options. Both are options of the predictor then,
`-o memory=NAME` and its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from submit.predictors import Registry, State

__all__ = [
    "POLICIES",
    "Kept",
    "MemoryPolicy",
    "Noted",
    "Offer",
    "Pick",
    "PixelBox",
    "Promotion",
    "Recall",
    "Sighting",
]

#: Left, top, right and bottom pixel of a mask; the last two belong to it.
PixelBox = tuple[int, int, int, int]


@dataclass(frozen=True)
class Recall:
    """What an object looks back to in one frame.

    Memories have numbers: that of their frame, unless a policy keeps several memories
    of a frame and numbers them itself (see `Pick`).

    Attributes:
        maps: Number and place in time of each spatial memory; the place is an index
            into the network's codes of places.
        pointers: Number and age, in frames, of each object pointer.
        span: The network sees the ages divided by it, at least 1; None for the
            greatest age in the window.
        map_weights: What the attention multiplies the keys of each spatial memory by;
            None: by nothing.
        pointer_weights: The same for each object pointer; given if `map_weights` are.
    """

    maps: tuple[tuple[int, int], ...]
    pointers: tuple[tuple[int, int], ...]
    span: int | None = None
    map_weights: tuple[float, ...] | None = None
    pointer_weights: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Kept:
    """What later frames may still look back to; everything else can be forgotten.

    Attributes:
        maps: Numbers of the spatial memories that are needed.
        pointers: Numbers of the object pointers that are needed.
        undecided: Numbers of the picks that may still be decided on: see `decided`.
    """

    maps: frozenset[int]
    pointers: frozenset[int]
    undecided: frozenset[int] = frozenset()


class Promotion(NamedTuple):
    """A frame without a prompt that became a conditioning frame.

    Attributes:
        frame: Its number.
        reason: Why, in a few words.
    """

    frame: int
    reason: str


class Offer(Protocol):
    """What the mask decoder offers for one recall, before a mask is chosen.

    Each fact is computed when it is asked for.
    """

    @property
    def presence(self) -> float:
        """Logit of the object being there."""
        ...

    @property
    def ious(self) -> tuple[float, ...]:
        """Predicted IoU of each candidate mask, in [0, 1]."""
        ...

    def box(self, candidate: int) -> PixelBox | None:
        """Box of a candidate mask at the input's resolution; None: it is empty."""
        ...


@dataclass(frozen=True)
class Pick:
    """A candidate mask that is chosen.

    Attributes:
        recall: Index of the recall that it comes from.
        candidate: Index of the candidate.
        number: Of the memory that is made of it.
    """

    recall: int
    candidate: int
    number: int


class Sighting(Protocol):
    """What can be asked about an object in a frame that was predicted.

    Each fact is computed when it is asked for.
    """

    @property
    def presence(self) -> float:
        """Logit of the object being there."""
        ...

    @property
    def iou(self) -> float:
        """Predicted IoU of the mask, in [0, 1]."""
        ...

    @property
    def quality(self) -> float:
        """How good the mask seems, in [0, 1]; 0 where it is empty."""
        ...

    @property
    def visible(self) -> bool:
        """Whether the mask has a pixel, at a quarter of the input's resolution."""
        ...

    @property
    def area(self) -> int:
        """Pixels of the mask at the video's resolution."""
        ...

    @property
    def rivals(self) -> tuple[float, ...]:
        """How far the masks that were not chosen reach beyond the one that was.

        For each that has pixels outside the chosen mask: the largest connected piece of
        them is added to the chosen mask, and the boxes with and without it have this
        IoU. All at the video's resolution.
        """
        ...


@dataclass(frozen=True)
class Noted:
    """A sighting whose facts are known before: see `Sighting`."""

    presence: float = 1.0
    iou: float = 1.0
    quality: float = 0.0
    visible: bool = True
    area: int = 1
    rivals: tuple[float, ...] = ()


class MemoryPolicy(Protocol):
    """What an object remembers.

    The caller announces frames in order: those in which the object is given or
    corrected with `given`, of which the first is one, the others with `tracked`. Before
    a `tracked` frame, `recalls` and then `choose` are asked about it. Only what `kept`
    names is there to be recalled.

    Attributes:
        name: What `-o memory=` calls it.
        order: Its place in lists.
        licence: That of its authors' code, where it is no part of SAM 2's.
        Options: The dataclass of its own options.
    """

    name: ClassVar[str]
    order: ClassVar[int]
    licence: ClassVar[str | None]
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

    @classmethod
    def defaults(cls, model: str) -> Mapping[str, Any]:
        """The options' defaults for a network of this name: see `MODELS`."""
        ...

    @classmethod
    def maker(cls, **options: Any) -> Callable[[], MemoryPolicy]:
        """Make the maker of the policies of one video's objects.

        Args:
            options: What the constructor takes. Objects may share what they know.
        """
        ...

    @classmethod
    def is_delayed(cls, options: Mapping[str, Any]) -> bool:
        """Whether the first pick is not always the answer: see `decided`.

        Args:
            options: The values of all of the policy's own options.
        """
        ...

    @property
    def threshold(self) -> float:
        """The object is in a frame where the logit of its presence is above this."""
        ...

    @property
    def sharp(self) -> bool:
        """Whether the latest frame is remembered by its mask, in or out of it.

        Otherwise the probabilities of the pixels are remembered.
        """
        ...

    @property
    def promoted(self) -> Sequence[Promotion]:
        """The frames that became conditioning frames so far, in that order."""
        ...

    def given(self, frame: int) -> None:
        """Note a frame with a prompt for the object."""
        ...

    def tracked(self, frame: int, seen: Sighting) -> None:
        """Note a frame that was predicted, and what the first pick shows."""
        ...

    def recalls(self, frame: int) -> Sequence[Recall]:
        """Choose what to look back to from the next frame, in one way or several.

        A frame in which the object is corrected takes the first alone.
        """
        ...

    def choose(self, frame: int, offers: Sequence[Offer]) -> Sequence[Pick] | None:
        """Choose masks among the candidates, the best first.

        It is the answer, unless the policy is delayed.

        Args:
            frame: The next frame.
            offers: For each recall, what the mask decoder offers.

        Returns:
            One pick or several; None for the candidate of the only recall with the
            highest predicted IoU, remembered under the frame's number.
        """
        ...

    def kept(self) -> Kept:
        """Say what must be kept after the latest frame."""
        ...

    def decided(self, *, at_end: bool = False) -> Sequence[int]:
        """Return what was decided since the last call; for delayed policies only.

        Args:
            at_end: Whether there are no further frames; all the others are decided on.

        Returns:
            The numbers of the picks that answer the next frames, in their order; the
            number of the frame if it has a prompt.
        """
        ...

    def state(self) -> State:
        """Return what is known of the object, between two frames, as plain data.

        Options are no part of it.
        """
        ...

    def restore(self, state: State) -> None:
        """Take what another policy with the same options knows of the object."""
        ...


#: All policies by name.
POLICIES: Registry[type[MemoryPolicy]] = Registry("submit_sam2.memory")
