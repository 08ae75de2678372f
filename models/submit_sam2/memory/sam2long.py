"""Memory of several pathways: what to look back to is decided later."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, ClassVar, NamedTuple

from submit.predictors import State, option

from .policy import POLICIES, Kept, Offer, Pick, Recall, Sighting
from .sam2 import Sam2Memory, by_rank

__all__ = ["Sam2LongMemory"]

#: Keys of memories are multiplied by weights from the first to the second value.
_LOWEST, _HIGHEST = 0.95, 1.05
#: Presence that a frame with a prompt counts with when weights are given.
_PROMPTED = 10.0
#: Added to a predicted IoU before its logarithm is taken.
_EPSILON = 1e-5
#: Predicted IoUs with the same so many decimals count as the same mask.
_DECIMALS = 2


@dataclass(frozen=True)
class _Options:
    pathways: int = option(
        3, "Pathways that sam2long follows for each object.", low=1, high=8
    )
    pathway_iou: float = option(
        0.1, "What the predicted IoU of a frame that sam2long recalls exceeds.", low=0
    )
    uncertain_presence: float = option(
        2.0,
        "sam2long takes different masks where the presence is at most this far from 0 "
        "in all pathways, a logit.",
        low=0,
    )
    delay: int = option(
        60,
        "Most frames that sam2long waits before it decides on a mask; 0: at once.",
        low=0,
    )


@dataclass(frozen=True)
class _Step:
    """A frame along a pathway, and the number of its memory."""

    frame: int
    number: int
    presence: float
    iou: float


@dataclass(frozen=True)
class _Pathway:
    """One sequence of masks.

    Attributes:
        score: Sum of the logarithms of the predicted IoUs since the last prompt.
        reliable: The latest reliable frames, the oldest first.
        latest: The frame just before; None if it has a prompt.
        undecided: Numbers of the masks of the latest frames, in their order, which are
            not decided on.
    """

    score: float = 0.0
    reliable: tuple[_Step, ...] = ()
    latest: _Step | None = None
    undecided: tuple[int, ...] = ()

    @classmethod
    def of(cls, state: State) -> _Pathway:
        """The pathway that was made plain data by `astuple`."""
        score, reliable, latest, undecided = state
        return cls(
            score,
            tuple(_Step(*one) for one in reliable),
            None if latest is None else _Step(*latest),
            undecided,
        )


class _Branch(NamedTuple):
    """A candidate mask that would continue a pathway."""

    place: int
    candidate: int
    score: float
    #: The predicted IoU, negative if the object is absent.
    signed_iou: float


@POLICIES.register
class Sam2LongMemory(Sam2Memory):
    """Several pathways are followed, and the best sequence of masks is the result.

    Each pathway has its own memory and gives three masks in each frame. Those with the
    highest sums of logarithms of the predicted IoUs continue. Where all pathways are
    uncertain, different masks are preferred. A pathway looks back to its latest frames
    with a reliable mask, and more to those with a higher presence. Matches SAM2Long
    (Mark12Ding/SAM2Long @ 7193b77: sam2/sam2_video_predictor.py,
    sam2/modeling/sam2_base.py and memory_attention.py) for one prompt. There the best
    pathway at the end of the video decides on all masks; here a mask is decided on when
    all pathways agree on it, or after `delay` frames. Pathways that are equal are
    computed once. A prompt leaves the best pathway alone.
    """

    name: ClassVar[str] = "sam2long"
    order: ClassVar[int] = 50
    licence: ClassVar[str | None] = "CC-BY-NC-4.0, non-commercial"
    Options: ClassVar[type[Any]] = _Options

    def __init__(
        self,
        *,
        memories: int = 7,
        pointers: int = 16,
        conditioning: int | None = None,
        pathways: int = 3,
        pathway_iou: float = 0.1,
        uncertain_presence: float = 2.0,
        delay: int = 60,
    ) -> None:
        """Remember.

        Args:
            memories: Places in time; the last belongs to conditioning frames.
            pointers: Most reliable frames that are known, plus one.
            conditioning: Most conditioning frames that are looked back to, at least 2;
                None for all.
            pathways: Their number.
            pathway_iou: What the predicted IoU of a reliable frame exceeds.
            uncertain_presence: A frame is uncertain if no pathway's presence is further
                from 0, a logit.
            delay: Most frames before a mask is decided on.
        """
        super().__init__(
            memories=memories, pointers=pointers, conditioning=conditioning
        )
        self._count, self._iou = pathways, pathway_iou
        self._uncertain = uncertain_presence
        # One pathway decides at once, and is not asked what it decided on.
        self._delay = delay if pathways > 1 else 0
        #: Different pathways, the best first; and for each of `pathways` places, which
        #: of them has it.
        self._pathways = [_Pathway()]
        self._places = [0] * pathways
        self._decided: list[int] = []

    @classmethod
    def is_delayed(cls, options: Mapping[str, Any]) -> bool:
        """Whether masks are decided on later."""
        return bool(options["delay"] and options["pathways"] > 1)

    def given(self, frame: int) -> None:
        """Note a frame with a prompt: the best pathway continues alone."""
        super().given(frame)
        best = self._pathways[0]
        if self._delay:
            self._decided += [*best.undecided, frame]
        self._pathways = [_Pathway(reliable=best.reliable)]
        self._places = [0] * self._count

    def choose(self, frame: int, offers: Sequence[Offer]) -> Sequence[Pick]:
        """Choose the masks that continue pathways."""
        if self._pathways[0].latest is None:
            # The frame after a prompt has one result in all pathways.
            ious = offers[0].ious
            best = max(range(len(ious)), key=ious.__getitem__)
            branches = [_Branch(0, best, 0.0, ious[best])] * self._count
        else:
            branches = self._best(offers)
        sources = [(self._places[one.place], one.candidate) for one in branches]
        distinct = list(dict.fromkeys(sources))
        picks, pathways = [], []
        for index, (source, candidate) in enumerate(distinct):
            # Numbers of frames are not negative.
            number = -(frame * self._count + index) - 1
            picks.append(Pick(source, candidate, number))
            offer = offers[source]
            step = _Step(frame, number, offer.presence, offer.ious[candidate])
            score = branches[sources.index((source, candidate))].score
            pathways.append(self._continued(self._pathways[source], step, score))
        self._pathways = pathways
        self._places = [distinct.index(source) for source in sources]
        return picks

    def _best(self, offers: Sequence[Offer]) -> list[_Branch]:
        """The branches that are followed, as many as there are pathways."""
        branches = []
        for place, pathway in enumerate(self._places):
            offer, before = offers[pathway], self._pathways[pathway].score
            sign = 1 if offer.presence > 0 else -1
            branches += [
                _Branch(place, one, before + math.log(iou + _EPSILON), sign * iou)
                for one, iou in enumerate(offer.ious)
            ]
        branches.sort(key=lambda branch: branch.score, reverse=True)
        if max(abs(offer.presence) for offer in offers) > self._uncertain:
            return branches[: self._count]
        different: dict[float, _Branch] = {}
        for branch in branches:
            different.setdefault(round(branch.signed_iou, _DECIMALS), branch)
        chosen = list(different.values())[: self._count]
        # Too few masks differ: then pathways that would end continue.
        followed = {branch.place for branch in chosen}
        others = {
            branch.place: branch
            for branch in reversed(branches)
            if branch.place not in followed
        }
        missing = self._count - len(chosen)
        return chosen + [others[place] for place in sorted(others)[:missing]]

    def _continued(self, pathway: _Pathway, step: _Step, score: float) -> _Pathway:
        """A pathway with one more step."""
        reliable = pathway.reliable
        if step.iou > self._iou and step.presence > 0:
            reliable = (*reliable, step)[-max(self._pointers - 1, 1) :]
        undecided = (*pathway.undecided, step.number) if self._delay else ()
        return _Pathway(score, reliable, step, undecided)

    def tracked(self, frame: int, seen: Sighting) -> None:
        """Note a frame that was predicted, and decide on earlier ones."""
        del seen
        self._latest = frame
        while numbers := {one.undecided[0] for one in self._pathways if one.undecided}:
            best = self._pathways[0].undecided
            if len(numbers) > 1 and len(best) <= self._delay:
                break
            self._decided.append(best[0])
            self._pathways = [
                replace(one, undecided=one.undecided[1:]) for one in self._pathways
            ]

    def decided(self, *, at_end: bool = False) -> Sequence[int]:
        """Return the numbers of masks that were decided on since the last call."""
        decided, self._decided = self._decided, []
        if at_end:
            best, *_ = self._pathways
            decided += best.undecided
            self._pathways = [replace(best, undecided=())]
            self._places = [0] * self._count
        return decided

    def recalls(self, frame: int) -> Sequence[Recall]:
        """Choose what each pathway looks back to from the next frame."""
        return [self._recall(pathway, frame) for pathway in self._pathways]

    def recall(self, frame: int) -> Recall:
        """Choose what the best pathway looks back to from the next frame."""
        return self._recall(self._pathways[0], frame)

    def _recall(self, pathway: _Pathway, frame: int) -> Recall:
        """Choose what a pathway looks back to: places and ages are ranks."""
        near = self._nearest(frame)
        steps = {step.frame: step for step in pathway.reliable}
        if pathway.latest is not None:
            steps[frame - 1] = pathway.latest
        good = [step.frame for step in pathway.reliable]
        maps = by_rank(near, good, frame, places=self._memories)
        if frame - 1 not in good:
            good.append(frame - 1)
        # The oldest one has no pointer, as in the reference.
        aged = enumerate(good[: -self._pointers : -1][: len(good) - 1], 1)
        pointers = [(known, frame - known) for known in near]
        pointers += [(known, age) for age, known in aged if known not in near]

        def weights(chosen: Sequence[tuple[int, int]]) -> tuple[float, ...]:
            return _weights(
                [
                    steps[known].presence if known in steps else _PROMPTED
                    for known, _ in chosen
                ]
            )

        def numbered(chosen: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
            return tuple(
                (steps[known].number if known in steps else known, place)
                for known, place in chosen
            )

        weighted = len(maps) > 1
        return Recall(
            numbered(maps),
            numbered(pointers),
            map_weights=weights(maps) if weighted else None,
            pointer_weights=weights(pointers) if weighted else None,
        )

    def kept(self) -> Kept:
        """Say what must be kept after the latest frame."""
        upcoming = self.recalls(self._latest + 1)
        return Kept(
            frozenset(known for one in upcoming for known, _ in one.maps),
            frozenset(known for one in upcoming for known, _ in one.pointers),
            frozenset(known for one in self._pathways for known in one.undecided),
        )

    def state(self) -> State:
        """Return what is known of the object, as plain data."""
        return {
            **super().state(),
            "pathways": [astuple(one) for one in self._pathways],
            "places": self._places,
            "decided": self._decided,
        }

    def restore(self, state: State) -> None:
        """Take what another policy with the same options knows of the object."""
        super().restore(state)
        self._pathways = [_Pathway.of(one) for one in state["pathways"]]
        self._places = state["places"]
        self._decided = state["decided"]


def _weights(presence: Sequence[float]) -> tuple[float, ...]:
    """Weights of memories, evenly spaced in the order of their presence."""
    last = len(presence) - 1
    weights = [_LOWEST] * len(presence)
    for rank, index in enumerate(
        sorted(range(len(presence)), key=presence.__getitem__)
    ):
        if rank:
            weights[index] += (_HIGHEST - _LOWEST) * rank / last
    return tuple(weights)
